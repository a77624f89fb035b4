package main

import (
	"slices"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

func TestSiteProblemsNameTheWorkload(t *testing.T) {
	if got := siteProblems(nil); got != nil {
		t.Errorf("without a snapshot: %v", got)
	}
	s := &snapshot.Snapshot{
		Problems: []string{"port 80 of cart.shop is claimed twice"},
		Workloads: []*snapshot.Workload{
			{Workload: model.Workload{ID: "web-1"}, Problems: []string{"upstream crat.shop: no such service"}},
			{Workload: model.Workload{ID: "web-2"}},
		},
	}
	want := []string{"port 80 of cart.shop is claimed twice", "web-1: upstream crat.shop: no such service"}
	if got := siteProblems(s); !slices.Equal(got, want) {
		t.Errorf("problems are %v, want %v", got, want)
	}
	for range 100 {
		s.Workloads = append(s.Workloads, s.Workloads[0])
	}
	if got := siteProblems(s); len(got) != maxStatusProblems {
		t.Errorf("%d problems, want at most %d", len(got), maxStatusProblems)
	}
}
