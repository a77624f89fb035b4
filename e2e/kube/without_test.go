//go:build e2ekube

package kube

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hanse-mesh/hanse/e2e/kube/lab"
)

// withoutAgents are the rules that hold in clusters that have nothing of Hanse: they say what must not happen.
var withoutAgents = map[int]bool{17: true, 24: true}

// With the agents stopped only those rules hold that forbid something: the others are shown by what Hanse does, not by the clusters.
func TestMCSWithoutAgents(t *testing.T) {
	if world.lab == nil {
		t.Skip("the clusters are not of this suite's making")
	}
	if err := scaleAgents(world.ctx, 0); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := scaleAgents(context.WithoutCancel(world.ctx), 1); err != nil {
			t.Error(err)
		}
	}()
	outcomes := judge(world.ctx, world.members)
	publish(t, "mcs-without-agents.txt", report(outcomes))
	for _, o := range outcomes {
		if o.err == nil && !withoutAgents[o.number] {
			t.Errorf("rule %d, %s, holds without agents: %v", o.number, o.text, o.evidence)
		}
	}
}

// scaleAgents sets how many agents there are in each cluster, and waits until it is so.
func scaleAgents(ctx context.Context, replicas int) error {
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	for _, m := range world.members {
		agents := m.Kube.AppsV1().Deployments(systemNamespace)
		if _, err := agents.Patch(ctx, "hanse-agent", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("scale the agent of %s: %w", m.Name, err)
		}
		err := lab.Eventually(ctx, time.Minute, func(ctx context.Context) error {
			d, err := agents.Get(ctx, "hanse-agent", metav1.GetOptions{})
			if err == nil && (d.Status.ObservedGeneration < d.Generation || int(d.Status.Replicas) != replicas || int(d.Status.ReadyReplicas) != replicas) {
				err = fmt.Errorf("%d agents in %s, %d ready, want %d", d.Status.Replicas, m.Name, d.Status.ReadyReplicas, replicas)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
