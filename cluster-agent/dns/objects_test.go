package dns

import (
	"net/netip"

	wire "github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

func key(namespace, name string) model.ServiceKey {
	return model.ServiceKey{Namespace: namespace, Name: name}
}

func importPort(name string, protocol corev1.Protocol, number int32) mcsv1beta1.ServicePort {
	return mcsv1beta1.ServicePort{Name: name, Protocol: protocol, Port: number}
}

// clusterSetIP is a ServiceImport with addresses.
func clusterSetIP(ips []string, ports ...mcsv1beta1.ServicePort) *mcsv1beta1.ServiceImport {
	return &mcsv1beta1.ServiceImport{Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: ips, Ports: ports}}
}

func headless() *mcsv1beta1.ServiceImport {
	return &mcsv1beta1.ServiceImport{Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.Headless}}
}

// slice is an EndpointSlice of a cluster; readiness and ports are set where they matter.
func slice(cluster string, ports []discoveryv1.EndpointPort, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{mcsv1beta1.LabelSourceCluster: cluster}},
		Ports:      ports, Endpoints: endpoints,
	}
}

// pod is an endpoint; without a hostname it has none of its own.
func pod(hostname string, ready bool, addresses ...string) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: addresses, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
	if hostname != "" {
		e.Hostname = &hostname
	}
	return e
}

func slicePort(name string, protocol corev1.Protocol, number int32) discoveryv1.EndpointPort {
	return discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &number}
}

// shop is the zone of most tests.
func shop() *Zone {
	web := []discoveryv1.EndpointPort{slicePort("http", corev1.ProtocolTCP, 8080), slicePort("admin", corev1.ProtocolTCP, 9090)}
	return (*Zone)(nil).With(map[model.ServiceKey]*Service{
		key("shop", "cart"): NewService(clusterSetIP([]string{"10.96.0.7", "fd00:10:96::7"},
			importPort("http", corev1.ProtocolTCP, 80), importPort("dns", corev1.ProtocolUDP, 53), importPort("dns-tcp", corev1.ProtocolTCP, 53)), nil),
		key("shop", "unnamed"): NewService(clusterSetIP([]string{"10.96.0.8"}, importPort("", corev1.ProtocolTCP, 80)), nil),
		key("shop", "waiting"): NewService(clusterSetIP(nil, importPort("http", corev1.ProtocolTCP, 80)), nil),
		key("shop", "six"):     NewService(clusterSetIP([]string{"fd00:10:96::9"}), nil),
		key("shop", "web"): NewService(headless(), []*discoveryv1.EndpointSlice{
			slice("east", web, pod("web-0", true, "10.1.0.10"), pod("web-1", true, "10.1.0.11"), pod("web-2", false, "10.1.0.12")),
			slice("east", web, pod("web-0", true, "fd00:10:1::a")),
			slice("west", web, pod("web-0", true, "10.2.0.10"), pod("", true, "10.2.0.11"), pod("", true, "fd00:10:2::b")),
		}),
		key("shop", "gone"):  NewService(headless(), []*discoveryv1.EndpointSlice{slice("east", web, pod("gone-0", false, "10.1.0.20"))}),
		key("bank", "vault"): NewService(clusterSetIP([]string{"10.96.1.1"}, importPort("grpc", corev1.ProtocolTCP, 443)), nil),
	})
}

// crowd is a zone with one headless service of n endpoints.
func crowd(n int) *Zone {
	endpoints := make([]discoveryv1.Endpoint, n)
	at := netip.MustParseAddr("10.64.0.0")
	for i := range endpoints {
		at = at.Next()
		endpoints[i] = pod("", true, at.String())
	}
	of := slice("east", []discoveryv1.EndpointPort{slicePort("http", corev1.ProtocolTCP, 8080)}, endpoints...)
	return (*Zone)(nil).With(map[model.ServiceKey]*Service{
		key("shop", "crowd"): NewService(headless(), []*discoveryv1.EndpointSlice{of}),
	})
}

// query is a question in bytes; size is what EDNS says, zero for none.
func query(name string, qtype uint16, size uint16) []byte {
	m := new(wire.Msg)
	m.SetQuestion(name, qtype)
	m.Id = 4711
	if size > 0 {
		m.SetEdns0(size, false)
	}
	out, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return out
}
