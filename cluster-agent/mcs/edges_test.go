package mcs

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/api/model"
)

func TestTransitionTimes(t *testing.T) {
	f, _ := converged(t, lone(hello()))
	later := start.Add(time.Hour)
	f.Exports[0].Generation, f.Exports[0].Refused = 4, "no rule"
	for _, c := range Make(f, later).Conditions[hello().Service] {
		want := start
		if c.Type == "Ready" {
			want = later
		}
		if !c.LastTransitionTime.Time.Equal(want) || c.ObservedGeneration != 4 {
			t.Errorf("%s has the time %s and generation %d, want %s", c.Type, c.LastTransitionTime, c.ObservedGeneration, want)
		}
	}
	kept := KeepTransitions([]metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue}}, []metav1.Condition{
		{Type: "Ready", Status: metav1.ConditionTrue, LastTransitionTime: metav1.NewTime(start)}})
	if kept[0].LastTransitionTime.IsZero() {
		t.Error("a present condition without a time took the time away")
	}
}

func TestOwnExportIsNotTakenFromOthers(t *testing.T) {
	f := lone(hello())
	f.Remotes = []Remote{younger("east", func(e *model.ServiceExport) { e.CreatedAt, e.Headless = start.Add(-time.Hour), true })}
	if i := imported(t, f); i.Spec.Type != "ClusterSetIP" {
		t.Error("what the federation holds of this cluster won over what its own API server says")
	}
	f.Exports = nil
	if p := Make(f, start); len(p.Imports) > 0 {
		t.Error("what the federation still holds of this cluster's own export is imported after it is gone")
	}
}

func TestStandInConflictsInItsPortsAlone(t *testing.T) {
	f := lone(hello())
	vm := younger("vm", func(e *model.ServiceExport) { e.SessionAffinity, e.Labels = "None", map[string]string{"a": "b"} })
	vm.StandIn = true
	f.Remotes = []Remote{vm}
	if c := condition(t, f, "Conflict"); c.Reason != "NoConflicts" {
		t.Errorf("%+v", c)
	}
	vm.Export.Ports = vm.Export.Ports[:1]
	f.Remotes = []Remote{vm}
	if c := condition(t, f, "Conflict"); c.Reason != "PortConflict" {
		t.Errorf("%+v", c)
	}
}

func TestRefusedExportDecidesNothing(t *testing.T) {
	f := lone(hello())
	f.Exports[0].Refused = "no rule"
	f.Remotes = []Remote{younger("west", func(e *model.ServiceExport) { e.Headless = true })}
	if i := imported(t, f); i.Spec.Type != "Headless" || len(i.Status.Clusters) != 1 {
		t.Errorf("%+v", i)
	}
	if c := condition(t, f, "Ready"); c.Status != metav1.ConditionFalse || c.Reason != "Failed" {
		t.Errorf("%+v", c)
	}
}

func TestFamiliesOfTheDerivedService(t *testing.T) {
	v4, v6 := []model.IPFamily{model.IPv4}, []model.IPFamily{model.IPv6}
	both := []model.IPFamily{model.IPv6, model.IPv4}
	for name, c := range map[string]struct {
		wanted []model.IPFamily
		own    []string
		held   []string
		want   []corev1.IPFamily
		policy corev1.IPFamilyPolicy
	}{
		"as exported":             {both, []string{"IPv4", "IPv6"}, nil, []corev1.IPFamily{"IPv6", "IPv4"}, "PreferDualStack"},
		"what the cluster has":    {both, []string{"IPv4"}, nil, []corev1.IPFamily{"IPv4"}, "SingleStack"},
		"bridged":                 {v6, []string{"IPv4"}, nil, []corev1.IPFamily{"IPv4"}, "SingleStack"},
		"what is held goes first": {both, []string{"IPv4", "IPv6"}, []string{"IPv4"}, []corev1.IPFamily{"IPv4", "IPv6"}, "PreferDualStack"},
		"what is held stays":      {v4, []string{"IPv4", "IPv6"}, []string{"IPv6", "IPv4"}, []corev1.IPFamily{"IPv6", "IPv4"}, "PreferDualStack"},
		"not known, one":          {v6, nil, nil, nil, "SingleStack"},
		"not known, two":          {both, nil, nil, nil, "PreferDualStack"},
	} {
		f := importer(younger("east", func(e *model.ServiceExport) { e.IPFamilies = c.wanted }))
		f.Families, f.Derived = c.own, map[model.ServiceKey]Derived{hello().Service: {IPFamilies: c.held}}
		s := Make(f, start).Services[0].Spec
		if !slices.Equal(s.IPFamilies, c.want) || *s.IPFamilyPolicy != c.policy {
			t.Errorf("%s: %v %s", name, s.IPFamilies, *s.IPFamilyPolicy)
		}
	}
}

func TestHeadlessFamiliesNotKnown(t *testing.T) {
	f := importer(younger("east", func(e *model.ServiceExport) { e.Headless = true }))
	f.Families = nil
	if i := imported(t, f); len(i.Spec.IPFamilies) != 2 {
		t.Errorf("families %v", i.Spec.IPFamilies)
	}
}

func TestEndpointsStandOnce(t *testing.T) {
	f := lone(hello())
	f.Egress = []Egress{{"10.9.0.1", false}, {"10.9.0.1", true}, {"no address", true}}
	_, p := converged(t, f)
	if e := p.Slices[0].Endpoints; len(e) != 1 || !*e[0].Conditions.Ready {
		t.Errorf("%+v", e)
	}
}

func TestAllotPortsMendsWhatIsHeldTwice(t *testing.T) {
	a, b := PortKey{Service: key("shop", "a"), Number: 80}, PortKey{Service: key("shop", "b"), Number: 80}
	got, err := AllotPorts(map[PortKey]uint16{a: 20005, b: 20005}, []PortKey{b, a}, FirstEgressPort, LastEgressPort)
	if err != nil || got[a] != 20005 || got[b] == 20005 || got[b] == 0 {
		t.Errorf("%v %v", got, err)
	}
}

func TestWithoutEgressPortsTheImportSaysSo(t *testing.T) {
	f := lone(hello())
	f.Ports = nil
	p := Make(f, start)
	if len(p.Services)+len(p.Slices) > 0 || p.Imports[0].Status.Conditions[0].Reason != "Pending" {
		t.Errorf("%d Services, %d slices, %+v", len(p.Services), len(p.Slices), p.Imports[0].Status.Conditions)
	}
}

func TestDerivedForKnowsItsOwn(t *testing.T) {
	_, p := converged(t, lone(hello()))
	for name, change := range map[string]func(*corev1.Service){
		"another's":    func(s *corev1.Service) { s.Labels[LabelManagedBy] = "Helm" },
		"another name": func(s *corev1.Service) { s.Name = "hanse-agent" },
		"no service":   func(s *corev1.Service) { delete(s.Labels, "multicluster.kubernetes.io/service-name") },
	} {
		s := p.Services[0].DeepCopy()
		change(s)
		if k, ours := DerivedFor(s); ours || EgressPorts(s) != nil {
			t.Errorf("%s: taken for that of %s", name, k)
		}
	}
}
