package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/hanse-mesh/hanse/deploy/helm"
	"github.com/hanse-mesh/hanse/deploy/install/fakecluster"
)

// lab is a fake cluster and an installer that works on it; pauses end at once, after a look at what they are for.
type lab struct {
	*fakecluster.Cluster
	*Installer
	said   []string
	pauses int
	// paused is called at each pause.
	paused func()
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{Cluster: fakecluster.New(t), paused: func() {}}
	config := &rest.Config{Host: l.URL, QPS: -1}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	l.Installer = New(Config{Objects: objects, Cluster: cluster, Clock: l, Say: func(format string, args ...any) {
		l.said = append(l.said, fmt.Sprintf(format, args...))
	}})
	return l
}

// After is a pause that is over.
func (l *lab) After(time.Duration) <-chan time.Time {
	l.pauses++
	l.paused()
	over := make(chan time.Time, 1)
	over <- time.Time{}
	return over
}

func values() map[string]any {
	return map[string]any{"cluster": "eu", "region": "eu", "agent": map[string]any{"joinToken": "hanse-cluster-1.secret"}}
}

func (l *lab) plan(t *testing.T, values map[string]any) Plan {
	t.Helper()
	found, err := l.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Plan(t.Context(), found, values)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (l *lab) install(t *testing.T, values map[string]any) Plan {
	t.Helper()
	p := l.plan(t, values)
	if err := l.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func (l *lab) removal(t *testing.T) Removal {
	t.Helper()
	found, err := l.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.PlanRemoval(t.Context(), found)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestInstallingIsPlannedThenDoneThenDone(t *testing.T) {
	l := newLab(t)
	p := l.plan(t, values())
	if n := len(l.Writes()); n != 0 || p.Changes() != len(p.Steps) || len(p.Steps) < 25 {
		t.Errorf("a plan of %d steps, %d changes, wrote %d times", len(p.Steps), p.Changes(), n)
	}
	p = p.WithToken("hanse-cluster-1.another")
	if err := l.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	writes := l.Writes()
	if len(writes) != len(p.Steps) || writes[0] != "apply namespaces hanse-system" || !strings.HasPrefix(writes[1], "apply customresourcedefinitions") {
		t.Errorf("wrote %q", writes)
	}
	token, _, _ := unstructured.NestedString(l.Get("v1", "secrets", helm.Namespace, tokenSecret).Object, "stringData", "token")
	if token != "hanse-cluster-1.another" {
		t.Errorf("the token is %q", token)
	}

	// The same again, with nothing to do: the token is not needed any more, and stays.
	again := values()
	delete(again, "agent")
	if p := l.plan(t, again); p.Changes() != 0 {
		t.Errorf("a second run would change %d objects: %+v", p.Changes(), p.Steps)
	}
	found, err := l.Look(t.Context())
	if err != nil || found.Cluster != "eu" || found.Region != "eu" || found.Manager != Manager || found.Admitted || !found.Token || found.Version != "v1.36.3" || len(found.APIs) != 1 {
		t.Errorf("found %+v, %v", found, err)
	}
	l.Put("v1", "secrets", helm.Namespace, identitySecret, map[string]any{"apiVersion": "v1", "kind": "Secret"})
	if found, err := l.Look(t.Context()); err != nil || !found.Admitted {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestWhatChangesIsChangedAndWhatIsNotWantedGoes(t *testing.T) {
	l := newLab(t)
	l.install(t, values())
	l.Writes()
	next := values()
	next["egress"] = map[string]any{"enabled": false}
	next["gateway"] = map[string]any{"replicas": 3}
	l.install(t, next)
	want := []string{
		"apply deployments hanse-gateway", "delete deployments hanse-egress", "delete services hanse-egress", "delete poddisruptionbudgets hanse-egress",
		"delete serviceaccounts egress",
	}
	if got := l.Writes(); !slices.Equal(got, want) {
		t.Errorf("wrote %q", got)
	}
}

func TestMissingRightsAreNamedTogetherBeforeAnythingIsDone(t *testing.T) {
	l := newLab(t)
	l.Deny("create deployments", "patch deployments", "create clusterroles")
	found, err := l.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Plan(t.Context(), found, values())
	if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "create, patch deployments.apps in hanse-system\n") || !strings.Contains(err.Error(), "create clusterroles.rbac") {
		t.Errorf("got %v", err)
	}
	l.Deny("get deployments", "list secrets")
	_, err = l.Look(t.Context())
	if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "get deployments.apps in hanse-system\n") || !strings.Contains(err.Error(), "list secrets") {
		t.Errorf("got %v", err)
	}
	if n := l.Writes(); len(n) > 0 {
		t.Errorf("wrote %q", n)
	}
}

// Kubernetes refuses a role that has more than who makes it.
func TestRolesThatMayNotBeGrantedAreRefusedFirst(t *testing.T) {
	l := newLab(t)
	found, err := l.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Plan(t.Context(), found, values())
	if err != nil {
		t.Fatal(err)
	}
	l.Deny("patch clusterroles")
	if err := l.mayGrant(t.Context(), p); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "nobody may grant") {
		t.Errorf("got %v", err)
	}
}

func TestAnotherInstallationIsLeftAlone(t *testing.T) {
	for manager, want := range map[string]string{"Helm": "helm upgrade", "": "by somebody"} {
		l := newLab(t)
		l.Put("apps/v1", "deployments", helm.Namespace, agentName, map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{
			"labels": map[string]any{labelManagedBy: manager}}})
		found, err := l.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Plan(t.Context(), found, values()); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: join: %v", manager, err)
		}
		if _, err := l.PlanRemoval(t.Context(), found); !errors.Is(err, ErrTaken) {
			t.Errorf("%q: leave: %v", manager, err)
		}
	}
	f := Found{Cluster: "eu", Region: "eu-1"}
	for _, c := range []struct {
		cluster, region string
		fits            bool
	}{{"eu", "eu-1", true}, {"us", "eu-1", false}, {"eu", "us-1", false}} {
		if err := f.Fits(c.cluster, c.region); (err == nil) != c.fits || err != nil && !errors.Is(err, ErrTaken) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestOldClustersAreRefused(t *testing.T) {
	for version, want := range map[string]string{
		"v1.28.4": "needs >=1.29.0", "v1.30.2-gke.1587003": "", "v1.31.0+k3s1": "", "": "no Kubernetes API server",
	} {
		l := newLab(t)
		l.Version = version
		found, err := l.Look(t.Context())
		if err == nil {
			_, err = l.Plan(t.Context(), found, values())
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestPoliciesOnlyWhereTheyAreKnown(t *testing.T) {
	l := newLab(t)
	l.Policies = false
	l.Deny("get validatingadmissionpolicies", "list validatingadmissionpolicies")
	for _, o := range l.plan(t, values()).Manifests() {
		if strings.HasPrefix(o.GetKind(), "ValidatingAdmissionPolicy") {
			t.Errorf("a %s", o.GetKind())
		}
	}
}

func TestInterruptionsEndEverything(t *testing.T) {
	l := newLab(t)
	p := l.plan(t, values())
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if err := l.Apply(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// What was done in half is done whole by a second run.
	if err := l.Apply(t.Context(), Plan{Steps: p.Steps[:7]}); err != nil {
		t.Fatal(err)
	}
	if rest := l.install(t, values()); rest.Changes() != p.Changes()-7 {
		t.Errorf("%d of %d changes were left", rest.Changes(), p.Changes())
	}
}
