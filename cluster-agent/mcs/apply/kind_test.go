package apply

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

func service(name, version, affinity string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, ResourceVersion: version, UID: types.UID("uid-" + name)},
		Spec: corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinity(affinity)}}
}

func emptyKind() *kind {
	return newKind("services", "Service", &corev1.Service{}, func(o metav1.Object) held {
		return heldAs(o, serviceDigest(o.(*corev1.Service)), digest{}, nil)
	})
}

// held returns the versions of what is held, "NAME@VERSION".
func (k *kind) held() []string {
	var out []string
	for key, h := range k.objects {
		out = append(out, key.name+"@"+h.version)
	}
	slices.Sort(out)
	return out
}

// TestWatchesLagBehindAnswers: what a write's answer said is not undone by what the watch tells of before.
func TestWatchesLagBehindAnswers(t *testing.T) {
	k := emptyKind()
	check := func(step string, news, want bool, held ...string) {
		t.Helper()
		if got := k.held(); news != want || !slices.Equal(got, held) {
			t.Errorf("%s: news %t, held %q, want %t, %q", step, news, got, want, held)
		}
	}
	check("seen", k.put(service("a", "9", "None")), true, "a@9")
	check("the same content", k.put(service("a", "10", "None")), false, "a@10")
	k.wrote(service("a", "12", "ClientIP"), main, digest{1})
	check("before the answer", k.put(service("a", "11", "None")), false, "a@12")
	check("deleted before the answer", k.drop(service("a", "11", "None")), false, "a@12")
	check("the answer's own event", k.put(service("a", "12", "ClientIP")), false, "a@12")
	check("somebody's change", k.put(service("a", "13", "None")), true, "a@13")
	k.replace([]metav1.Object{service("a", "12", "ClientIP"), service("b", "14", "None")}, "20")
	check("a list that shows less", false, false, "a@13", "b@14")
	k.wrote(service("c", "22", "None"), main, digest{1})
	k.replace([]metav1.Object{service("b", "14", "None")}, "21")
	check("a list from before a write", false, false, "b@14", "c@22")
	check("deleted", k.drop(service("c", "23", "None")), true, "b@14")
	check("deleted twice", k.drop(service("c", "23", "None")), false, "b@14")
	if differs, _ := k.differs(objectKey{"demo", "c"}, main, digest{1}); !differs {
		t.Error("what was written counts although the object is gone")
	}
}

func TestObjectThatWasMadeAnewIsNews(t *testing.T) {
	k := emptyKind()
	k.put(service("a", "9", "None"))
	again := service("a", "10", "None")
	again.UID = "another"
	if !k.put(again) {
		t.Error("another object with the same content is no news")
	}
}

func TestForeignObjectsStay(t *testing.T) {
	s := exported(t)
	a := running(t, s)
	settle(t, s, a, facts())
	foreign := map[string][2]string{
		"services/demo/derived-by-hand": {"v1", "Service"}, "serviceimports/demo/by-hand": {"multicluster.x-k8s.io/v1beta1", "ServiceImport"},
	}
	for key, is := range foreign {
		s.edit(key, func(f fields) { f["apiVersion"], f["kind"] = is[0], is[1] })
	}
	// One more change of each kind's own objects: when it was seen, so were those before it.
	s.edit(derivedKey, func(f fields) { f["spec"].(fields)["sessionAffinity"] = "None" })
	s.edit(importKey, func(f fields) { f["spec"].(fields)["type"] = "Headless" })
	mend(t, s, a, func() bool {
		return s.get(derivedKey)["spec"].(fields)["sessionAffinity"] == "ClientIP" && s.get(importKey)["spec"].(fields)["type"] == "ClusterSetIP"
	})
	for key := range foreign {
		if s.get(key) == nil {
			t.Errorf("%s, which is not the agent's, was deleted", key)
		}
	}
}

func TestExportThatIsGoneGetsNoConditions(t *testing.T) {
	s := newAPIServer(t)
	a := running(t, s)
	must(t, a.Apply(t.Context(), s.plan(facts())))
	if got := s.told(); slices.Contains(got, "patch serviceexports demo/hello/status") {
		t.Errorf("writes %q", got)
	}
}

func TestPortsAreReadPageByPage(t *testing.T) {
	s := exported(t)
	s.page = 1
	f := facts()
	e := export()
	e.Service.Name = "other"
	f.Remotes = append(f.Remotes, mcs.Remote{Cluster: "west", Export: e})
	f.Ports, _ = mcs.AllotPorts(nil, mcs.WantedPorts(f), mcs.FirstEgressPort, mcs.LastEgressPort)
	a := running(t, s)
	must(t, a.Apply(t.Context(), s.plan(f)))
	ports, err := a.Ports(t.Context())
	if err != nil || len(ports) != 4 || len(f.Ports) != 4 {
		t.Errorf("%v: %v", ports, err)
	}
}
