package xds

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// text shows a set as JSON, by the last part of the type's name.
func text(t *testing.T, r Resources, problems []Problem) []byte {
	t.Helper()
	all := map[string]any{}
	for typeURL, list := range r {
		entries := []json.RawMessage{}
		for _, one := range list {
			body, err := protojson.Marshal(one.Body)
			if err != nil {
				t.Fatalf("%s: %v", one.Name, err)
			}
			entries = append(entries, body)
		}
		all[typeURL[strings.LastIndexByte(typeURL, '.')+1:]] = entries
	}
	if len(problems) > 0 {
		all["problems"] = problems
	}
	out, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func TestGolden(t *testing.T) {
	empty := seal(&snapshot.Snapshot{Workloads: []*snapshot.Workload{{Workload: model.Workload{ID: "web-1"}}}})
	for _, c := range []struct {
		name, workload string
		s              *snapshot.Snapshot
	}{
		{"serves", "payments-1", example()},
		{"upstreams", "web-1", example()},
		{"open", "open-1", example()},
		{"gateway", "gateway-1", example()},
		{"egress", "egress-1", plainExample()},
		{"terminating", "gateway-1", plainExample()},
		{"empty", "web-1", empty},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, problems := Generate(c.s, Target{Workload: c.workload}, nil)
			got := text(t, r, problems)
			path := filepath.Join("testdata", c.name+".json")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the resources are not those of %s (-update rewrites it):\n%s", path, got)
			}
		})
	}
}

func TestUnknownTarget(t *testing.T) {
	r, problems := Generate(example(), Target{Workload: "stranger"}, nil)
	if r != nil || len(problems) != 1 {
		t.Errorf("an unknown target got %v, %v", r, problems)
	}
}

// A set holds only what its target was given: nobody else's services, and nothing of the site's gateways.
func TestSetsAreOfTheirTargetOnly(t *testing.T) {
	s := example()
	for id, want := range map[string]struct{ clusters, listeners int }{
		"payments-1": {3, 1}, "web-1": {2, 2}, "open-1": {3, 3}, "gateway-1": {1, 1},
	} {
		r := generate(t, s, id)
		if c, l := len(r[ClusterType]), len(r[ListenerType]); c != want.clusters || l != want.listeners {
			t.Errorf("%s: %d clusters and %d listeners, want %+v", id, c, l, want)
		}
	}
}

// Whatever is missing is left out with a reason, and never replaced by something that accepts more.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name, workload, reason string
		change                 func(s *snapshot.Snapshot)
	}{
		{"no identity", "web-1", "no server identity", func(s *snapshot.Snapshot) { service(s, ledger, 5432).Identities = nil }},
		{"no bundle of the servers", "web-1", "no trust bundle", func(s *snapshot.Snapshot) { s.Trust.Bundles = s.Trust.Bundles[:1] }},
		{"bundle without roots", "web-1", "no trust bundle", func(s *snapshot.Snapshot) { s.Trust.Bundles[1].Roots = nil }},
		{"no trust at all", "payments-1", "no trust bundle", func(s *snapshot.Snapshot) { s.Trust = nil }},
		{"nobody trusted may call", "payments-1", "no trust bundle", func(s *snapshot.Snapshot) { workload(s, "payments-1").Callers = nil }},
		{"gateway without trust", "gateway-1", "no trust bundle", func(s *snapshot.Snapshot) { s.Trust = nil }},
		{"unknown service", "web-1", "not callable", func(s *snapshot.Snapshot) { s.Services = s.Services[:1] }},
		{"bind to a name", "web-1", "not IP:port", func(s *snapshot.Snapshot) { workload(s, "web-1").Calls[0].Bind = "example.com:80" }},
		{"bind twice", "web-1", "is taken by listener", func(s *snapshot.Snapshot) { workload(s, "web-1").Calls[1].Bind = "127.0.0.1:9001" }},
		{"low port on a VIP", "open-1", "needs privilege", func(*snapshot.Snapshot) {}},
		{"no VIP", "open-1", "no virtual address", func(s *snapshot.Snapshot) { service(s, ledger, 5432).VIP = service(s, payments, 99).VIP }},
		{"inbound address is a name", "payments-1", "not an address", func(s *snapshot.Snapshot) { workload(s, "payments-1").Address = "here" }},
		{"no inbound port", "payments-1", "not an address", func(s *snapshot.Snapshot) { workload(s, "payments-1").InboundPort = 0 }},
		{"target without a port", "payments-1", "has no port", func(s *snapshot.Snapshot) { workload(s, "payments-1").Ports[0].Target = "app" }},
		{"egress bind", "egress-1", "not an IP address", func(s *snapshot.Snapshot) { *s = *plainExample(); workload(s, "egress-1").Egress.Bind = "eth0" }},
		{"no bundle of those that answer", "egress-1", "no trust bundle", func(s *snapshot.Snapshot) { *s = *plainExample(); s.Trust.Bundles = s.Trust.Bundles[:1] }},
		{"nobody may call what is answered for", "gateway-1", "no trust bundle", func(s *snapshot.Snapshot) {
			*s = *plainExample()
			s.Terminated[0].Callers = nil
			s.Terminated[1].Callers = nil
			s.Terminated[2].Callers = nil
			s.Terminated[3].Callers = nil
		}},
		{"egress port twice", "egress-1", "is taken by listener", func(s *snapshot.Snapshot) { *s = *plainExample(); s.Services[1].EgressPort = s.Services[0].EgressPort }},
		{"gateway bind", "gateway-1", "no valid port", func(s *snapshot.Snapshot) { workload(s, "gateway-1").Gateway.Bind = "0.0.0.0:x" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := example()
			c.change(s)
			r, problems := Generate(seal(s), Target{Workload: c.workload}, nil)
			checkReferences(t, r)
			for _, p := range problems {
				if strings.Contains(p.Reason, c.reason) {
					return
				}
			}
			t.Errorf("no problem says %q: %v", c.reason, problems)
		})
	}
}

func service(s *snapshot.Snapshot, key model.ServiceKey, port uint16) *snapshot.ServicePort {
	for _, sp := range s.Services {
		if sp.Service == key && sp.Port.Number == port {
			return sp
		}
	}
	return &snapshot.ServicePort{}
}

func workload(s *snapshot.Snapshot, id string) *snapshot.Workload {
	for _, w := range s.Workloads {
		if w.ID == id {
			return w
		}
	}
	return nil
}

func TestParseBindAndTarget(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", ":8443": "0.0.0.0:8443", "localhost:1": "127.0.0.1:1", "[::1]:65535": "[::1]:65535",
		"": "", "80": "", "127.0.0.1": "", "127.0.0.1:0": "", "127.0.0.1:65536": "", "::1:80": "", "name:80": "", "127.0.0.1:-1": "",
	} {
		got, err := parseBind(in)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("bind %q: %v, %v; want %q", in, got, err, want)
		}
	}
	if got, err := parseTarget("app.local:80"); err != nil || got.isIP() {
		t.Errorf("a target may be a name: %v, %v", got, err)
	}
}
