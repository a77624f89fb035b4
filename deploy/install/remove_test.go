package install

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/mcs-api/config/crd"

	"github.com/hanse-mesh/hanse/deploy/helm"
)

const mcs = "multicluster.x-k8s.io/v1beta1"

// object is a labelled object of somebody.
func object(apiVersion, kind, label, manager string) map[string]any {
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"labels": map[string]any{label: manager}}}
}

// inUse is a cluster in which the agent has made objects beside those of users.
func inUse(t *testing.T) *lab {
	l := newLab(t)
	l.install(t, values())
	l.Put("v1", "namespaces", "", "shop", map[string]any{"apiVersion": "v1", "kind": "Namespace"})
	for manager, name := range map[string]string{"hanse": "derived-abc", "another": "web"} {
		l.Put(mcs, "serviceimports", "shop", name, object(mcs, "ServiceImport", labelManagedBy, manager))
		service := object("v1", "Service", labelManagedBy, manager)
		service["metadata"].(map[string]any)["labels"].(map[string]any)["multicluster.kubernetes.io/service-name"] = "web"
		l.Put("v1", "services", "shop", name, service)
		l.Put("discovery.k8s.io/v1", "endpointslices", "shop", name, object("discovery.k8s.io/v1", "EndpointSlice", "endpointslice.kubernetes.io/managed-by", manager))
	}
	l.Put("v1", "services", "shop", "labelled", object("v1", "Service", labelManagedBy, "hanse"))
	l.Put("v1", "secrets", helm.Namespace, identitySecret, object("v1", "Secret", labelManagedBy, "hanse"))
	export := object(mcs, "ServiceExport", "mine", "yes")
	export["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready"}}}
	l.Put(mcs, "serviceexports", "shop", "web", export)
	l.Writes()
	return l
}

func TestLeavingTakesAwayWhatIsOurs(t *testing.T) {
	l := inUse(t)
	before := l.Objects()
	r := l.removal(t)
	if want := map[string]int{"ServiceImport": 1, "Service": 1, "EndpointSlice": 1, "Secret": 1}; !maps.Equal(r.Derived, want) {
		t.Errorf("derived: %v", r.Derived)
	}
	if len(l.Writes()) > 0 || !slices.Equal(l.Objects(), before) {
		t.Error("the plan changed something")
	}
	if err := l.Remove(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"apiextensions.k8s.io/v1|customresourcedefinitions||serviceexports.multicluster.x-k8s.io",
		"apiextensions.k8s.io/v1|customresourcedefinitions||serviceimports.multicluster.x-k8s.io",
		"discovery.k8s.io/v1|endpointslices|shop|web",
		mcs + "|serviceexports|shop|web", mcs + "|serviceimports|shop|web",
		"v1|namespaces||default", "v1|namespaces||kube-system", "v1|namespaces||shop", "v1|services|shop|labelled", "v1|services|shop|web",
	}
	if got := l.Objects(); !slices.Equal(got, want) {
		t.Errorf("left are\n%s", strings.Join(got, "\n"))
	}
	if _, has := l.Get(mcs, "serviceexports", "shop", "web").Object["status"]; has {
		t.Error("an export that nobody looks after says that it is ready")
	}
	writes := l.Writes()
	at := 0
	for _, want := range []string{"deployments hanse-gateway", "deployments hanse-agent", "services derived-abc", "services hanse-agent", "namespaces hanse-system"} {
		next := slices.Index(writes, "delete "+want)
		if next < at {
			t.Errorf("%s comes too early in %q", want, writes)
		}
		at = next
	}
	if r := l.removal(t); len(r.Steps)+len(r.Derived) > 0 {
		t.Errorf("a second run finds %+v", r)
	}
}

// The disks of federation nodes are in the namespace.
func TestANamespaceWithClaimsStays(t *testing.T) {
	l := inUse(t)
	l.Put("v1", "persistentvolumeclaims", helm.Namespace, "data-hanse-server-0", object("v1", "PersistentVolumeClaim", "a", "b"))
	r := l.removal(t)
	if r.KeepsNamespace == "" {
		t.Error("no reason is given")
	}
	if err := l.Remove(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if l.Get("v1", "persistentvolumeclaims", helm.Namespace, "data-hanse-server-0") == nil || l.Get("apps/v1", "deployments", helm.Namespace, agentName) != nil {
		t.Errorf("left are\n%s", strings.Join(l.Objects(), "\n"))
	}
}

func TestLeavingNeedsRights(t *testing.T) {
	l := inUse(t)
	l.setCorefile(withForward(oldCorefile, "10.0.0.1"))
	l.Deny("delete serviceimports", "delete deployments", "update configmaps")
	found, err := l.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.PlanRemoval(t.Context(), found)
	for _, want := range []string{"delete serviceimports.multicluster.x-k8s.io\n", "delete deployments.apps in hanse-system", "update configmaps coredns in kube-system"} {
		if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// definition is one that somebody else has installed.
func definition(release, revision string, versions ...string) map[string]any {
	var list []any
	for _, v := range versions {
		list = append(list, map[string]any{"name": v, "served": true})
	}
	labels := map[string]any{}
	if release != "" {
		labels[crd.ReleaseVersionLabel], labels[crd.CustomResourceDefinitionSchemaRevisionLabel] = release, revision
	}
	return map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"labels": labels},
		"spec": map[string]any{"versions": list}}
}

func TestDefinitionsAreNeverReplacedByOlderOnes(t *testing.T) {
	for name, c := range map[string]struct {
		there map[string]any
		write bool
		err   string
	}{
		"older release":             {definition("v0.5.0", "3", "v1alpha1", "v1beta1"), true, ""},
		"same":                      {definition("v0.5.2", "0", "v1alpha1", "v1beta1"), false, ""},
		"newer revision":            {definition("v0.5.2", "1", "v1alpha1", "v1beta1"), false, ""},
		"newer release":             {definition("v0.6.0", "0", "v1beta1", "v1"), false, ""},
		"newer without our version": {definition("v1.0.0", "0", "v1"), false, "does not serve v1beta1"},
		"before there were labels":  {definition("", "", "v1alpha1"), true, ""},
		"unlabelled and unknown":    {definition("", "", "v1beta1", "v1"), false, ""},
	} {
		l := newLab(t)
		for _, kind := range []string{"serviceexports", "serviceimports"} {
			l.Put("apiextensions.k8s.io/v1", "customresourcedefinitions", "", kind+".multicluster.x-k8s.io", (&unstructured.Unstructured{Object: c.there}).DeepCopy().Object)
		}
		got, err := l.definitions(t.Context())
		if (len(got) == 2) != c.write || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: writes %d, %v", name, len(got), err)
		}
	}
}

// Every kind that the chart can make is known here.
func TestKinds(t *testing.T) {
	objects, err := helm.Render(helm.Options{KubeVersion: "v1.36.3", APIs: []string{"admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy"},
		Values: map[string]any{"cluster": "eu", "region": "eu", "server": map[string]any{"enabled": true}, "agent": map[string]any{"joinToken": "hanse-cluster-1.x"},
			"dns": map[string]any{"coreDNSPlugin": map[string]any{"enabled": true}}}})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{"Namespace": true, "CustomResourceDefinition": true}
	for _, o := range objects {
		k, err := kindOf(o)
		if err != nil || k.place() != o.GetNamespace() {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
		seen[k.name] = true
	}
	for _, k := range installed {
		if !seen[k.name] {
			t.Errorf("%s is made by nothing", k.name)
		}
	}
	if _, err := kindOf(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v2", "kind": "Pod"}}); err == nil {
		t.Error("any kind is known")
	}
}
