package install

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/hanse-mesh/hanse/deploy/helm"
)

// status sets how far a Deployment is.
func (l *lab) status(name string, updated, available int64) {
	o := l.Get("apps/v1", "deployments", helm.Namespace, name)
	o.SetGeneration(2)
	o.Object["status"] = map[string]any{"observedGeneration": int64(2), "replicas": updated, "updatedReplicas": updated, "availableReplicas": available}
	l.Put("apps/v1", "deployments", helm.Namespace, name, o.Object)
}

var deployments = map[string]int64{"hanse-agent": 1, "hanse-gateway": 2, "hanse-egress": 2, "hanse-dns": 2}

func TestWaitingSaysHowItGoes(t *testing.T) {
	l := newLab(t)
	p := l.install(t, values())
	l.said = nil
	l.Put("v1", "pods", helm.Namespace, "hanse-dns-1", map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{
		"labels": map[string]any{labelName: "hanse", "app.kubernetes.io/component": "dns"}},
		"status": map[string]any{"containerStatuses": []any{map[string]any{
			"name": "dns", "state": map[string]any{"waiting": map[string]any{"reason": "ImagePullBackOff", "message": "no such image"}}}}}})
	l.paused = func() {
		switch l.pauses {
		case 1:
			for name, n := range deployments {
				if name != "hanse-dns" {
					l.status(name, n, n)
				}
			}
		case 2:
			l.status("hanse-dns", 2, 1)
		case 3:
			l.status("hanse-dns", 2, 2)
		}
	}
	if err := l.Wait(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"hanse-agent: 0 of 1 ready", "hanse-dns: 0 of 2 ready (hanse-dns-1: ImagePullBackOff: no such image)", "hanse-egress: 0 of 2 ready",
		"hanse-gateway: 0 of 2 ready", "hanse-agent: 1 of 1 ready", "hanse-egress: 2 of 2 ready", "hanse-gateway: 2 of 2 ready",
		"hanse-dns: 1 of 2 ready (hanse-dns-1: ImagePullBackOff: no such image)", "hanse-dns: 2 of 2 ready",
	}
	if !slices.Equal(l.said, want) {
		t.Errorf("said %q", l.said)
	}
}

func TestWaitingEnds(t *testing.T) {
	l := newLab(t)
	p := l.install(t, values())
	ctx, end := context.WithCancelCause(t.Context())
	l.paused = func() { end(context.DeadlineExceeded) }
	if err := l.Wait(ctx, p); !errors.Is(err, ErrLate) || !strings.Contains(err.Error(), "hanse-gateway: 0 of 2 ready") {
		t.Errorf("got %v", err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	l.paused = interrupt
	if err := l.Wait(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A rollout that the controller has not seen yet is not finished, whatever the status of the last one says.
func TestAnOldStatusIsNoProgress(t *testing.T) {
	l := newLab(t)
	p := l.install(t, values())
	for name, n := range deployments {
		l.status(name, n, n)
	}
	o := l.Get("apps/v1", "deployments", helm.Namespace, "hanse-dns")
	o.SetGeneration(3)
	l.Put("apps/v1", "deployments", helm.Namespace, "hanse-dns", o.Object)
	l.paused = func() { l.status("hanse-dns", 2, 2) }
	if err := l.Wait(t.Context(), p); err != nil || l.pauses != 1 {
		t.Errorf("%v after %d pauses", err, l.pauses)
	}
}

func TestAddresses(t *testing.T) {
	l := newLab(t)
	l.install(t, values())
	if got, err := l.Gateways(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
	o := l.Get("v1", "services", helm.Namespace, "hanse-gateway")
	o.Object["status"] = map[string]any{"loadBalancer": map[string]any{"ingress": []any{map[string]any{"ip": "192.0.2.1"}, map[string]any{"hostname": "lb.example.org"}}}}
	l.Put("v1", "services", helm.Namespace, "hanse-gateway", o.Object)
	if got, err := l.Gateways(t.Context()); err != nil || !slices.Equal(got, []string{"192.0.2.1", "lb.example.org"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

const oldCorefile = ".:53 {\n    reload\n    forward . /etc/resolv.conf\n}"

func (l *lab) setCorefile(text string) {
	l.Put("v1", "configmaps", dnsNamespace, dnsConfig, map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{dnsKey: text}})
}

func (l *lab) corefileText() string {
	text, _, _ := unstructured.NestedString(l.Get("v1", "configmaps", dnsNamespace, dnsConfig).Object, "data", dnsKey)
	return text
}

func TestCoreDNSIsToldAndUntold(t *testing.T) {
	l := newLab(t)
	l.setCorefile(oldCorefile)
	for _, server := range []string{"10.96.0.11", "10.96.0.12"} {
		f, err := l.PlanForward(t.Context())
		if err != nil || !f.Changes() || f.Note != "" {
			t.Fatalf("%+v, %v", f, err)
		}
		if err := l.Forward(t.Context(), f, server); err != nil {
			t.Fatal(err)
		}
		if text := l.corefileText(); !strings.HasPrefix(text, oldCorefile+"\n") || strings.Count(text, "clusterset.local:53 {") != 1 || !strings.Contains(text, "forward . "+server+"\n}") {
			t.Errorf("got\n%s", text)
		}
	}
	if err := l.Unforward(t.Context()); err != nil || l.corefileText() != oldCorefile+"\n" {
		t.Errorf("%v, got\n%s", err, l.corefileText())
	}
}

func TestCoreDNSIsLeftAloneWhereItMustBe(t *testing.T) {
	for name, c := range map[string]struct{ corefile, deny, note string }{
		"answers already":   {"clusterset.local:53 {\n forward . 10.0.0.1\n}\n", "", "answers clusterset.local already"},
		"only in a comment": {oldCorefile + " # clusterset.local\n", "", ""},
		"no Corefile":       {"", "", "has no Corefile"},
		"may not read":      {oldCorefile, "get configmaps", "may not read"},
		"does not reload":   {".:53 {\n}\n", "", "restart it"},
	} {
		l := newLab(t)
		if c.corefile != "" {
			l.setCorefile(c.corefile)
		}
		l.Deny(c.deny)
		f, err := l.PlanForward(t.Context())
		if err != nil || !strings.Contains(f.Note, c.note) || (c.note == "") != (f.Note == "") {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	l := newLab(t)
	l.setCorefile(oldCorefile)
	l.Deny("update configmaps")
	if _, err := l.PlanForward(t.Context()); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "update configmaps coredns in kube-system") {
		t.Errorf("got %v", err)
	}
}

// A block that somebody has cut in half is not taken for one.
func TestOnlyAWholeBlockIsTakenOut(t *testing.T) {
	for _, text := range []string{"", oldCorefile, blockBegin + "x {\n}\n", "a\n" + blockEnd} {
		if got := withoutForward(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
