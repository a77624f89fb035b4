package kube

import (
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

func gatewayService(kind corev1.ServiceType, ingress ...corev1.LoadBalancerIngress) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "hanse-system", Name: GatewayService},
		Spec:       corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Name: "mesh", Port: 15443, NodePort: 31443}}},
		Status:     corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: ingress}},
	}
}

func addresses(gateways []model.Gateway) string {
	var out []string
	for _, g := range gateways {
		out = append(out, g.Address)
	}
	return strings.Join(out, " ")
}

func TestGatewayAddressThatVanishesStays(t *testing.T) {
	c := newCluster(t, append(shop(), gatewayService(corev1.ServiceTypeLoadBalancer))...)
	c.start()
	if c.gateways != nil {
		t.Errorf("gateways before the load balancer has an address: %+v", c.gateways)
	}
	api := c.client.CoreV1().Services("hanse-system")
	set := func(ingress ...corev1.LoadBalancerIngress) {
		t.Helper()
		mustDo[any](t)(api.Update(t.Context(), gatewayService(corev1.ServiceTypeLoadBalancer, ingress...), metav1.UpdateOptions{}))
	}
	set(corev1.LoadBalancerIngress{IP: "203.0.113.5"})
	c.until("the address is known", func() bool { return addresses(c.gateways) == "203.0.113.5" })
	if g := c.gateways[0]; g.Port != 15443 || g.Name != "lb-203-0-113-5" || g.Locality.Region != "eu" {
		t.Errorf("the gateway is %+v", g)
	}
	set()
	if err := api.Delete(t.Context(), GatewayService, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	mustDo[any](t)(api.Create(t.Context(), gatewayService(corev1.ServiceTypeLoadBalancer), metav1.CreateOptions{}))
	set(corev1.LoadBalancerIngress{Hostname: "lb.example.com"})
	var seen []string
	c.until("the new address is known", func() bool {
		seen = append(seen, addresses(c.gateways))
		return seen[len(seen)-1] == "lb.example.com"
	})
	if !reflect.DeepEqual(seen, []string{"203.0.113.5", "lb.example.com"}) {
		t.Errorf("the addresses were %q", seen)
	}
}

func TestNodesAreGatewaysOfANodePort(t *testing.T) {
	x := newIndex("eu", "hanse-system")
	x.services.put(gatewayService(corev1.ServiceTypeNodePort))
	one, two := nodeOf("node-1", "eu-north", "a"), nodeOf("node-2", "eu-north", "b")
	two.Status.Addresses = append(two.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "203.0.113.2"})
	x.nodes.put(one)
	x.nodes.put(two)
	got := x.next().Gateways
	want := []model.Gateway{
		{Name: "node-192-168-0-1", Address: "192.168.0.1", Port: 31443, Locality: model.Locality{Region: "eu-north", Zone: "a"}},
		{Name: "node-203-0-113-2", Address: "203.0.113.2", Port: 31443, Locality: model.Locality{Region: "eu-north", Zone: "b"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	fail := func(n *corev1.Node) []model.Gateway {
		n = n.DeepCopy()
		n.Status.Conditions[0].Status = corev1.ConditionUnknown
		x.nodes.put(n)
		return x.next().Gateways
	}
	if got := addresses(fail(one)); got != "203.0.113.2" {
		t.Errorf("a node that is not ready: %q", got)
	}
	if got := addresses(fail(two)); got != "192.168.0.1 203.0.113.2" {
		t.Errorf("no node is ready: %q", got)
	}
}

func TestOnlyNodesWithAGatewayAnswerALocalPort(t *testing.T) {
	x := newIndex("eu", "hanse-system")
	s := gatewayService(corev1.ServiceTypeNodePort)
	s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	x.services.put(s)
	one, two := nodeOf("node-1", "eu", "a"), nodeOf("node-2", "eu", "a")
	two.Status.Addresses[0].Address = "192.168.0.2"
	x.nodes.put(one)
	x.nodes.put(two)
	if got := x.next().Gateways; got != nil {
		t.Errorf("no gateway runs, and there is %+v", got)
	}
	x.slices.put(sliceOf(x.systemService(GatewayService), "gateways", "10.1.0.9"))
	if got := addresses(x.next().Gateways); got != "192.168.0.1" {
		t.Errorf("the gateways are at %q", got)
	}
}

func TestGatewaysAreBoundedAndWhatTheCodecTakes(t *testing.T) {
	s := gatewayService(corev1.ServiceTypeLoadBalancer, corev1.LoadBalancerIngress{IP: "fd00::"}, corev1.LoadBalancerIngress{Hostname: strings.Repeat("a.", 100) + "example.com"})
	for i := range 100 {
		s.Spec.ExternalIPs = append(s.Spec.ExternalIPs, "198.51.100."+string(rune('0'+i%10))+string(rune('0'+i/10)))
	}
	all := gatewaysOf(readEntry(s), nil, nil, "eu")
	if len(all) != codec.MaxGateways {
		t.Errorf("%d gateways", len(all))
	}
	names := map[string]bool{}
	for _, g := range all {
		if err := model.ValidateLabel("gateway", g.Name); err != nil || names[g.Name] {
			t.Errorf("%q: %v, twice %v", g.Name, err, names[g.Name])
		}
		names[g.Name] = true
	}
	s.Spec.Ports[0].Protocol = corev1.ProtocolUDP
	if got := gatewaysOf(readEntry(s), nil, nil, "eu"); got != nil {
		t.Errorf("no TCP port: %+v", got)
	}
}

func TestFactsFollowTheCluster(t *testing.T) {
	derived := serviceOf(model.ServiceKey{Namespace: "shop", Name: mcs.DerivedName(payments)})
	derived.Labels = map[string]string{mcs.LabelManagedBy: mcs.Manager, "multicluster.kubernetes.io/service-name": "payments"}
	derived.Spec.ClusterIP, derived.Spec.ClusterIPs = "", nil
	c := newCluster(t, append(shop(), derived, namespaceOf("hanse-system"))...)
	c.start()
	facts := func() Facts {
		f, ok := c.Facts()
		if !ok {
			t.Fatal("no facts")
		}
		return f
	}
	if f := facts(); len(f.Derived)+len(f.Egress) != 0 || !f.Namespaces["shop"] || len(f.Exports) != 1 || f.Exports[0].Export == nil {
		t.Errorf("facts are %+v", f)
	}
	derived = derived.DeepCopy()
	derived.Spec.ClusterIP, derived.Spec.ClusterIPs = "10.96.0.77", []string{"10.96.0.77"}
	mustDo[any](t)(c.client.CoreV1().Services("shop").Update(t.Context(), derived, metav1.UpdateOptions{}))
	c.untilChanged("the derived Service has an address", func() bool { return len(facts().Derived[payments].ClusterIPs) == 1 })

	egress := sliceOf(model.ServiceKey{Namespace: "hanse-system", Name: EgressService}, "egress", "10.1.0.9")
	mustDo[any](t)(c.client.DiscoveryV1().EndpointSlices("hanse-system").Create(t.Context(), egress, metav1.CreateOptions{}))
	c.untilChanged("there is an egress pod", func() bool {
		return reflect.DeepEqual(facts().Egress, []mcs.Egress{{Address: "10.1.0.9", Ready: true}})
	})

	mustDo[any](t)(c.client.CoreV1().Namespaces().Create(t.Context(), namespaceOf("bank"), metav1.CreateOptions{}))
	c.untilChanged("there is a namespace", func() bool { return facts().Namespaces["bank"] })

	e := exportObject(payments)
	e.Generation = 2
	e.Status.Conditions = []metav1.Condition{{Type: "Valid", Status: metav1.ConditionTrue}}
	mustDo[any](t)(c.mcs.MulticlusterV1beta1().ServiceExports("shop").Update(t.Context(), e, metav1.UpdateOptions{}))
	c.untilChanged("the conditions are known", func() bool {
		one := facts().Exports[0]
		return one.Generation == 2 && len(one.Conditions) == 1 && one.Export != nil
	})

	cidrs := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: defaultServiceCIDR}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"fd01::/108", "10.96.0.0/16"}}}
	mustDo[any](t)(c.client.NetworkingV1().ServiceCIDRs().Create(t.Context(), cidrs, metav1.CreateOptions{}))
	c.untilChanged("the families are known", func() bool { return reflect.DeepEqual(facts().Families, []string{"IPv6", "IPv4"}) })
}

func TestPodsHaveThePlaceOfTheirNode(t *testing.T) {
	c := newCluster(t, shop()...)
	c.start()
	north := model.Locality{Region: "eu-north", Zone: "a"}
	for ip, want := range map[string]model.Locality{
		"10.1.0.1":   north, // an endpoint
		"10.1.0.200": north, // a pod of no service, in its node's range
		"10.9.0.1":   {},
		"nonsense":   {},
	} {
		if got, ok := c.Locality(ip); got != want || ok != (want != model.Locality{}) {
			t.Errorf("%s is in %v, %v", ip, got, ok)
		}
	}
}

func TestLabelsOfAnyTextAreLabels(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "eu-north": "eu-north", "EU_North": "eu-north", "_x_": "x", "a.b": "a-b", "ü": "", strings.Repeat("a", 62) + ".b": strings.Repeat("a", 62),
	} {
		if got := labelOf(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
	for address, want := range map[string]string{"10.0.0.1": "10-0-0-1", "fd00::1": "fd00--1", "::1": "0--1", "fd00::": "fd00--0"} {
		if got := addressLabel(address); got != want || model.ValidateLabel("hostname", got) != nil {
			t.Errorf("%s became %q", address, got)
		}
	}
}
