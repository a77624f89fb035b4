package main

import (
	"net/netip"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
)

// TestAgentExplains asks an agent, where it runs, why its site's calls go where they go.
func TestAgentExplains(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.State(open(view(t, own, us)).Proto(false))
	for _, p := range []peer{own, us} {
		if err := s.introduce(p.bundle(t), false, false); err != nil {
			t.Fatal(err)
		}
	}
	s.source(fromProxies, all(workload("web-1", "web")))
	s.Import(us.offers(t, 1, "payments"))
	s.out.points = map[model.ClusterName][]probe.Point{us.Name: {{
		Cluster: us.Name, Gateway: "gw", Address: netip.MustParseAddr("192.0.2.9"), Port: 7722, Locality: model.Locality{Region: "us"},
	}}}
	dir := servePart(t, &agentParts{core: s.siteCore, clock: s.clock})
	for _, format := range []string{"", "json"} {
		args := []string{"agent", "explain", "shop/payments:http", "--data-dir", dir}
		name := "agent-explain.txt"
		if format != "" {
			args, name = append(args, "-o", format), "agent-explain."+format
		}
		text, err := hanse(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		goldenText(t, name, []byte(text))
	}
}
