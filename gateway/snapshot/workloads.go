package snapshot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/trust/authz"
)

func (b *builder) workloadParts() []*Workload {
	var proxies []*model.Workload
	for i := range b.in.Workloads {
		if w := &b.in.Workloads[i]; !w.Plain {
			proxies = append(proxies, w)
		}
	}
	byID(proxies)
	out := make([]*Workload, 0, len(proxies))
	for _, own := range proxies {
		w := b.workloadPart(own)
		b.after.workloads[w.ID] = w
		out = append(out, w)
	}
	return out
}

func (b *builder) workloadPart(own *model.Workload) *Workload {
	w := &Workload{Workload: *own}
	b.resolveCalls(w)
	old := b.before.workloads[own.ID]
	same := old != nil && b.sameRules && sameWorkload(&old.Workload, own)
	if same && slices.Equal(old.Calls, w.Calls) && slices.Equal(old.Problems, w.Problems) {
		return old
	}
	w.Callers = b.callers(own)
	w.Digest = b.digest.workload(w)
	return w
}

// callers are the trust domains that the workload admits: those that a rule names for an exported one, its own for all.
func (b *builder) callers(w *model.Workload) []string {
	if !w.Export || !w.Serves() {
		return []string{b.in.TrustDomain}
	}
	return b.callersOf(w.Service)
}

// callersOf are the trust domains that an exported service admits.
func (b *builder) callersOf(k model.ServiceKey) []string {
	domains := append([]string{b.in.TrustDomain}, authz.Callers(b.in.Exports, b.in.Members, b.in.Cluster, k)...)
	slices.Sort(domains)
	return slices.Compact(domains)
}

// resolveCalls finds the service port of each declared upstream. What is not found stays a problem until a later snapshot knows it.
func (b *builder) resolveCalls(w *Workload) {
	bound := make(map[string]bool, len(w.Upstreams))
	for _, u := range w.Upstreams {
		if u.Service.Namespace == "" {
			u.Service.Namespace = w.Namespace
		}
		if bound[u.Bind] {
			w.Problems = append(w.Problems, fmt.Sprintf("upstream %s: %s is bound by another upstream: give each its own", u.Service, u.Bind))
			continue
		}
		bound[u.Bind] = true
		p, reason := b.resolve(u)
		if p == nil {
			w.Problems = append(w.Problems, fmt.Sprintf("upstream %s: %s", u.Service, reason))
			continue
		}
		w.Calls = append(w.Calls, Call{Bind: u.Bind, SNI: p.SNI, Protocol: p.Port.Protocol})
	}
}

// resolve finds the port that an upstream names.
func (b *builder) resolve(u model.Upstream) (*ServicePort, string) {
	var ports []*ServicePort
	udp := false
	if s := b.after.services[u.Service]; s != nil {
		for _, p := range s.ported.ports {
			if p.Port.Protocol == model.ProtocolUDP {
				udp = true
			} else {
				ports = append(ports, p)
			}
		}
	}
	if len(ports) == 0 && udp {
		return nil, "service has UDP ports only: those are called through egress gateways"
	}
	if len(ports) == 0 {
		return nil, fmt.Sprintf("service is not known here: is it registered, or exported to cluster %q?", b.in.Cluster)
	}
	numbers := make([]model.Port, len(ports))
	for i, p := range ports {
		numbers[i] = p.Port
	}
	at, reason := PickPort(numbers, u.Port)
	if at < 0 {
		return nil, reason
	}
	return ports[at], ""
}

// PickPort finds the port that an upstream names: by number, by name, or the only one when it names none. It returns the port's place, or -1
// and why there is none. When clusters give one name to several numbers, the first claimant's counts.
func PickPort(ports []model.Port, named string) (at int, reason string) {
	if named == "" {
		if len(ports) == 1 {
			return 0, ""
		}
		return -1, "port is not given and the service has several: give one of " + portNames(ports)
	}
	if at = slices.IndexFunc(ports, func(p model.Port) bool { return named == strconv.Itoa(int(p.Number)) }); at >= 0 {
		return at, ""
	}
	if at = slices.IndexFunc(ports, func(p model.Port) bool { return named == p.Name }); at >= 0 {
		return at, ""
	}
	return -1, fmt.Sprintf("service has no port %q: give one of %s", named, portNames(ports))
}

func portNames(ports []model.Port) string {
	names := make([]string, 0, len(ports))
	for _, p := range ports {
		n := strconv.Itoa(int(p.Number))
		if p.Name != "" {
			n = p.Name + " (" + n + ")"
		}
		names = append(names, n)
	}
	return strings.Join(names, ", ")
}
