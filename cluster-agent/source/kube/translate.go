package kube

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

// invalid says with the API's own reason why a Service cannot be exported; s is nil when there is none. A derived Service stands for what
// other clusters export: exporting it again would be a loop.
func invalid(s *service) string {
	switch {
	case s == nil:
		return string(mcsv1beta1.ServiceExportReasonNoService)
	case s.kind == corev1.ServiceTypeExternalName || !s.derived.IsZero():
		return string(mcsv1beta1.ServiceExportReasonInvalidServiceType)
	}
	return ""
}

// exportOf makes the statement about a service that can be exported. Its slices may be in any order.
func exportOf(k model.ServiceKey, e export, s service, all []slice) model.ServiceExport {
	out := model.ServiceExport{
		Service: k, CreatedAt: e.createdAt, Headless: s.headless, Ports: s.ports, IPFamilies: s.families,
		SessionAffinity: s.affinity, AffinityTimeout: s.timeout, InternalTrafficPolicy: s.policy, TrafficDistribution: s.distribution,
		Labels: e.labels, Annotations: e.annotations,
	}
	if s.headless {
		out.Endpoints = exportedEndpoints(all)
	}
	return out
}

// exportedEndpoints lists each address once. Of more than model.MaxExportEndpoints, those that are not ready go first.
func exportedEndpoints(all []slice) []model.ExportEndpoint {
	byAddress := map[string]model.ExportEndpoint{}
	for _, s := range all {
		for _, e := range s.endpoints {
			was := byAddress[e.address]
			byAddress[e.address] = model.ExportEndpoint{Hostname: hostnameOf(e), Address: e.address, Ready: was.Ready || e.ready && !e.terminating}
		}
	}
	out := make([]model.ExportEndpoint, 0, len(byAddress))
	for _, e := range byAddress {
		out = append(out, e)
	}
	byName := func(a, b model.ExportEndpoint) int {
		return cmp.Or(strings.Compare(a.Hostname, b.Hostname), strings.Compare(a.Address, b.Address))
	}
	slices.SortFunc(out, byName)
	if len(out) > model.MaxExportEndpoints {
		slices.SortStableFunc(out, func(a, b model.ExportEndpoint) int { return rank(a.Ready) - rank(b.Ready) })
		out = out[:model.MaxExportEndpoints:model.MaxExportEndpoints]
		slices.SortFunc(out, byName)
	}
	return out
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// hostnameOf is the endpoint's own name, or its address made a label.
func hostnameOf(e endpoint) string {
	if model.ValidateLabel("hostname", e.hostname) == nil {
		return e.hostname
	}
	return addressLabel(e.address)
}

// addressLabel writes an IP address as an RFC 1123 label: "fd00::" ends with hyphens, which no label does.
func addressLabel(address string) string {
	label := strings.NewReplacer(".", "-", ":", "-").Replace(strings.ToLower(address))
	if strings.HasPrefix(label, "-") {
		label = "0" + label
	}
	if strings.HasSuffix(label, "-") {
		label += "0"
	}
	return label
}

// workloadsOf lists the pods of a service as workloads without an Envoy, sorted by ID. A pod stands once, with its address in the first of
// the service's families in which it has one, and with the ports that its own slices have: pods may serve a named port on different numbers.
// A pod may stand in two slices for a moment; it is as ready as the better of them says. Slices may be in any order.
func workloadsOf(k model.ServiceKey, s service, all []slice, locate func(endpoint) model.Locality) []model.Workload {
	b := builder{key: k, service: s, locate: locate, index: map[string]int{}}
	for _, family := range s.families {
		b.family++
		for _, one := range all {
			if one.family == family {
				b.add(one)
			}
		}
	}
	slices.SortFunc(b.out, func(x, y model.Workload) int { return strings.Compare(x.ID, y.ID) })
	return b.out
}

type builder struct {
	key     model.ServiceKey
	service service
	locate  func(endpoint) model.Locality
	// family counts the families; of is the one in which a workload was found.
	family int
	of     []int
	index  map[string]int
	out    []model.Workload
}

func (b *builder) add(s slice) {
	for _, e := range s.endpoints {
		ports := targets(b.service.ports, s.ports, e.address)
		if len(ports) == 0 {
			continue
		}
		id := workloadID(b.key, e)
		i, known := b.index[id]
		switch {
		case !known:
			b.index[id] = len(b.out)
			b.of = append(b.of, b.family)
			b.out = append(b.out, model.Workload{
				ID: id, Service: b.key, Namespace: b.key.Namespace, Locality: b.locate(e), Ports: ports, Address: e.address,
				Export: true, Plain: true, Health: healthOf(e),
			})
		case b.of[i] == b.family:
			w := &b.out[i]
			w.Ports = unionPorts(w.Ports, ports)
			if h := healthOf(e); better(h, w.Health) {
				w.Health, w.Address = h, e.address
			}
		}
	}
}

// workloadID names a pod within a service. What is no pod is named after its address.
func workloadID(k model.ServiceKey, e endpoint) string {
	name := e.pod
	if name == "" {
		name = addressLabel(e.address)
	}
	return k.Namespace + "/" + k.Name + "/" + name
}

// targets says where an address serves the service's ports: a slice's port belongs to the service's port of the same name and transport.
func targets(ports []model.Port, served []slicePort, address string) []model.WorkloadPort {
	out := make([]model.WorkloadPort, 0, len(ports))
	for _, p := range ports {
		if !p.Protocol.Carried() {
			continue
		}
		i := slices.IndexFunc(served, func(s slicePort) bool { return s.name == p.Name && s.transport == p.Protocol.Transport() })
		if i >= 0 {
			target := net.JoinHostPort(address, strconv.Itoa(int(served[i].number)))
			out = append(out, model.WorkloadPort{Port: p, Target: target})
		}
	}
	return out
}

// unionPorts adds the ports that are missing; both lists are in the order of the service's ports.
func unionPorts(have, more []model.WorkloadPort) []model.WorkloadPort {
	for _, p := range more {
		if !slices.ContainsFunc(have, func(h model.WorkloadPort) bool { return h.Port == p.Port }) {
			have = append(have, p)
		}
	}
	slices.SortFunc(have, func(a, b model.WorkloadPort) int {
		return cmp.Or(int(a.Number)-int(b.Number), strings.Compare(string(a.Protocol), string(b.Protocol)))
	})
	return have
}

// healthOf says of a terminating pod that it drains: it may finish its calls and is given no new ones.
func healthOf(e endpoint) model.WorkloadHealth {
	switch {
	case e.terminating:
		return model.WorkloadHealth{Ready: e.serving, Draining: true, Reason: "the pod is terminating"}
	case !e.ready:
		return model.WorkloadHealth{Reason: "the pod is not ready"}
	}
	return model.WorkloadHealth{Ready: true}
}

func better(a, b model.WorkloadHealth) bool { return healthRank(a) < healthRank(b) }

func healthRank(h model.WorkloadHealth) int {
	return 2*rank(h.Ready && !h.Draining) + rank(h.Ready)
}
