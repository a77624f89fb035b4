package kube

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

var update = flag.Bool("update", false, "write the golden files anew")

// told is what a golden file shows.
type told struct {
	Exports      []model.ServiceExport  `json:"exports"`
	Workloads    []model.Workload       `json:"workloads"`
	Gateways     []model.Gateway        `json:"gateways,omitempty"`
	LocalExports []mcs.LocalExport      `json:"localExports,omitempty"`
	Namespaces   map[string]bool        `json:"namespaces,omitempty"`
	Derived      map[string]mcs.Derived `json:"derived,omitempty"`
	Egress       []mcs.Egress           `json:"egress,omitempty"`
	Families     []string               `json:"families,omitempty"`
}

func tell(x *index) told {
	u, f := x.all(), x.facts()
	out := told{
		Exports: u.Exports, Workloads: u.Upserts, Gateways: u.Gateways, LocalExports: f.Exports,
		Namespaces: f.Namespaces, Derived: map[string]mcs.Derived{}, Egress: f.Egress, Families: f.Families,
	}
	for k, d := range f.Derived {
		out.Derived[k.String()] = d
	}
	for i := range out.LocalExports {
		out.LocalExports[i].Export = nil // it stands among the exports
	}
	return out
}

// TestObjectsBecomeStatements reads manifests as an API server would hand them out; what is told of them stands beside them.
func TestObjectsBecomeStatements(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			x := newIndex("eu", "hanse-system")
			manifests := mustDo[[]byte](t)(os.ReadFile(file))
			for _, document := range strings.Split(string(manifests), "\n---\n") {
				put(t, x, document)
			}
			got := mustDo[[]byte](t)(yaml.Marshal(tell(x)))
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := mustDo[[]byte](t)(os.ReadFile(golden)); string(want) != string(got) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func put(t *testing.T, x *index, document string) {
	t.Helper()
	var m metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(document), &m); err != nil {
		t.Fatal(err)
	}
	switch m.Kind {
	case "Service":
		x.services.put(decode[corev1.Service](t, document))
	case "EndpointSlice":
		x.slices.put(decode[discoveryv1.EndpointSlice](t, document))
	case "Node":
		x.nodes.put(decode[corev1.Node](t, document))
	case "Namespace":
		x.namespaces.put(decode[corev1.Namespace](t, document))
	case "ServiceExport":
		x.exports.put(decode[mcsv1beta1.ServiceExport](t, document))
	default:
		t.Fatalf("kind %q", m.Kind)
	}
}

func decode[O any](t *testing.T, document string) *O {
	t.Helper()
	var o O
	if err := yaml.UnmarshalStrict([]byte(document), &o); err != nil {
		t.Fatal(err)
	}
	return &o
}
