package install

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/hanse-mesh/hanse/deploy/helm"
)

// Wait waits until everything that the plan runs is there and ready, and says how it goes. The agent is ready once the federation has let
// it in. When ctx ends, the error says what is missing, and why as far as the cluster tells.
func (i *Installer) Wait(ctx context.Context, p Plan) error {
	said := map[string]string{}
	var missing []string
	err := i.until(ctx, func() (bool, error) {
		var now []string
		for _, s := range p.Steps {
			if s.Kind != "Deployment" && s.Kind != "StatefulSet" || s.Action == Remove {
				continue
			}
			how, ready, err := i.progress(ctx, s)
			if err != nil {
				return false, err
			}
			if said[s.Name] != how {
				said[s.Name] = how
				i.Say("%s", how)
			}
			if !ready {
				now = append(now, how)
			}
		}
		missing = now
		return len(missing) == 0, nil
	})
	if errors.Is(err, context.DeadlineExceeded) && len(missing) > 0 {
		return fmt.Errorf("%w: %s", ErrLate, strings.Join(missing, "; "))
	}
	return err
}

// ErrLate is what an error is when something was not ready in time.
var ErrLate = errors.New("not ready in time")

// progress is how far a workload's rollout is.
func (i *Installer) progress(ctx context.Context, s Step) (text string, ready bool, err error) {
	o, err := i.get(ctx, s.Kind, s.Namespace, s.Name)
	if err != nil {
		return "", false, err
	}
	if o == nil {
		return "", false, fmt.Errorf("%s %s is gone: somebody has removed it", s.Kind, s.Name)
	}
	wanted := number(o, "spec", "replicas")
	there, available := number(o, "status", "updatedReplicas"), number(o, "status", "availableReplicas")
	current := number(o, "status", "observedGeneration") >= o.GetGeneration()
	if current && there == wanted && number(o, "status", "replicas") == wanted && available == wanted {
		return fmt.Sprintf("%s: %d of %d ready", s.Name, available, wanted), true, nil
	}
	if !current {
		there, available = 0, 0
	}
	text = fmt.Sprintf("%s: %d of %d ready", s.Name, min(there, available), wanted)
	trouble, err := i.trouble(ctx, o.GetLabels()["app.kubernetes.io/component"])
	if trouble != "" {
		text += " (" + trouble + ")"
	}
	return text, false, err
}

func number(o *unstructured.Unstructured, path ...string) int64 {
	n, _, _ := unstructured.NestedInt64(o.Object, path...)
	return n
}

// trouble is what keeps the pods of a component from being ready, in the cluster's words.
func (i *Installer) trouble(ctx context.Context, component string) (string, error) {
	selector := labelName + "=" + helm.Release + ",app.kubernetes.io/component=" + component
	pods, err := i.Cluster.CoreV1().Pods(helm.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: 100})
	if err != nil {
		return "", fmt.Errorf("list pods: %w", err)
	}
	for _, pod := range pods.Items {
		if why := whyNotReady(pod); why != "" {
			return pod.Name + ": " + why, nil
		}
	}
	return "", nil
}

// whyNotReady is empty while a pod merely needs its time.
func whyNotReady(pod corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason + ": " + c.Message
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return strings.TrimSuffix(w.Reason+": "+w.Message, ": ")
		}
		if t := c.LastTerminationState.Terminated; t != nil && !c.Ready {
			return fmt.Sprintf("its last run ended with %d: see kubectl --namespace %s logs --previous %s", t.ExitCode, pod.Namespace, pod.Name)
		}
	}
	return ""
}

// Gateways are the addresses at which other clusters reach this one's gateways; none until the load balancer has any.
func (i *Installer) Gateways(ctx context.Context) ([]string, error) {
	o, err := i.get(ctx, "Service", helm.Namespace, "hanse-gateway")
	if err != nil || o == nil {
		return nil, err
	}
	ingress, _, _ := unstructured.NestedSlice(o.Object, "status", "loadBalancer", "ingress")
	var out []string
	for _, at := range ingress {
		fields, _ := at.(map[string]any)
		for _, name := range []string{"ip", "hostname"} {
			if address, _ := fields[name].(string); address != "" {
				out = append(out, address)
			}
		}
	}
	return out, nil
}

// NameServer is the address of the name server of clusterset.local, or empty.
func (i *Installer) NameServer(ctx context.Context) (string, error) {
	o, err := i.get(ctx, "Service", helm.Namespace, "hanse-dns")
	if err != nil || o == nil {
		return "", err
	}
	address, _, _ := unstructured.NestedString(o.Object, "spec", "clusterIP")
	return address, nil
}
