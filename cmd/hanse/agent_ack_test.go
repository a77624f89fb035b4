package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
)

func TestWhichProxiesFollow(t *testing.T) {
	s := sets{
		derived: func() uint64 { return 40 },
		sent: func(proxy, set string) (uint64, bool) {
			index, ok := map[string]uint64{"web old": 20, "web new": 40, "gw new": 40}[proxy+" "+set]
			return index, ok
		},
		settled: func(proxy string) bool { return proxy == "calm" },
	}
	told := func(set string) *string { return &set }
	nacks := []model.Nack{{TypeURL: "type/Cluster", Reason: "bad field"}}
	for name, c := range map[string]struct {
		report vm.Report
		index  uint64
		// want is the proxy's index, says why it waits; empty: it does not.
		want uint64
		says string
	}{
		"follows":                     {vm.Report{Workload: "web", Acknowledged: told("new")}, 40, 40, ""},
		"behind":                      {vm.Report{Workload: "web", Acknowledged: told("old")}, 40, 20, "not acknowledged the newest"},
		"behind, but far enough":      {vm.Report{Workload: "web", Acknowledged: told("old")}, 20, 20, ""},
		"a set that nobody knows":     {vm.Report{Workload: "web", Acknowledged: told("other")}, 1, 0, "not acknowledged the newest"},
		"another proxy's set":         {vm.Report{Workload: "gw", Acknowledged: told("old")}, 1, 0, "not acknowledged the newest"},
		"no Envoy yet":                {vm.Report{Workload: "web", Acknowledged: told("")}, 1, 0, "is it running"},
		"refuses":                     {vm.Report{Workload: "web", Acknowledged: told("old"), Nacks: nacks}, 40, 20, "bad field"},
		"older, settled":              {vm.Report{Workload: "calm"}, 40, 40, ""},
		"older, settled, but refuses": {vm.Report{Workload: "calm", Nacks: nacks}, 1, 0, "bad field"},
		"older, not settled":          {vm.Report{Workload: "web"}, 1, 0, "not acknowledged"},
		"the agent is behind":         {vm.Report{Workload: "web", Acknowledged: told("new")}, 41, 40, "index 40, not from 41"},
	} {
		t.Run(name, func(t *testing.T) {
			c.report.Connected = true
			got := s.acknowledged(c.index, []vm.Report{c.report, {Workload: "away", Acknowledged: told("old")}})
			if got.Proxies != 1 || got.Derived != 40 {
				t.Fatalf("got %+v", got)
			}
			if c.says == "" {
				if len(got.Waiting) != 0 {
					t.Fatalf("it is waited for: %+v", got.Waiting)
				}
				return
			}
			if len(got.Waiting) != 1 || got.Waiting[0].Index != c.want || !strings.Contains(got.Waiting[0].Reason, c.says) {
				t.Fatalf("waiting: %+v, want index %d and %q", got.Waiting, c.want, c.says)
			}
		})
	}
}

func TestProxiesThatWaitAreBounded(t *testing.T) {
	s := sets{derived: func() uint64 { return 1 }, sent: func(string, string) (uint64, bool) { return 0, false }}
	set := "x"
	var reports []vm.Report
	for i := range maxWaiting + 3 {
		reports = append(reports, vm.Report{Workload: fmt.Sprint(i), Connected: true, Acknowledged: &set})
	}
	if got := s.acknowledged(1, reports); len(got.Waiting) != maxWaiting || got.More != 3 || got.Proxies != maxWaiting+3 {
		t.Errorf("%d are named, %d more, of %d", len(got.Waiting), got.More, got.Proxies)
	}
}
