//go:build e2ekube

package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hanse-mesh/hanse/e2e/kube/lab"
)

// frozenFor is how long a node hangs.
const frozenFor = 15 * time.Second

// faults are in the order in which they happen: the worst comes last.
var faults = []fault{
	{"its agent is rolled", 20 * time.Second, rolled("hanse-agent", "agent"), true},
	{"its gateways are rolled", 65 * time.Second, rolled("hanse-gateway", "gateway"), true},
	{"its pods are killed", 15 * time.Second, podsKilled, false},
	{"its node is frozen for " + frozenFor.String(), 35 * time.Second, nodeFrozen, false},
}

// rolled replaces a Deployment's pods, as `kubectl rollout restart` does, and waits until the old ones are gone.
func rolled(name, component string) func(context.Context, *field) error {
	return func(ctx context.Context, f *field) error {
		m, old := f.struck, map[string]bool{}
		pods, selector := m.Kube.CoreV1().Pods(systemNamespace), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component}
		list, err := pods.List(ctx, selector)
		if err != nil {
			return err
		}
		for _, p := range list.Items {
			old[p.Name] = true
		}
		patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339))
		if _, err := m.Kube.AppsV1().Deployments(systemNamespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("restart %s of %s: %w", name, m.Name, err)
		}
		if err := m.AwaitDeployments(ctx, 2*time.Minute, systemNamespace, name); err != nil {
			return err
		}
		return lab.Eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
			list, err := pods.List(ctx, selector)
			if err != nil {
				return err
			}
			for _, p := range list.Items {
				if old[p.Name] {
					return fmt.Errorf("pod %s of %s is still there", p.Name, m.Name)
				}
			}
			return nil
		})
	}
}

// podsKilled ends all pods of the service without notice; others take their place.
func podsKilled(ctx context.Context, f *field) error {
	now := int64(0)
	err := f.struck.Kube.CoreV1().Pods(f.namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: "app=crew"})
	if err != nil {
		return fmt.Errorf("kill the pods in %s: %w", f.struck.Name, err)
	}
	return nil
}

// nodeFrozen stops everything in the cluster for a while.
func nodeFrozen(ctx context.Context, f *field) error {
	err := f.struck.Freeze(ctx)
	if err == nil {
		select {
		case <-time.After(frozenFor):
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return errors.Join(err, f.struck.Thaw(context.WithoutCancel(ctx)))
}
