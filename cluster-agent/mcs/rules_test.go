package mcs

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

// The rules are numbered as the conformance suite of sigs.k8s.io/mcs-api has them; what needs packets, DNS or pods is not here.

// imported returns the only import of a plan that was carried out.
func imported(t *testing.T, f Facts) *mcsv1beta1.ServiceImport {
	t.Helper()
	_, p := converged(t, f)
	if len(p.Imports) != 1 {
		t.Fatalf("%d imports", len(p.Imports))
	}
	return p.Imports[0]
}

// condition returns one condition of the only local export.
func condition(t *testing.T, f Facts, kind string) metav1.Condition {
	t.Helper()
	for _, c := range Make(f, start).Conditions[f.Exports[0].Service] {
		if c.Type == kind {
			return c
		}
	}
	t.Fatalf("there is no condition %s", kind)
	return metav1.Condition{}
}

// importer is a cluster that exports nothing itself.
func importer(remotes ...Remote) Facts {
	f := lone(hello())
	f.Cluster, f.Exports, f.Remotes = "north", nil, remotes
	f.allot()
	return f
}

func TestRule01LivesWhileExported(t *testing.T) {
	f := importer(younger("east", nil), younger("west", nil))
	imported(t, f)
	f.Remotes = f.Remotes[1:]
	imported(t, f)
	f, _ = converged(t, f)
	f.Remotes = nil
	if p := Make(f, start); len(p.Imports)+len(p.Services)+len(p.Slices) > 0 {
		t.Errorf("nobody exports it, but the plan has %d imports, %d Services, %d slices", len(p.Imports), len(p.Services), len(p.Slices))
	}
}

func TestRule02OnlyExportedLabels(t *testing.T) {
	e := hello()
	e.Labels, e.Annotations = map[string]string{"dummy-label": "true", LabelManagedBy: "somebody"}, map[string]string{"dummy-annotation": "true"}
	i := imported(t, lone(e))
	if len(i.Labels) != 2 || i.Labels["dummy-label"] != "true" || i.Labels[LabelManagedBy] != Manager {
		t.Errorf("labels %v", i.Labels)
	}
	if len(i.Annotations) != 2 || i.Annotations["dummy-annotation"] != "true" || i.Annotations[AnnotationDerived] != DerivedName(e.Service) {
		t.Errorf("annotations %v", i.Annotations)
	}
	if len(e.Annotations) != 1 {
		t.Error("the export's own map was changed")
	}
}

func TestRule03OldestLabelsWin(t *testing.T) {
	e := hello()
	e.Labels = map[string]string{"a": "1"}
	f := lone(e)
	f.Remotes = []Remote{younger("west", func(e *model.ServiceExport) {
		e.Labels, e.Annotations = map[string]string{"b": "2"}, map[string]string{"c": "3"}
	})}
	if i := imported(t, f); i.Labels["a"] != "1" || i.Labels["b"] != "" || i.Annotations["c"] != "" {
		t.Errorf("labels %v, annotations %v", i.Labels, i.Annotations)
	}
	if c := condition(t, f, "Conflict"); c.Reason != "LabelsConflict,AnnotationsConflict" || c.Status != metav1.ConditionTrue {
		t.Errorf("%+v", c)
	}
}

func TestRule04ImportedWhereTheNamespaceIs(t *testing.T) {
	f := importer(younger("east", nil))
	if i := imported(t, f); i.Spec.Type != mcsv1beta1.ClusterSetIP || i.Namespace != "demo" || i.Name != "hello" {
		t.Errorf("%+v", i)
	}
	for _, namespaces := range []map[string]bool{nil, {"demo": false}} {
		f.Namespaces = namespaces
		if p := Make(f, start); len(p.Imports)+len(p.Services)+len(p.Slices) > 0 || len(WantedPorts(f)) > 0 {
			t.Errorf("the namespace is not there, but something is to be made in it: %+v", p)
		}
	}
	if c := condition(t, lone(hello()), "Valid"); c.Status != metav1.ConditionTrue || c.Reason != "Valid" || c.ObservedGeneration != 3 {
		t.Errorf("%+v", c)
	}
	if c := condition(t, lone(hello()), "Ready"); c.Status != metav1.ConditionTrue || c.Reason != "Exported" {
		t.Errorf("%+v", c)
	}
}

func TestRules05To07PoliciesAreCopied(t *testing.T) {
	e := hello()
	e.InternalTrafficPolicy, e.TrafficDistribution = "Local", "PreferClose"
	s := imported(t, lone(e)).Spec
	if s.SessionAffinity != corev1.ServiceAffinityClientIP || *s.SessionAffinityConfig.ClientIP.TimeoutSeconds != 10 {
		t.Errorf("affinity %s %+v", s.SessionAffinity, s.SessionAffinityConfig)
	}
	if *s.InternalTrafficPolicy != corev1.ServiceInternalTrafficPolicyLocal || *s.TrafficDistribution != "PreferClose" {
		t.Errorf("policy %s, distribution %s", *s.InternalTrafficPolicy, *s.TrafficDistribution)
	}
	bare := imported(t, lone(model.ServiceExport{Service: e.Service, CreatedAt: start, Ports: e.Ports, IPFamilies: e.IPFamilies})).Spec
	if bare.SessionAffinity != "" || bare.SessionAffinityConfig != nil || bare.InternalTrafficPolicy != nil || bare.TrafficDistribution != nil {
		t.Errorf("a Service that says nothing became %+v", bare)
	}
	_, p := converged(t, lone(e))
	if d := p.Services[0].Spec; *d.InternalTrafficPolicy != corev1.ServiceInternalTrafficPolicyCluster || d.TrafficDistribution != nil {
		t.Errorf("egress pods are not on every node, but the derived Service says %s", *d.InternalTrafficPolicy)
	}
}

func TestRule08AddressesOfTheDerivedService(t *testing.T) {
	first := Make(lone(hello()), start)
	i := first.Imports[0]
	if c := i.Status.Conditions[0]; len(i.Spec.IPs)+len(i.Spec.IPFamilies) > 0 || c.Status != metav1.ConditionFalse || c.Reason != "Pending" {
		t.Errorf("before there are addresses the import has %v and says %+v", i.Spec.IPs, c)
	}
	f := lone(hello())
	f.Derived = map[model.ServiceKey]Derived{hello().Service: {ClusterIPs: []string{"fd96::7", "10.96.0.7"}, IPFamilies: []string{"IPv6", "IPv4"}}}
	i = Make(f, start).Imports[0]
	if !slices.Equal(i.Spec.IPs, []string{"fd96::7", "10.96.0.7"}) || !slices.Equal(i.Spec.IPFamilies, []corev1.IPFamily{"IPv6", "IPv4"}) ||
		i.Status.Conditions[0].Status != metav1.ConditionTrue {
		t.Errorf("%+v", i)
	}
	for name, d := range map[string]Derived{
		"no address": {ClusterIPs: []string{"None"}, IPFamilies: []string{"IPv4"}},
		"one of two": {ClusterIPs: []string{"10.96.0.7"}, IPFamilies: []string{"IPv4", "IPv6"}},
		"wrong way":  {ClusterIPs: []string{"10.96.0.7"}, IPFamilies: []string{"IPv6"}},
	} {
		f.Derived = map[model.ServiceKey]Derived{hello().Service: d}
		if i := Make(f, start).Imports[0]; len(i.Spec.IPs)+len(i.Spec.IPFamilies) > 0 || i.Status.Conditions[0].Reason != "Pending" {
			t.Errorf("%s: %+v", name, i.Spec)
		}
	}
}

func port(name string, number int32, protocol corev1.Protocol) mcsv1beta1.ServicePort {
	return mcsv1beta1.ServicePort{Name: name, Port: number, Protocol: protocol}
}

func TestRules09To11Ports(t *testing.T) {
	own := []mcsv1beta1.ServicePort{port("tcp", 42, "TCP"), port("udp", 42, "UDP")}
	for name, c := range map[string]struct {
		ports  []model.Port
		want   []mcsv1beta1.ServicePort
		reason string
	}{
		"9: the same": {hello().Ports, own, "NoConflicts"},
		"10: one less and an SCTP port more": {
			[]model.Port{{Name: "tcp", Number: 42, Protocol: model.ProtocolTCP}, {Name: "stcp", Number: 142, Protocol: model.ProtocolSCTP}},
			append(slices.Clone(own), port("stcp", 142, "SCTP")), "PortConflict"},
		"11: the name is taken":         {[]model.Port{{Name: "tcp", Number: 43, Protocol: model.ProtocolTCP}}, own, "PortConflict"},
		"the number is taken":           {[]model.Port{{Name: "http", Number: 42, Protocol: model.ProtocolTCP}}, own, "PortConflict"},
		"another application protocol":  {[]model.Port{{Name: "tcp", Number: 42, AppProtocol: "http"}, hello().Ports[1]}, own, "PortConflict"},
		"a protocol by the port's name": {[]model.Port{{Name: "tcp", Number: 42, Protocol: model.ProtocolHTTP}, hello().Ports[1]}, own, "NoConflicts"},
	} {
		f := lone(hello())
		f.Remotes = []Remote{younger("west", func(e *model.ServiceExport) { e.Ports = c.ports })}
		f.allot()
		if got := imported(t, f).Spec.Ports; !slices.Equal(got, c.want) {
			t.Errorf("%s: ports %v, want %v", name, got, c.want)
		}
		if got := condition(t, f, "Conflict"); got.Reason != c.reason {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestRules12And13Headless(t *testing.T) {
	e := hello()
	e.Headless = true
	e.Endpoints = []model.ExportEndpoint{{Hostname: "hello-0", Address: "10.1.0.4", Ready: true}, {Hostname: "hello-0", Address: "fd01::4", Ready: true}}
	f, p := converged(t, importer(Remote{Cluster: "east", Export: e}))
	if i := p.Imports[0]; i.Spec.Type != mcsv1beta1.Headless || len(i.Spec.IPs) > 0 || len(i.Spec.IPFamilies) != 2 {
		t.Errorf("%+v", i.Spec)
	}
	if len(p.Services) > 0 || len(WantedPorts(f)) > 0 {
		t.Error("a headless service has a derived Service, or wants egress ports")
	}
	// Somebody turned a service with addresses into a headless one.
	f.Derived = map[model.ServiceKey]Derived{e.Service: {ClusterIPs: []string{"10.96.0.7"}, IPFamilies: []string{"IPv4"}}}
	if i := Make(f, start).Imports[0]; len(i.Spec.IPs) > 0 {
		t.Errorf("a headless import has the addresses %v", i.Spec.IPs)
	}
}

func TestRule14ExternalNameIsNotExported(t *testing.T) {
	f := lone(hello())
	f.Exports[0].Invalid, f.Exports[0].Export = "InvalidServiceType", nil
	if c := condition(t, f, "Valid"); c.Status != metav1.ConditionFalse || c.Reason != "InvalidServiceType" {
		t.Errorf("%+v", c)
	}
	if p := Make(f, start); len(p.Imports) > 0 {
		t.Error("it is imported")
	}
}

func TestRule15OldestTypeWins(t *testing.T) {
	f := lone(hello())
	f.Remotes = []Remote{younger("west", func(e *model.ServiceExport) { e.Headless = true })}
	if i := imported(t, f); i.Spec.Type != mcsv1beta1.ClusterSetIP || len(i.Status.Clusters) != 2 {
		t.Errorf("%+v", i)
	}
	if c := condition(t, f, "Conflict"); c.Reason != "TypeConflict" {
		t.Errorf("%+v", c)
	}
}

func TestRule16EndpointSlices(t *testing.T) {
	f := lone(hello())
	f.Remotes = []Remote{younger("west", nil)}
	_, p := converged(t, f)
	seen := map[string]int{}
	for _, s := range p.Slices {
		seen[s.Labels[mcsv1beta1.LabelSourceCluster]+" "+string(s.AddressType)] = len(s.Endpoints)
		if s.Labels[mcsv1beta1.LabelServiceName] != "hello" || s.Labels[discoveryv1.LabelManagedBy] != Manager ||
			s.Labels[discoveryv1.LabelServiceName] != DerivedName(key("demo", "hello")) {
			t.Errorf("labels %v", s.Labels)
		}
	}
	if len(seen) != 4 || seen["east IPv4"] != 2 || seen["east IPv6"] != 2 || seen["west IPv4"] != 2 || seen["west IPv6"] != 2 {
		t.Errorf("slices %v", seen)
	}
	for i := range f.Egress {
		f.Egress[i].Ready = false
	}
	_, p = converged(t, f)
	for _, s := range p.Slices {
		if len(s.Endpoints) == 0 || *s.Endpoints[0].Conditions.Ready {
			t.Errorf("no egress pod is ready, but %s has %v", s.Name, s.Endpoints)
		}
	}
	f.EndpointSlices = false
	_, p = converged(t, f)
	if p.Imports[0].Status.EndpointSliceObjects != mcsv1beta1.EndpointSliceObjectsAbsent {
		t.Error("slices without labels count as present")
	}
	for _, s := range p.Slices {
		if s.Labels[mcsv1beta1.LabelServiceName] != "" || s.Labels[discoveryv1.LabelServiceName] == "" {
			t.Errorf("labels %v", s.Labels)
		}
	}
}

// TestRules20And21StrictPortConflict: a cluster's slices have no port that its service lacks.
func TestRules20And21StrictPortConflict(t *testing.T) {
	for number, want := range map[uint16][]int32{42: {42}, 43: nil, 4242: {4242}} {
		f := lone(hello())
		name := "tcp"
		if number == 4242 {
			name = "other"
		}
		f.Remotes = []Remote{younger("west", func(e *model.ServiceExport) {
			e.Ports = []model.Port{{Name: name, Number: number, Protocol: model.ProtocolTCP}}
		})}
		f.allot()
		_, p := converged(t, f)
		of := map[int32]int32{}
		for _, port := range p.Services[0].Spec.Ports {
			of[port.TargetPort.IntVal] = port.Port
		}
		var got []int32
		for _, s := range p.Slices {
			if s.Labels[mcsv1beta1.LabelSourceCluster] == "west" && s.AddressType == "IPv4" {
				for _, port := range s.Ports {
					got = append(got, of[*port.Port])
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("west has port %d, its slices have %v, want %v", number, got, want)
		}
	}
}
