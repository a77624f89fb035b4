//go:build e2ekube

package kube

import (
	"strings"
	"testing"
)

// All rules hold, and the clusters' networks do not reach each other before and after.
func TestMCS(t *testing.T) {
	apart := func(when string) string {
		evidence, err := isolated(world.ctx, world.members)
		if err != nil {
			t.Errorf("isolation %s: %v", when, err)
		}
		return "pods and services by their addresses, " + when + ":\n  " + strings.Join(evidence, "\n  ") + "\n"
	}
	before := apart("before")
	outcomes := judge(world.ctx, world.members)
	after := apart("after")
	publish(t, "mcs.txt", before+after+report(outcomes))
	for _, o := range outcomes {
		if o.err != nil {
			t.Errorf("rule %d, %s: %v", o.number, o.text, o.err)
		}
	}
}
