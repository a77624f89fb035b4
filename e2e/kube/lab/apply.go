package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Apply writes the objects of a YAML text, one after another.
func (c *Cluster) Apply(ctx context.Context, text string) error {
	for reader := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := reader.Decode(object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("manifest for %s: %w", c.Name, err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if err := c.applyOne(ctx, object); err != nil {
			return fmt.Errorf("apply %s %s/%s to %s: %w", object.GetKind(), object.GetNamespace(), object.GetName(), c.Name, err)
		}
	}
}

func (c *Cluster) applyOne(ctx context.Context, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	options := metav1.ApplyOptions{FieldManager: "lab", Force: true}
	resource := c.Dynamic.Resource(mapping.Resource)
	if object.GetNamespace() != "" {
		_, err = resource.Namespace(object.GetNamespace()).Apply(ctx, object.GetName(), object, options)
		return err
	}
	_, err = resource.Apply(ctx, object.GetName(), object, options)
	return err
}
