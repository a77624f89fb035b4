package lab

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// balance gives each Service of type LoadBalancer addresses on the wide-area network, as a cloud would: the node takes them, kube-proxy
// does the rest. It goes on until the cluster is taken down.
func (c *Cluster) balance(ctx context.Context) error {
	running, cancel := context.WithCancel(context.Background())
	c.balancer = cancel
	factory := informers.NewSharedInformerFactory(c.Kube, 0)
	services := factory.Core().V1().Services().Informer()
	b := &balancers{cluster: c, given: map[string]int{}}
	update := func(object any) {
		if s, ok := object.(*corev1.Service); ok {
			// An error comes back as the next change of the object, or stands in the status that nobody sets.
			_ = b.serve(running, s)
		}
	}
	if _, err := services.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: update, UpdateFunc: func(_, now any) { update(now) }}); err != nil {
		return err
	}
	factory.Start(running.Done())
	if !cache.WaitForCacheSync(ctx.Done(), services.HasSynced) {
		return fmt.Errorf("services of %s: %w", c.Name, ctx.Err())
	}
	return nil
}

type balancers struct {
	cluster *Cluster

	mu    sync.Mutex
	given map[string]int
}

// serve writes the status of a Service that has none. A Service keeps its addresses while it and the lab live.
func (b *balancers) serve(ctx context.Context, s *corev1.Service) error {
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer || len(s.Status.LoadBalancer.Ingress) > 0 {
		return nil
	}
	b.mu.Lock()
	name := s.Namespace + "/" + s.Name
	n := b.given[name]
	if n == 0 {
		n = len(b.given) + 1
		b.given[name] = n
	}
	b.mu.Unlock()
	pair := b.cluster.Addresses.balancer(n)
	script := fmt.Sprintf("ip addr replace %s/32 dev wan; ip addr replace %s/128 dev wan nodad", pair[0], pair[1])
	if _, err := b.cluster.sandbox.run(ctx, script); err != nil {
		return err
	}
	fresh := s.DeepCopy()
	for _, family := range s.Spec.IPFamilies {
		address := pair[0]
		if family == corev1.IPv6Protocol {
			address = pair[1]
		}
		fresh.Status.LoadBalancer.Ingress = append(fresh.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: address.String()})
	}
	_, err := b.cluster.Kube.CoreV1().Services(s.Namespace).UpdateStatus(ctx, fresh, metav1.UpdateOptions{})
	return err
}
