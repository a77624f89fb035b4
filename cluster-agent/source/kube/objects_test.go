package kube

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

var payments = model.ServiceKey{Namespace: "shop", Name: "payments"}

func kindOf(o runtime.Object) string { return fmt.Sprintf("%T", o) }

func meta(k model.ServiceKey) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}
}

// serviceOf is a Service with one HTTP port that its pods serve on 8080.
func serviceOf(k model.ServiceKey) *corev1.Service {
	internal := corev1.ServiceInternalTrafficPolicyCluster
	return &corev1.Service{ObjectMeta: meta(k), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.10", ClusterIPs: []string{"10.96.0.10"},
		IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, SessionAffinity: corev1.ServiceAffinityNone, InternalTrafficPolicy: &internal,
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
	}}
}

func exportObject(k model.ServiceKey) *mcsv1beta1.ServiceExport {
	e := &mcsv1beta1.ServiceExport{ObjectMeta: meta(k)}
	e.CreationTimestamp = metav1.NewTime(now)
	return e
}

// sliceOf is a slice of pods that serve 8080, one for each address, all on node-1.
func sliceOf(k model.ServiceKey, name string, addresses ...string) *discoveryv1.EndpointSlice {
	port, number, tcp, onNode := "http", int32(8080), corev1.ProtocolTCP, "node-1"
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: k.Namespace, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: k.Name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &port, Port: &number, Protocol: &tcp}},
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{a}, Conditions: conditions(true, true, false), NodeName: &onNode,
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: k.Namespace, Name: "pod-" + addressLabel(a)},
		})
	}
	return s
}

func conditions(ready, serving, terminating bool) discoveryv1.EndpointConditions {
	return discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}
}

func nodeOf(name, region, zone string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyRegion: region, corev1.LabelTopologyZone: zone}},
		Spec:       corev1.NodeSpec{PodCIDRs: []string{"10.1.0.0/24"}},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.168.0.1"}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

func namespaceOf(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// shop is a cluster with one exported service of two pods.
func shop() []runtime.Object {
	return []runtime.Object{
		namespaceOf("shop"), nodeOf("node-1", "eu-north", "a"), serviceOf(payments), exportObject(payments),
		sliceOf(payments, "payments-1", "10.1.0.1", "10.1.0.2"),
	}
}

const podOne, podTwo = "shop/payments/pod-10-1-0-1", "shop/payments/pod-10-1-0-2"
