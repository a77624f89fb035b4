//go:build e2ekube

package kube

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// dnsRules are those on names, asked for in the client pods as any program there does.
var dnsRules = []rule{
	{22, "a ClusterSetIP service's name has the addresses of its import", clusterSetNames},
	{23, "a ClusterSetIP service has one SRV record", clusterSetSRV},
	{24, "cluster.local still names the local service alone", localNames},
	{25, "a headless service's name has the addresses of its ready endpoints", headlessNames},
	{26, "each pod of a StatefulSet has a name of its own", podNames},
	{27, "a headless service has an SRV record per endpoint", headlessSRV},
}

// replicas is how many pods a headless service has.
const replicas = 2

// dig asks the cluster's DNS in the client pod and returns the answers, sorted.
func (s *stage) dig(ctx context.Context, m *member, kind, name string) ([]string, error) {
	text, err := m.Exec(ctx, s.namespace, "request", "dig", "+short", "+tries=1", "+time=3", kind, name)
	if err != nil {
		return nil, err
	}
	lines := strings.Fields(text)
	if kind == "SRV" {
		lines = strings.FieldsFunc(strings.TrimSpace(text), func(r rune) bool { return r == '\n' })
	}
	slices.Sort(lines)
	return lines, nil
}

// addresses returns a name's addresses of both families, sorted as texts.
func (s *stage) addresses(ctx context.Context, m *member, name string) ([]string, error) {
	four, err := s.dig(ctx, m, "A", name)
	if err != nil {
		return nil, err
	}
	six, err := s.dig(ctx, m, "AAAA", name)
	if err != nil {
		return nil, err
	}
	return canonical(append(four, six...))
}

// canonical writes addresses in one way and sorts them.
func canonical(addresses []string) ([]string, error) {
	out := make([]string, 0, len(addresses))
	for _, text := range addresses {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("answer %q: %w", text, err)
		}
		out = append(out, address.String())
	}
	slices.Sort(out)
	return out, nil
}

// resolves waits until a name has these addresses in a cluster and no others.
func (s *stage) resolves(m *member, name string, want func(ctx context.Context) ([]string, error)) error {
	return s.eventually(func(ctx context.Context) error {
		wanted, err := want(ctx)
		if err != nil {
			return err
		}
		if wanted, err = canonical(wanted); err != nil {
			return err
		}
		got, err := s.addresses(ctx, m, name)
		if err != nil {
			return err
		}
		if len(got) == 0 || !slices.Equal(got, wanted) {
			return fmt.Errorf("%s in %s has %v, want %v", name, m.Name, got, wanted)
		}
		s.saw("%s: %v", m.Name, got)
		return nil
	})
}

func clusterSetNames(s *stage) error {
	if err := s.offer(nil, nil); err != nil {
		return err
	}
	return s.each(func(m *member) error {
		return s.resolves(m, s.name(), func(ctx context.Context) ([]string, error) {
			i, err := s.imported(ctx, m)
			if err != nil {
				return nil, err
			}
			return i.Spec.IPs, nil
		})
	})
}

// records waits until the name has these many SRV records, of port 42, each with a target that begins with one of the prefixes.
func (s *stage) records(m *member, many int, prefixes []string) error {
	return s.eventually(func(ctx context.Context) error {
		got, err := s.dig(ctx, m, "SRV", s.name())
		if err != nil {
			return err
		}
		if len(got) != many {
			return fmt.Errorf("%s in %s has the SRV records %q, want %d", s.name(), m.Name, got, many)
		}
		for _, record := range got {
			fields := strings.Fields(record)
			if len(fields) != 4 || fields[2] != "42" || !strings.HasSuffix(fields[3], s.name()+".") {
				return fmt.Errorf("%s in %s has the SRV record %q, want port 42 and a target at or below the name", s.name(), m.Name, record)
			}
			if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(fields[3], p) }) {
				return fmt.Errorf("SRV record %q in %s has none of the targets %q", record, m.Name, prefixes)
			}
		}
		s.saw("%s: %q", m.Name, got)
		return nil
	})
}

func clusterSetSRV(s *stage) error {
	if err := s.offer(nil, nil); err != nil {
		return err
	}
	return s.each(func(m *member) error { return s.records(m, 1, []string{s.name()}) })
}

func localNames(s *stage) error {
	if err := s.offer(nil, nil); err != nil {
		return err
	}
	// Another service of the same name in the other cluster, which exports nothing.
	if err := s.serve(s.second, nil); err != nil {
		return err
	}
	return s.each(func(m *member) error {
		local := "hello." + s.namespace + ".svc.cluster.local"
		if m != s.first && m != s.second {
			return nil
		}
		return s.resolves(m, local, func(ctx context.Context) ([]string, error) {
			service, err := m.Kube.CoreV1().Services(s.namespace).Get(ctx, "hello", metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			return service.Spec.ClusterIPs, nil
		})
	})
}

// endpoints are the ready ones of the exported service where it lives, once there are as many as must be.
func (s *stage) endpoints(ctx context.Context, many int) ([]discoveryv1.Endpoint, error) {
	list, err := s.first.Kube.DiscoveryV1().EndpointSlices(s.namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=hello"})
	if err != nil {
		return nil, err
	}
	var ready []discoveryv1.Endpoint
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && *e.Conditions.Ready {
				ready = append(ready, e)
			}
		}
	}
	if len(ready) != many {
		return nil, fmt.Errorf("%d endpoints are ready in %s, want %d", len(ready), s.first.Name, many)
	}
	return ready, nil
}

// perPod is how many endpoints a pod is: one per family.
func (s *stage) perPod() int {
	service, err := s.first.Kube.CoreV1().Services(s.namespace).Get(s.ctx, "hello", metav1.GetOptions{})
	if err != nil {
		return 0
	}
	return len(service.Spec.IPFamilies)
}

func headlessNames(s *stage) error {
	if err := errors.Join(s.serveNamed(s.first, replicas), s.export(s.first, nil)); err != nil {
		return err
	}
	many := replicas * s.perPod()
	return s.each(func(m *member) error {
		return s.resolves(m, s.name(), func(ctx context.Context) ([]string, error) {
			ready, err := s.endpoints(ctx, many)
			var out []string
			for _, e := range ready {
				out = append(out, e.Addresses...)
			}
			return out, err
		})
	})
}

func podNames(s *stage) error {
	if err := errors.Join(s.serveNamed(s.first, replicas), s.export(s.first, nil)); err != nil {
		return err
	}
	return s.each(func(m *member) error {
		var all []error
		for n := range replicas {
			pod := fmt.Sprintf("hello-%d", n)
			cluster, err := s.sourceCluster(m)
			if err != nil {
				return err
			}
			all = append(all, s.resolves(m, pod+"."+cluster+"."+s.name(), func(ctx context.Context) ([]string, error) { return s.podIPs(ctx, pod) }))
		}
		return errors.Join(all...)
	})
}

func (s *stage) podIPs(ctx context.Context, name string) ([]string, error) {
	pod, err := s.first.Kube.CoreV1().Pods(s.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, ip := range pod.Status.PodIPs {
		out = append(out, ip.IP)
	}
	return out, nil
}

// sourceCluster is what the EndpointSlices of an importing cluster say the exporter is called.
func (s *stage) sourceCluster(m *member) (string, error) {
	var cluster string
	err := s.eventually(func(ctx context.Context) error {
		list, err := s.slices(ctx, m)
		if err != nil {
			return err
		}
		for _, slice := range list {
			if cluster = slice.Labels[mcsv1beta1.LabelSourceCluster]; cluster != "" {
				return nil
			}
		}
		return fmt.Errorf("no EndpointSlice in %s names its source cluster", m.Name)
	})
	return cluster, err
}

func headlessSRV(s *stage) error {
	if err := errors.Join(s.serve(s.first, headless), s.export(s.first, nil)); err != nil {
		return err
	}
	families := s.perPod()
	return s.each(func(m *member) error {
		var prefixes []string
		err := s.eventually(func(ctx context.Context) error {
			ready, err := s.endpoints(ctx, families)
			for _, e := range ready {
				prefixes = append(prefixes, targetPrefix(e))
			}
			return err
		})
		if err != nil {
			return err
		}
		return s.records(m, families, prefixes)
	})
}

// targetPrefix is how an endpoint's own name begins: its host name, else its address with dashes.
func targetPrefix(e discoveryv1.Endpoint) string {
	if e.Hostname != nil && *e.Hostname != "" {
		return *e.Hostname + "."
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(e.Addresses[0]) + "."
}
