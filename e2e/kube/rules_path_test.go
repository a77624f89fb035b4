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

// patience bounds one call, and the start of the program that makes it.
const patience = 6 * time.Second

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

// calls calls so many times, one after another, and returns what the server said or why there was no answer. A command in a pod may not
// run in time on a machine with too much to do: then there are fewer answers than calls.
func (s *stage) calls(ctx context.Context, c call, times int) []string {
	ctx, cancel := context.WithTimeout(ctx, patience*time.Duration(times+1))
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
	script := fmt.Sprintf(`for i in $(seq %d); do echo $(echo hi | nc -w 2 %s %s %d 2>&1); done`, times, flags, c.host, c.port)
	text, err := c.from.Exec(ctx, s.namespace, "request", "sh", "-c", script)
	if text = strings.TrimSpace(text); text == "" && err != nil {
		return nil
	}
	return strings.Split(text, "\n")
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

// answered calls until a cluster's server has answered so many times in a row. When a call is lost the row starts anew; an answer from
// another cluster ends it at once.
func (s *stage) answered(c call, times int, want *member) error {
	mine, lost := "cluster "+want.Name+" pod", 0
	return lab.Eventually(s.ctx, 2*time.Minute, func(ctx context.Context) error {
		answers := s.calls(ctx, c, times)
		right := 0
		for _, a := range answers {
			switch {
			case strings.Contains(a, mine):
				right++
			case strings.Contains(a, " pod "):
				s.deny(fmt.Errorf("a call from %s to port %d over %s reached another than %s: %q", c.from.Name, c.port, c.family, want.Name, a))
			}
		}
		if right < times {
			if right > 0 {
				lost += times - right
			}
			return fmt.Errorf("of %d calls from %s to %s port %d over %s cluster %s answered %d: %q", times, c.from.Name, c.host, c.port, c.family, want.Name, right, answers)
		}
		s.saw("%s %s %s/%d ×%d (%d lost): %s", c.from.Name, c.family, c.protocol(), c.port, right, lost, answers[0])
		return nil
	})
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
			if err := s.unanswered(call{from: m, family: family, host: s.name(), port: 42}); err != nil {
				return err
			}
		}
		return nil
	})
}

// unanswered waits until the client's own tool says why there is no answer: silence would prove nothing.
func (s *stage) unanswered(c call) error {
	return lab.Eventually(s.ctx, time.Minute, func(ctx context.Context) error {
		got := strings.Join(s.calls(ctx, c, 1), " ")
		if strings.Contains(got, " pod ") {
			s.deny(fmt.Errorf("a call from %s to %s over %s is answered %q", c.from.Name, c.host, c.family, got))
			return nil
		}
		if !strings.Contains(got, "nc: ") {
			return fmt.Errorf("a call from %s to %s over %s says %q, want why it fails", c.from.Name, c.host, c.family, got)
		}
		s.saw("%s %s: %s", c.from.Name, c.family, got)
		return nil
	})
}

// awaitServing waits until a cluster's server answers at home, so that a call that fails does not fail for want of it.
func (s *stage) awaitServing(m *member) error {
	local := "hello." + s.namespace + ".svc.cluster.local"
	return s.answered(call{from: m, family: corev1.IPv4Protocol, host: local, port: 42}, 1, m)
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
