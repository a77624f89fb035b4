package kube

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

func TestStripKeepsWhatCounts(t *testing.T) {
	heavy := metav1.ObjectMeta{
		Name: "n", Namespace: "shop", Labels: map[string]string{"a": "b"},
		Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "…"},
		Finalizers:  []string{"x"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		OwnerReferences: []metav1.OwnerReference{{Name: "owner"}},
	}
	light := metav1.ObjectMeta{Name: "n", Namespace: "shop", Labels: map[string]string{"a": "b"}}
	ingress := corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}}
	ready := []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	for _, c := range []struct{ in, want any }{
		{
			&corev1.Service{ObjectMeta: heavy, Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1", Selector: map[string]string{"app": "n"}},
				Status: corev1.ServiceStatus{LoadBalancer: ingress, Conditions: []metav1.Condition{{Type: "X"}}}},
			&corev1.Service{ObjectMeta: light, Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1"}, Status: corev1.ServiceStatus{LoadBalancer: ingress}},
		},
		{
			&discoveryv1.EndpointSlice{ObjectMeta: heavy, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.1"}, Hints: &discoveryv1.EndpointHints{}}}},
			&discoveryv1.EndpointSlice{ObjectMeta: light, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.1"}}}},
		},
		{
			&corev1.Node{ObjectMeta: heavy, Spec: corev1.NodeSpec{PodCIDRs: []string{"10.1.0.0/24"}, ProviderID: "p"},
				Status: corev1.NodeStatus{Conditions: ready, Images: []corev1.ContainerImage{{SizeBytes: 1}}}},
			&corev1.Node{ObjectMeta: light, Spec: corev1.NodeSpec{PodCIDRs: []string{"10.1.0.0/24"}}, Status: corev1.NodeStatus{Conditions: ready}},
		},
		{&corev1.Namespace{ObjectMeta: heavy}, &corev1.Namespace{ObjectMeta: light}},
		{&mcsv1beta1.ServiceExport{ObjectMeta: heavy}, &mcsv1beta1.ServiceExport{ObjectMeta: light}},
	} {
		got, err := strip(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%T: got %+v, %v", c.in, got, err)
		}
	}
}
