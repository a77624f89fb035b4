package install

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/mcs-api/config/crd"

	"github.com/hanse-mesh/hanse/deploy/helm"
)

// neededVersion of the Multi-Cluster Services API is what the agent works with.
const neededVersion = "v1beta1"

// definitions are the CRDs that are to be written: those that are absent or older. What is newer stays, whoever installed it.
func (i *Installer) definitions(ctx context.Context) ([]*unstructured.Unstructured, error) {
	ours, err := helm.CRDs()
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, own := range ours {
		there, err := i.get(ctx, "CustomResourceDefinition", "", own.GetName())
		if err != nil {
			return nil, err
		}
		switch {
		case there == nil || olderDefinition(there, own):
			out = append(out, own)
		case !served(there, neededVersion):
			return nil, fmt.Errorf("CustomResourceDefinition %s is of release %s, which does not serve %s: install one that does", own.GetName(),
				there.GetLabels()[crd.ReleaseVersionLabel], neededVersion)
		}
	}
	return out, nil
}

// olderDefinition goes by the labels that exist for this. What has none is from before there were any, unless it has a version that we
// do not know.
func olderDefinition(there, own *unstructured.Unstructured) bool {
	release, revision, labelled := releaseOf(there)
	ownRelease, ownRevision, _ := releaseOf(own)
	if !labelled {
		return !slices.ContainsFunc(versionsOf(there), func(v string) bool { return !slices.Contains(versionsOf(own), v) })
	}
	if release.EqualTo(ownRelease) {
		return revision < ownRevision
	}
	return release.LessThan(ownRelease)
}

func releaseOf(o *unstructured.Unstructured) (release *version.Version, revision int, ok bool) {
	release, err := version.ParseSemantic(o.GetLabels()[crd.ReleaseVersionLabel])
	if err != nil {
		return nil, 0, false
	}
	revision, err = strconv.Atoi(o.GetLabels()[crd.CustomResourceDefinitionSchemaRevisionLabel])
	return release, revision, err == nil
}

func versionsOf(o *unstructured.Unstructured) []string {
	versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
	var out []string
	for _, v := range versions {
		fields, _ := v.(map[string]any)
		if name, _, _ := unstructured.NestedString(fields, "name"); name != "" {
			out = append(out, name)
		}
	}
	return out
}

func served(o *unstructured.Unstructured, name string) bool {
	versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
	for _, v := range versions {
		if fields, _ := v.(map[string]any); fields["name"] == name && fields["served"] == true {
			return true
		}
	}
	return false
}

// awaitDefinitions waits until the API server serves what was defined.
func (i *Installer) awaitDefinitions(ctx context.Context) error {
	for _, resource := range []string{"serviceexports", "serviceimports"} {
		if err := i.until(ctx, func() (bool, error) {
			_, err := i.Objects.Resource(imports(resource)).List(ctx, metav1.ListOptions{Limit: 1})
			if apierrors.IsNotFound(err) {
				return false, nil
			}
			return err == nil || apierrors.IsForbidden(err), nil
		}); err != nil {
			return fmt.Errorf("the API server does not serve %s yet: %w", resource, err)
		}
	}
	return nil
}
