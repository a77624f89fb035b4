package xds

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// What is said to be unchanged is the same, resource by resource.
func TestUnchangedIsTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSnapshot(t), drawSnapshot(t)
		// Most of what they have in common makes the question harder.
		if rapid.Bool().Draw(t, "same workload") {
			b.Workloads = a.Workloads
		}
		if rapid.Bool().Draw(t, "same trust") {
			b.Trust = a.Trust
		}
		if rapid.Bool().Draw(t, "same services") {
			b.Services = a.Services
		}
		if rapid.Bool().Draw(t, "same passthrough") {
			b.Passthrough, b.Terminated = a.Passthrough, a.Terminated
		}
		if !Unchanged(a, b, Target{Workload: "w"}) {
			return
		}
		before, problems := Generate(a, Target{Workload: "w"}, nil)
		after, others := Generate(b, Target{Workload: "w"}, nil)
		same(t, before, after)
		if !slices.Equal(problems, others) {
			t.Fatalf("problems differ: %v, %v", problems, others)
		}
	})
}

func TestAChangeConcernsThoseWhoUseIt(t *testing.T) {
	before, after := example(), example()
	service(after, ledger, 5432).Assignments[0].Assignment.Priorities = nil
	after.Passthrough[0].Endpoints = after.Passthrough[0].Endpoints[:1]
	seal(after)
	for id, want := range map[string]bool{
		"payments-1": true, "gateway-1": false, "web-1": false, "open-1": false, "stranger": true,
	} {
		if got := Unchanged(before, after, Target{Workload: id}); got != want {
			t.Errorf("%s is unchanged: %v", id, got)
		}
		if !Unchanged(after, after, Target{Workload: id}) {
			t.Errorf("%s differs from itself", id)
		}
	}
	only := &snapshot.Snapshot{Trust: &snapshot.Trust{}}
	if Unchanged(before, only, Target{Workload: "web-1"}) {
		t.Error("a workload that is gone is unchanged")
	}
}
