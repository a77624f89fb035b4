package mcs

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

var (
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	// clusters, services and namespaces are few, so that exports meet.
	clusters   = []model.ClusterName{"east", "north", "south", "west"}
	namespaces = []string{"bank", "shop"}
	names      = []string{"cart", "pay"}
)

func key(namespace, name string) model.ServiceKey {
	return model.ServiceKey{Namespace: namespace, Name: name}
}

// drawPorts draws the ports of one Service: no name and no number of a transport stands twice.
func drawPorts(t *rapid.T) []model.Port {
	drawn := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) model.Port {
		return model.Port{
			Name: rapid.SampledFrom([]string{"", "a", "b", "unnamed"}).Draw(t, "port name"), Number: rapid.Uint16Range(80, 83).Draw(t, "number"),
			Protocol:    rapid.SampledFrom([]model.Protocol{model.ProtocolTCP, model.ProtocolHTTP, model.ProtocolUDP, model.ProtocolSCTP}).Draw(t, "protocol"),
			AppProtocol: rapid.SampledFrom([]string{"", "http"}).Draw(t, "app protocol"),
		}
	}), 1, 4).Draw(t, "ports")
	var out []model.Port
	for _, p := range drawn {
		if !slices.ContainsFunc(out, func(o model.Port) bool { return o.Name == p.Name || o.SameSocket(p) }) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, model.Port.Compare)
	return out
}

func drawExport(t *rapid.T, service model.ServiceKey) model.ServiceExport {
	e := model.ServiceExport{
		Service: service, CreatedAt: start.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "age")) * time.Second),
		Headless: rapid.Bool().Draw(t, "headless"), Ports: drawPorts(t),
		IPFamilies:            rapid.SampledFrom([][]model.IPFamily{{model.IPv4}, {model.IPv6}, {model.IPv4, model.IPv6}, {model.IPv6, model.IPv4}}).Draw(t, "families"),
		SessionAffinity:       rapid.SampledFrom([]string{"", "None", "ClientIP"}).Draw(t, "affinity"),
		AffinityTimeout:       rapid.SampledFrom([]int32{0, 10}).Draw(t, "timeout"),
		InternalTrafficPolicy: rapid.SampledFrom([]string{"", "Cluster", "Local"}).Draw(t, "policy"),
		TrafficDistribution:   rapid.SampledFrom([]string{"", "PreferClose", "PreferSameZone"}).Draw(t, "distribution"),
		Labels:                rapid.SampledFrom([]map[string]string{nil, {"tier": "gold"}, {"tier": "iron"}}).Draw(t, "labels"),
	}
	if e.Headless {
		for i := range rapid.IntRange(0, 3).Draw(t, "endpoints") {
			address := fmt.Sprintf("10.1.0.%d", i+1)
			if rapid.Bool().Draw(t, "v6") {
				address = fmt.Sprintf("fd00::%d", i+1)
			}
			e.Endpoints = append(e.Endpoints, model.ExportEndpoint{Hostname: fmt.Sprintf("pod-%d", i), Address: address, Ready: rapid.Bool().Draw(t, "ready")})
		}
	}
	return e
}

// drawRemotes draws at most one export of each cluster of each service.
func drawRemotes(t *rapid.T) []Remote {
	var out []Remote
	for _, c := range clusters {
		for _, namespace := range namespaces {
			for _, name := range names {
				if rapid.Bool().Draw(t, fmt.Sprintf("%s exports %s.%s", c, name, namespace)) {
					out = append(out, Remote{Cluster: c, Export: drawExport(t, key(namespace, name))})
				}
			}
		}
	}
	return out
}

// factsOf are the facts of one cluster of those that make the exports, before anything was carried out.
func factsOf(t *rapid.T, cluster model.ClusterName, all []Remote) Facts {
	f := Facts{Cluster: cluster, Namespaces: map[string]bool{}, EndpointSlices: rapid.Bool().Draw(t, "slices"),
		Families: rapid.SampledFrom([][]string{nil, {"IPv4"}, {"IPv6"}, {"IPv4", "IPv6"}, {"IPv6", "IPv4"}}).Draw(t, "own families")}
	for _, n := range namespaces {
		f.Namespaces[n] = rapid.Bool().Draw(t, "has "+n)
	}
	for _, r := range all {
		if r.Cluster != cluster {
			f.Remotes = append(f.Remotes, r)
			continue
		}
		e := r.Export
		f.Exports = append(f.Exports, LocalExport{Service: e.Service, Generation: 1, Export: &e})
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "egress") {
		ready := rapid.Bool().Draw(t, "egress ready")
		f.Egress = append(f.Egress, Egress{fmt.Sprintf("10.9.0.%d", i+1), ready}, Egress{fmt.Sprintf("fd09::%d", i+1), ready})
	}
	f.Ports, _ = AllotPorts(nil, WantedPorts(f), FirstEgressPort, LastEgressPort)
	return f
}

// carryOut does to the facts what an API server does with a plan: Services get addresses, which they keep, and conditions are kept.
func carryOut(f Facts, p Plan) Facts {
	out := f
	out.Derived = map[model.ServiceKey]Derived{}
	for i, s := range p.Services {
		k, _ := DerivedFor(s)
		d := Derived{}
		families := s.Spec.IPFamilies
		if len(families) == 0 {
			families = []corev1.IPFamily{corev1.IPv4Protocol}
		}
		for _, family := range families {
			ip := fmt.Sprintf("10.96.0.%d", i+1)
			if family == corev1.IPv6Protocol {
				ip = fmt.Sprintf("fd96::%d", i+1)
			}
			d.ClusterIPs, d.IPFamilies = append(d.ClusterIPs, ip), append(d.IPFamilies, string(family))
		}
		out.Derived[k] = d
	}
	out.Exports = slices.Clone(f.Exports)
	for i := range out.Exports {
		out.Exports[i].Conditions = p.Conditions[out.Exports[i].Service]
	}
	return out
}

// converged carries plans out until nothing changes, which takes two rounds, or three when the API server chose the families.
func converged(t interface{ Fatal(...any) }, f Facts) (Facts, Plan) {
	p := Make(f, start)
	for range 3 {
		f = carryOut(f, p)
		p = Make(f, start)
	}
	return f, p
}

// lone is a cluster that exports one service, with two egress pods.
func lone(e model.ServiceExport) Facts {
	f := Facts{
		Cluster: "east", Namespaces: map[string]bool{e.Service.Namespace: true}, EndpointSlices: true, Families: []string{"IPv4", "IPv6"},
		Exports: []LocalExport{{Service: e.Service, Generation: 3, Export: &e}},
		Egress:  []Egress{{"10.9.0.1", true}, {"fd09::1", true}, {"10.9.0.2", false}, {"fd09::2", false}},
	}
	f.allot()
	return f
}

func (f *Facts) allot() {
	f.Ports, _ = AllotPorts(f.Ports, WantedPorts(*f), FirstEgressPort, LastEgressPort)
}

// hello is the Service that the conformance suite exports.
func hello() model.ServiceExport {
	return model.ServiceExport{
		Service: key("demo", "hello"), CreatedAt: start, SessionAffinity: "ClientIP", AffinityTimeout: 10, InternalTrafficPolicy: "Cluster",
		Ports:      []model.Port{{Name: "tcp", Number: 42, Protocol: model.ProtocolTCP}, {Name: "udp", Number: 42, Protocol: model.ProtocolUDP}},
		IPFamilies: []model.IPFamily{model.IPv4, model.IPv6},
	}
}

// younger is the same service of another cluster, changed.
func younger(cluster model.ClusterName, change func(*model.ServiceExport)) Remote {
	e := hello()
	e.CreatedAt, e.Ports, e.Labels = start.Add(time.Second), slices.Clone(e.Ports), maps.Clone(e.Labels)
	if change != nil {
		change(&e)
	}
	return Remote{Cluster: cluster, Export: e}
}

func TestWorldConverges(t *testing.T) {
	f, p := converged(t, lone(hello()))
	if len(p.Imports) != 1 || len(f.Derived) != 1 {
		t.Fatalf("%d imports, %d derived Services", len(p.Imports), len(f.Derived))
	}
}
