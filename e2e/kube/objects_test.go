//go:build e2ekube

package kube

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/hanse-mesh/hanse/e2e/kube/image"
)

const clientPod = `apiVersion: v1
kind: Pod
metadata: {name: request, namespace: NAMESPACE}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: request, image: "` + image.Client + `", command: [sh, -c, "sleep 3600"]}
`

// ports are those of the service hello when a rule does not say otherwise.
func ports() []corev1.ServicePort {
	return []corev1.ServicePort{
		{Name: "tcp", Port: 42, Protocol: corev1.ProtocolTCP, AppProtocol: ptr.To("hanse.test/greeting")},
		{Name: "udp", Port: 42, Protocol: corev1.ProtocolUDP},
	}
}

// service is the service hello, dual stack where the cluster is.
func (s *stage) service(change func(*corev1.Service)) *corev1.Service {
	dual := corev1.IPFamilyPolicyPreferDualStack
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: "hello", Namespace: s.namespace, Labels: map[string]string{"of-the-service": "stays"}, Annotations: map[string]string{"of-the-service": "stays"},
		},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "hello"}, Ports: ports(), IPFamilyPolicy: &dual, SessionAffinity: corev1.ServiceAffinityClientIP,
			SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To(int32(10))}},
		},
	}
	if change != nil {
		change(service)
	}
	return service
}

// headless makes a service one without an address of its own.
func headless(service *corev1.Service) {
	service.Spec.ClusterIP, service.Spec.SessionAffinity, service.Spec.SessionAffinityConfig = corev1.ClusterIPNone, corev1.ServiceAffinityNone, nil
}

// greet is a server that says which cluster it is in and which addresses it has, once per connection or datagram.
func (s *stage) greet(m *member) corev1.PodTemplateSpec {
	container := func(name, listen string) corev1.Container {
		return corev1.Container{
			Name: name, Image: image.Server,
			Args: []string{listen, fmt.Sprintf(`SYSTEM:echo "cluster %s pod $ADDRESSES"`, m.Name)},
			Env: []corev1.EnvVar{{Name: "ADDRESSES", ValueFrom: &corev1.EnvVarSource{
				FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIPs"},
			}}},
		}
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "hello"}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: ptr.To(int64(0)),
			Containers: []corev1.Container{
				container("tcp", "TCP6-LISTEN:42,ipv6only=0,reuseaddr,fork"), container("udp", "UDP6-RECVFROM:42,ipv6only=0,reuseaddr,fork"),
			},
		},
	}
}

// serve creates the service hello, and its pods unless change made it one for another name.
func (s *stage) serve(m *member, change func(*corev1.Service)) error {
	service := s.service(change)
	if _, err := m.Kube.CoreV1().Services(s.namespace).Create(s.ctx, service, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create a service in %s: %w", m.Name, err)
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "hello", Namespace: s.namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "hello"}}, Template: s.greet(m),
		},
	}
	if _, err := m.Kube.AppsV1().Deployments(s.namespace).Create(s.ctx, deployment, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create a deployment in %s: %w", m.Name, err)
	}
	return nil
}

// serveNamed creates the headless service hello with a StatefulSet, whose pods have names of their own.
func (s *stage) serveNamed(m *member, replicas int32) error {
	if _, err := m.Kube.CoreV1().Services(s.namespace).Create(s.ctx, s.service(headless), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create a service in %s: %w", m.Name, err)
	}
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "hello", Namespace: s.namespace},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, ServiceName: "hello", PodManagementPolicy: appsv1.ParallelPodManagement,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "hello"}}, Template: s.greet(m),
		},
	}
	_, err := m.Kube.AppsV1().StatefulSets(s.namespace).Create(s.ctx, set, metav1.CreateOptions{})
	return err
}

// name is the service's name for all clusters.
func (s *stage) name() string { return "hello." + s.namespace + ".svc.clusterset.local" }
