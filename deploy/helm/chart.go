// Package helm owns the Helm chart of what Hanse runs in a Kubernetes cluster, and renders it without Helm.
package helm

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Release and Namespace are what an installation is called and where it is: one per cluster.
const (
	Release   = "hanse"
	Namespace = "hanse-system"
)

// folder is where the chart lies.
const folder = "hanse"

// all: Go would leave out files that begin with "_" or ".".
//
//go:embed all:hanse
var files embed.FS

// ErrValues is what an error is when the values are not as the chart's schema wants them.
var ErrValues = errors.New("these values do not fit the chart")

// Options are what a rendering depends on besides the chart.
type Options struct {
	// Values are laid over the chart's own, and checked by its schema.
	Values map[string]any
	// Manager is the value of the label app.kubernetes.io/managed-by; Helm's own name if empty.
	Manager string
	// KubeVersion is the cluster's version, for example "v1.36.3".
	KubeVersion string
	// APIs are what the cluster serves beyond what every supported one does, in the form "GROUP/VERSION/KIND".
	APIs []string
}

// Render returns the chart's objects, CRDs excepted, in the order in which they are to be created. It is safe for concurrent use.
func Render(o Options) ([]*unstructured.Unstructured, error) {
	c, err := load()
	if err != nil {
		return nil, err
	}
	version, err := chartutil.ParseKubeVersion(o.KubeVersion)
	if err != nil {
		return nil, fmt.Errorf("version of Kubernetes %q: %w", o.KubeVersion, err)
	}
	if !chartutil.IsCompatibleRange(c.Metadata.KubeVersion, version.Version) {
		return nil, fmt.Errorf("this is Kubernetes %s, but Hanse needs %s", o.KubeVersion, strings.TrimSuffix(c.Metadata.KubeVersion, "-0"))
	}
	capabilities := *chartutil.DefaultCapabilities
	capabilities.KubeVersion = *version
	capabilities.APIVersions = append(slices.Clone(capabilities.APIVersions), o.APIs...)
	release := chartutil.ReleaseOptions{Name: Release, Namespace: Namespace, Revision: 1, IsInstall: true}
	values, err := chartutil.ToRenderValues(c, o.Values, release, &capabilities)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrValues, err)
	}
	if o.Manager != "" {
		values["Release"].(map[string]any)["Service"] = o.Manager
	}
	texts, err := engine.Render(c, values)
	if err != nil {
		return nil, err
	}
	return parseAll(texts)
}

// load reads the chart from the binary.
func load() (*chart.Chart, error) {
	var in []*loader.BufferedFile
	err := fs.WalkDir(files, folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		in = append(in, &loader.BufferedFile{Name: strings.TrimPrefix(name, folder+"/"), Data: data})
		return err
	})
	if err != nil {
		return nil, err
	}
	return loader.LoadFiles(in)
}

// parseAll reads the objects of rendered templates.
func parseAll(texts map[string]string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for name, text := range texts {
		if path.Ext(name) != ".yaml" {
			continue
		}
		objects, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, objects...)
	}
	slices.SortFunc(out, inOrder)
	return out, nil
}

// Parse reads the objects of a YAML stream; documents without content are left out.
func Parse(text string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for _, document := range strings.Split("\n"+text, "\n---") {
		var object map[string]any
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			return nil, err
		}
		if len(object) > 0 {
			out = append(out, &unstructured.Unstructured{Object: object})
		}
	}
	return out, nil
}
