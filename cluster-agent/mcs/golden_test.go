package mcs

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/hanse-mesh/hanse/api/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

// worlds are the facts whose whole plans are in testdata.
func worlds() map[string]Facts {
	conflict := lone(hello())
	conflict.Remotes = []Remote{
		younger("north", nil),
		younger("west", func(e *model.ServiceExport) {
			e.Headless, e.IPFamilies, e.TrafficDistribution, e.AffinityTimeout = true, []model.IPFamily{model.IPv4}, "PreferSameNode", 20
			e.Ports = []model.Port{{Number: 80, Protocol: model.ProtocolTCP}, {Name: "tcp", Number: 43, Protocol: model.ProtocolTCP},
				{Name: "stcp", Number: 142, Protocol: model.ProtocolSCTP}}
		}),
	}
	conflict.allot()
	headless := lone(hello())
	headless.Exports[0].Export.Headless = true
	headless.Exports[0].Export.Endpoints = []model.ExportEndpoint{
		{Hostname: "hello-0", Address: "10.1.0.4", Ready: true}, {Hostname: "hello-0", Address: "fd01::4", Ready: true},
		{Hostname: "hello-1", Address: "10.1.0.5"},
	}
	headless.Remotes = []Remote{younger("west", func(e *model.ServiceExport) {
		e.Headless, e.IPFamilies = true, []model.IPFamily{model.IPv4}
		e.Endpoints = []model.ExportEndpoint{{Hostname: "hello-0", Address: "10.2.0.4", Ready: true}}
	})}
	refused := lone(hello())
	refused.Exports[0].Refused = `no export rule lets cluster "east" export service hello of namespace demo`
	missing := lone(hello())
	missing.Exports[0].Invalid, missing.Exports[0].Export = "NoService", nil
	missing.Remotes = []Remote{younger("west", nil)}
	unreachable := importer(younger("west", func(e *model.ServiceExport) {
		e.Headless, e.IPFamilies = true, []model.IPFamily{model.IPv6}
		e.Endpoints = []model.ExportEndpoint{{Hostname: "hello-0", Address: "fd02::4", Ready: true}}
	}))
	unreachable.Families = []string{"IPv4"}
	bridged := importer(younger("west", func(e *model.ServiceExport) { e.IPFamilies = []model.IPFamily{model.IPv6} }))
	bridged.Families = []string{"IPv4"}
	return map[string]Facts{"plain": lone(hello()), "conflict": conflict, "headless": headless, "refused": refused, "missing-service": missing,
		"headless-of-another-family": unreachable, "bridged-family": bridged}
}

func TestPlans(t *testing.T) {
	for name, f := range worlds() {
		_, p := converged(t, f)
		var b strings.Builder
		for _, o := range p.Imports {
			document(t, &b, o)
		}
		for _, o := range p.Services {
			document(t, &b, o)
		}
		for _, o := range p.Slices {
			document(t, &b, o)
		}
		for k, c := range p.Conditions {
			document(t, &b, map[string]any{"export": k.String(), "conditions": c})
		}
		path := filepath.Join("testdata", name+".yaml")
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || string(want) != b.String() {
			t.Errorf("%s is not what the plan is (-update writes it anew): %v\n%s", path, err, b.String())
		}
	}
}

func document(t *testing.T, b *strings.Builder, v any) {
	t.Helper()
	text, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString("---\n")
	b.Write(text)
}

func TestMessagesAreBounded(t *testing.T) {
	var all []Remote
	for i := range 200 {
		all = append(all, younger(model.ClusterName(strings.Repeat("c", 50)+string(rune('a'+i%26))+string(rune('a'+i/26))), func(e *model.ServiceExport) {
			e.CreatedAt, e.Labels = start.Add(time.Duration(i)*time.Second), map[string]string{strings.Repeat("ü", 300): string(rune('a' + i%26))}
		}))
	}
	m := Merge(all)
	if len(m.Message) > maxMessage+3 || !strings.Contains(m.Message, "192 more") && !strings.HasSuffix(m.Message, "…") {
		t.Errorf("a message of %d bytes: %s", len(m.Message), m.Message)
	}
	if text := clusterList(m.Clusters); !strings.HasSuffix(text, "and 192 more") {
		t.Error(text)
	}
}
