package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

const (
	// namespaces that the services are spread over.
	namespaces = 20
	// servicePort is the number of every service's one port.
	servicePort = 80
	// writers create objects at once.
	writers = 32
)

// load is the services of one cluster: their names have a prefix, so that clusters export the same ones or others.
type load struct {
	prefix    string
	services  int
	endpoints int
}

func (l load) key(i int) model.ServiceKey {
	return model.ServiceKey{Namespace: fmt.Sprint("team-", i%namespaces), Name: fmt.Sprintf("%s-%d", l.prefix, i)}
}

// slice has all endpoints of a service; those below ready are so. Nothing runs there, and nothing is called.
func (l load) slice(i, ready int) *discoveryv1.EndpointSlice {
	k, name, number, tcp := l.key(i), "http", int32(8080), corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name, Labels: map[string]string{discoveryv1.LabelServiceName: k.Name}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &number, Protocol: &tcp}},
	}
	for j := range l.endpoints {
		yes, no, node, zone := j < ready, false, fmt.Sprint("node-", (i+j)%100), fmt.Sprint("zone-", j%3)
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{fmt.Sprintf("10.%d.%d.%d", 200+i/250, i%250, j+1)},
			Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no}, NodeName: &node, Zone: &zone,
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: k.Namespace, Name: fmt.Sprintf("%s-6d4cf56db6-%05d", k.Name, j)},
		})
	}
	return s
}

// set makes so many endpoints of a service ready.
func (p *plane) set(ctx context.Context, l load, i, ready int) error {
	s := l.slice(i, ready)
	_, err := p.kube.DiscoveryV1().EndpointSlices(s.Namespace).Update(ctx, s, metav1.UpdateOptions{})
	return err
}

// prepare makes the namespaces.
func (p *plane) prepare(ctx context.Context) error {
	names := []string{model.SystemNamespace}
	for i := range namespaces {
		names = append(names, fmt.Sprint("team-", i))
	}
	for _, name := range names {
		_, err := p.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
	}
	return nil
}

// fill creates and exports the services.
func (p *plane) fill(ctx context.Context, l load) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(writers)
	for i := range l.services {
		all.Go(func() error { return p.create(ctx, l, i) })
	}
	return all.Wait()
}

func (p *plane) create(ctx context.Context, l load, i int) error {
	k := l.key(i)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Name: "http", Port: servicePort, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}},
	}}
	if _, err := p.kube.CoreV1().Services(k.Namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := p.kube.DiscoveryV1().EndpointSlices(k.Namespace).Create(ctx, l.slice(i, l.endpoints), metav1.CreateOptions{}); err != nil {
		return err
	}
	export := &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}}
	_, err := p.mcs.MulticlusterV1beta1().ServiceExports(k.Namespace).Create(ctx, export, metav1.CreateOptions{})
	return err
}
