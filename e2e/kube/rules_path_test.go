//go:build e2ekube

package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/e2e/kube/lab"
)

// pathRules are those on EndpointSlices and on packets.
var pathRules = []rule{
	{16, "each cluster has EndpointSlices per family, with their labels, until the export goes", endpointSlices},
	{17, "a service that is not exported is not reached", notExported},
	{18, "an exported service is reached by its name", reached},
	{19, "a service of two clusters that one exports is reached there alone", exporterAlone},
	{20, "one port's name, two numbers: the oldest's number reaches its own cluster alone", strictPort},
	{21, "two ports' names: each number reaches the cluster that has it", portPerCluster},
}

// patience bounds one call, with the start of its program in the pod.
const patience = 12 * time.Second

// callsInARow is how often the same must happen before it counts as a rule's doing.
const callsInARow = 10

// slices lists a cluster's EndpointSlices of the imported service.
func (s *stage) slices(ctx context.Context, m *member) ([]discoveryv1.EndpointSlice, error) {
	list, err := m.Kube.DiscoveryV1().EndpointSlices(s.namespace).List(ctx, metav1.ListOptions{LabelSelector: mcsv1beta1.LabelServiceName + "=hello"})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

func endpointSlices(s *stage) error {
	if err := s.offer(nil, nil); err != nil {
		return err
	}
	err := s.awaitImports(func(m *member, i *mcsv1beta1.ServiceImport) error { return s.slicesOf(m, i.Spec.IPFamilies) })
	if err != nil {
		return err
	}
	if err := s.unexport(s.first); err != nil {
		return err
	}
	return s.each(func(m *member) error {
		return s.eventually(func(ctx context.Context) error {
			left, err := s.slices(ctx, m)
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("%d EndpointSlices are left in %s after the export is gone", len(left), m.Name)
			}
			return err
		})
	})
}

// slicesOf checks that there are EndpointSlices of each family.
func (s *stage) slicesOf(m *member, families []corev1.IPFamily) error {
	if len(families) == 0 {
		return errors.New("no IP families")
	}
	list, err := s.slices(s.ctx, m)
	if err != nil {
		return err
	}
	for _, family := range families {
		var found bool
		for _, slice := range list {
			if string(slice.AddressType) != string(family) || len(slice.Endpoints) == 0 {
				continue
			}
			manager := slice.Labels[discoveryv1.LabelManagedBy]
			if manager == "" || manager == "endpointslice-controller.k8s.io" {
				return fmt.Errorf("EndpointSlice %s is managed by %q", slice.Name, manager)
			}
			if slice.Labels[mcsv1beta1.LabelSourceCluster] == "" {
				return fmt.Errorf("EndpointSlice %s does not name its source cluster", slice.Name)
			}
			found = true
			s.saw("%s: %s %v from %s", m.Name, slice.AddressType, slice.Endpoints[0].Addresses, slice.Labels[mcsv1beta1.LabelSourceCluster])
		}
		if !found {
			return fmt.Errorf("no EndpointSlice of %s with an endpoint", family)
		}
	}
	return nil
}

// call is one connection, or one datagram, from the client pod of a cluster.
type call struct {
	from   *member
	family corev1.IPFamily
	host   string
	port   int
	udp    bool
}

// call returns what the server says; it is empty when there was no answer.
func (s *stage) call(ctx context.Context, c call) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	flags := "-4"
	if c.family == corev1.IPv6Protocol {
		flags = "-6"
	}
	if c.udp {
		flags += " -u"
	} else {
		flags += " -v" // which would send datagrams of its own
	}
	// Without the subshell's sleep, nc would see the end of its input and leave before the answer.
	script := fmt.Sprintf("(echo hi; sleep 1) | nc -w 2 %s %s %d 2>&1", flags, c.host, c.port)
	text, _ := c.from.Exec(ctx, s.namespace, "request", "sh", "-c", script)
	return strings.TrimSpace(text)
}

// callEach calls from every cluster in every family of its import until times calls in a row are answered by want.
func (s *stage) callEach(port int, udp bool, times int, want *member) error {
	return s.each(func(m *member) error {
		families := []corev1.IPFamily{corev1.IPv4Protocol}
		err := s.eventually(func(ctx context.Context) error {
			i, err := s.imported(ctx, m)
			if err != nil {
				return err
			}
			if families = i.Spec.IPFamilies; len(families) == 0 {
				return fmt.Errorf("the ServiceImport in %s names no IP families", m.Name)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, family := range families {
			if err := s.answered(call{from: m, family: family, host: s.name(), port: port, udp: udp}, times, want); err != nil {
				return err
			}
		}
		return nil
	})
}

// answered calls until a cluster's server has answered so many times in a row. A lost call, as on a machine with too much to do, starts the
// row anew; an answer from another cluster ends it at once.
func (s *stage) answered(c call, times int, want *member) error {
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute+time.Duration(times)*patience/2)
	defer cancel()
	for row, lost := 0, 0; ; {
		got := s.call(ctx, c)
		failed := fmt.Errorf("a call from %s to %s port %d over %s is answered %q, want cluster %s", c.from.Name, c.host, c.port, c.family, got, want.Name)
		switch {
		case strings.Contains(got, "cluster "+want.Name+" pod"):
			if row++; row < times {
				continue
			}
			s.saw("%s %s %s/%d ×%d (%d lost): %s", c.from.Name, c.family, c.protocol(), c.port, row, lost, got)
			return nil
		case strings.Contains(got, " pod ") || ctx.Err() != nil:
			return failed
		}
		// What was lost before the first answer was only early.
		if row > 0 {
			lost++
		}
		row = 0
		time.Sleep(100 * time.Millisecond)
	}
}

func (c call) protocol() string {
	if c.udp {
		return "udp"
	}
	return "tcp"
}

func notExported(s *stage) error {
	if err := s.serve(s.first, nil); err != nil {
		return err
	}
	if err := s.awaitServing(s.first); err != nil {
		return err
	}
	return s.each(func(m *member) error {
		for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
			got := s.call(s.ctx, call{from: m, family: family, host: s.name(), port: 42})
			// An answer that nc itself gives shows that the pod and its tools work: silence would prove nothing.
			if strings.Contains(got, "pod ") || !strings.Contains(got, "nc: ") {
				return fmt.Errorf("a call from %s over %s says %q, want that there is no such name", m.Name, family, got)
			}
			s.saw("%s %s: %s", m.Name, family, got)
		}
		return nil
	})
}

// awaitServing waits until a cluster's server answers at home, so that a call that fails does not fail for want of it.
func (s *stage) awaitServing(m *member) error {
	local := "hello." + s.namespace + ".svc.cluster.local"
	return lab.Eventually(s.ctx, time.Minute, func(ctx context.Context) error {
		got := s.call(ctx, call{from: m, family: corev1.IPv4Protocol, host: local, port: 42})
		if !strings.Contains(got, "cluster "+m.Name+" pod") {
			return fmt.Errorf("a call within %s is answered %q", m.Name, got)
		}
		return nil
	})
}

func reached(s *stage) error {
	if err := s.offer(nil, nil); err != nil {
		return err
	}
	return errors.Join(s.callEach(42, false, 1, s.first), s.callEach(42, true, 1, s.first))
}

func exporterAlone(s *stage) error {
	if err := s.serve(s.second, nil); err != nil {
		return err
	}
	if err := s.awaitServing(s.second); err != nil {
		return err
	}
	if err := s.offer(nil, nil); err != nil {
		return err
	}
	return s.callEach(42, false, callsInARow, s.first)
}

func strictPort(s *stage) error {
	if err := s.offerBoth(party{service: withPorts(tcp("tcp", 42))}, party{service: withPorts(tcp("tcp", 4242))}); err != nil {
		return err
	}
	if err := s.awaitServing(s.first); err != nil {
		return err
	}
	if err := s.bothConflict("PortConflict"); err != nil {
		return err
	}
	return s.callEach(42, false, callsInARow, s.first)
}

func portPerCluster(s *stage) error {
	if err := s.offerBoth(party{service: withPorts(tcp("older", 42))}, party{service: withPorts(tcp("newer", 4242))}); err != nil {
		return err
	}
	return errors.Join(s.callEach(42, false, callsInARow, s.first), s.callEach(4242, false, callsInARow, s.second))
}
