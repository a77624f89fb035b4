package export

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

// maxEndpointBytes bounds the endpoints of a headless export so that its record stays within codec.MaxRecord.
const maxEndpointBytes = 40 << 10

// Summarise makes one service's record from its workloads, which are sorted by ID, and from what its Kubernetes cluster exports of it, if it
// is one. Without an export there is at least one workload. Identities are those of all workloads with an Envoy, ready or not: one that
// becomes ready must be trusted before its capacity is known.
func Summarise(trustDomain string, workloads []model.Workload, exported *model.ServiceExport) (model.ServiceRecord, []string) {
	var r model.ServiceRecord
	var reasons []string
	var enveloped, plain []model.Workload
	twins := Twins(workloads)
	for _, w := range workloads {
		switch {
		case !w.Plain:
			r.Identities = append(r.Identities, w.SPIFFEID(trustDomain))
			enveloped = append(enveloped, w)
		case !twins.Has(w):
			plain = append(plain, w)
		}
	}
	slices.Sort(r.Identities)
	r.Identities = slices.Compact(r.Identities)
	r.Capacity, r.Terminated = count(enveloped), count(plain)
	if exported != nil {
		r.Service, r.Ports = exported.Service, exported.Ports
		r.Export, reasons = fitExport(*exported)
		reasons = append(reasons, foreignPorts(exported, enveloped)...)
	} else {
		r.Service = workloads[0].Service
		r.Ports, reasons = mergePorts(workloads)
	}
	return r, append(reasons, cutToBounds(&r)...)
}

// count sums workloads by locality.
func count(workloads []model.Workload) (capacity []model.Capacity) {
	at := map[model.Locality]int{}
	for _, w := range workloads {
		i, known := at[w.Locality]
		if !known {
			i, at[w.Locality] = len(capacity), len(capacity)
			capacity = append(capacity, model.Capacity{Locality: w.Locality})
		}
		capacity[i].Total++
		if w.Available() {
			capacity[i].Ready++
		}
	}
	slices.SortFunc(capacity, func(a, b model.Capacity) int { return a.Locality.Compare(b.Locality) })
	return capacity
}

// cutToBounds leaves out what is too much: a record beyond the bounds would be refused whole. The ports of an export stay as they are, and
// fitExport sees to its endpoints.
func cutToBounds(r *model.ServiceRecord) (reasons []string) {
	cut := func(what string, n, limit int) int {
		if n > limit {
			reasons = append(reasons, fmt.Sprintf("service %s has %d %s; only the first %d are published", r.Service, n, what, limit))
		}
		return min(n, limit)
	}
	if r.Export == nil {
		r.Ports = r.Ports[:cut("ports", len(r.Ports), codec.MaxServicePorts)]
	}
	r.Identities = r.Identities[:cut("identities", len(r.Identities), codec.MaxIdentities)]
	r.Capacity = r.Capacity[:cut("localities", len(r.Capacity), codec.MaxLocalities)]
	r.Terminated = r.Terminated[:cut("localities", len(r.Terminated), codec.MaxLocalities)]
	return reasons
}

// fitExport returns the export with as many endpoints as a record holds.
func fitExport(e model.ServiceExport) (*model.ServiceExport, []string) {
	n, size := 0, 0
	for ; n < min(len(e.Endpoints), model.MaxExportEndpoints); n++ {
		// An address of 16 bytes, and what says where things begin.
		if size += len(e.Endpoints[n].Hostname) + 26; size > maxEndpointBytes {
			break
		}
	}
	if n == len(e.Endpoints) {
		return &e, nil
	}
	reason := fmt.Sprintf("service %s has %d endpoints; only the first %d have names in other clusters", e.Service, len(e.Endpoints), n)
	e.Endpoints = e.Endpoints[:n:n]
	return &e, []string{reason}
}

// foreignPorts names what proxies declare and the Service does not have: nobody can call it.
func foreignPorts(e *model.ServiceExport, workloads []model.Workload) (reasons []string) {
	for _, w := range workloads {
		for _, p := range w.Ports {
			if !slices.ContainsFunc(e.Ports, p.SameSocket) {
				reasons = append(reasons, fmt.Sprintf("service %s: workload %s declares port %d, which the Service does not have", e.Service, w.ID, p.Number))
			}
		}
	}
	return reasons
}

// TwinSet holds the pods that are known twice: from the API server, and by their own proxy.
type TwinSet map[twin]struct{}

type twin struct {
	service model.ServiceKey
	address netip.Addr
}

// Twins gathers the addresses of workloads that have an Envoy of their own.
func Twins(workloads []model.Workload) TwinSet {
	out := TwinSet{}
	for _, w := range workloads {
		if w.Plain || !w.Serves() {
			continue
		}
		if ip, err := netip.ParseAddr(w.Address); err == nil {
			out[twin{w.Service, ip.Unmap()}] = struct{}{}
		}
	}
	return out
}

// Has reports whether a plain workload is a pod whose own Envoy stands for it: it counts once, as that one.
func (s TwinSet) Has(w model.Workload) bool {
	if !w.Plain || len(s) == 0 || len(w.Ports) == 0 {
		return false
	}
	target, err := netip.ParseAddrPort(w.Ports[0].Target)
	if err != nil {
		return false
	}
	_, found := s[twin{w.Service, target.Addr().Unmap()}]
	return found
}
