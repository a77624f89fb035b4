package helm

import (
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// CRDs are the definitions of the Multi-Cluster Services API that the chart has, as sigs.k8s.io/mcs-api publishes them. Helm itself
// installs them where they are absent, and never changes them.
func CRDs() ([]*unstructured.Unstructured, error) {
	names, err := files.ReadDir(path.Join(folder, "crds"))
	if err != nil {
		return nil, err
	}
	var all strings.Builder
	for _, n := range names {
		data, err := files.ReadFile(path.Join(folder, "crds", n.Name()))
		if err != nil {
			return nil, err
		}
		all.WriteString("\n---\n")
		all.Write(data)
	}
	return Parse(all.String())
}
