package export

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

// Summarise makes one service's record from its workloads, which are not empty and sorted by ID. Identities are those of all
// workloads, ready or not: one that becomes ready must be trusted before its capacity is known.
func Summarise(trustDomain string, workloads []model.Workload) (model.ServiceRecord, []string) {
	r := model.ServiceRecord{Service: workloads[0].Service}
	capacity := map[model.Locality]model.Capacity{}
	for _, w := range workloads {
		r.Identities = append(r.Identities, w.SPIFFEID(trustDomain))
		c := capacity[w.Locality]
		c.Locality = w.Locality
		c.Total++
		if w.Available() {
			c.Ready++
		}
		capacity[w.Locality] = c
	}
	slices.Sort(r.Identities)
	r.Identities = slices.Compact(r.Identities)
	for _, c := range capacity {
		r.Capacity = append(r.Capacity, c)
	}
	slices.SortFunc(r.Capacity, func(a, b model.Capacity) int { return a.Locality.Compare(b.Locality) })
	var reasons []string
	r.Ports, reasons = mergePorts(workloads)
	cut := func(what string, n, limit int) int {
		if n > limit {
			reasons = append(reasons, fmt.Sprintf("service %s has %d %s; only the first %d are published", r.Service, n, what, limit))
		}
		return min(n, limit)
	}
	// A record beyond the bounds would be refused whole.
	r.Ports = r.Ports[:cut("ports", len(r.Ports), codec.MaxServicePorts)]
	r.Identities = r.Identities[:cut("identities", len(r.Identities), codec.MaxIdentities)]
	r.Capacity = r.Capacity[:cut("localities", len(r.Capacity), codec.MaxLocalities)]
	return r, reasons
}

// mergePorts returns the union of the workloads' ports, by number. Where workloads disagree on a port's name or protocol the first
// by ID wins. Targets may differ: each is known only to the Envoy beside its workload.
func mergePorts(workloads []model.Workload) (ports []model.Port, reasons []string) {
	owner := map[uint16]string{}
	offers := map[uint16]int{}
	service := workloads[0].Service
	for _, w := range workloads {
		for _, port := range portsOf(w) {
			offers[port.Number]++
			i := slices.IndexFunc(ports, func(p model.Port) bool { return p.Number == port.Number })
			if i < 0 {
				owner[port.Number] = w.ID
				ports = append(ports, port)
			} else if ports[i] != port {
				reasons = append(reasons, fmt.Sprintf("service %s: workload %s declares port %s, which is %s since workload %s declared it first",
					service, w.ID, describe(port), describe(ports[i]), owner[port.Number]))
			}
		}
	}
	slices.SortFunc(ports, func(a, b model.Port) int { return int(a.Number) - int(b.Number) })
	for _, p := range ports {
		if n := offers[p.Number]; n < len(workloads) {
			reasons = append(reasons, fmt.Sprintf("service %s: only %d of %d workloads offer port %d", service, n, len(workloads), p.Number))
		}
	}
	return ports, append(reasons, uniqueNames(service, ports)...)
}

// portsOf returns a workload's ports in their normal form, each number once.
func portsOf(w model.Workload) []model.Port {
	ports := make([]model.Port, 0, len(w.Ports))
	for _, p := range w.Ports {
		port := p.Port
		port.Protocol, _ = model.ParseProtocol(string(port.Protocol))
		ports = append(ports, port)
	}
	slices.SortStableFunc(ports, func(a, b model.Port) int { return int(a.Number) - int(b.Number) })
	return slices.CompactFunc(ports, func(a, b model.Port) bool { return a.Number == b.Number })
}

// uniqueNames takes the name from a port whose name a smaller number has: callers find ports by name, and it must mean one port.
func uniqueNames(service model.ServiceKey, ports []model.Port) (reasons []string) {
	byName := map[string]uint16{}
	for i, p := range ports {
		if p.Name == "" {
			continue
		}
		if first, taken := byName[p.Name]; taken {
			reasons = append(reasons, fmt.Sprintf("service %s: port %d loses its name %q, which port %d has", service, p.Number, p.Name, first))
			ports[i].Name = ""
			continue
		}
		byName[p.Name] = p.Number
	}
	return reasons
}

func describe(p model.Port) string {
	return fmt.Sprintf("%d (name %q, protocol %s)", p.Number, p.Name, p.Protocol)
}

// gatewaySet lists the site's gateways, sorted by name, from workloads that are sorted by ID.
//
// A gateway that is not ready is listed as draining rather than left out: importers send it nothing while another one is good, and
// when all of a site's gateways look unready at once, which is more often a fault of the checks, traffic has somewhere to go.
// Gateways behind one shared address stand once, draining when all of them are.
func gatewaySet(workloads []model.Workload) (gateways []model.Gateway, reasons []string) {
	byAddress := map[string]int{}
	for _, w := range workloads {
		if w.Gateway == nil {
			continue
		}
		g := model.Gateway{
			Name: w.ID, Address: w.Gateway.AdvertiseAddress, Port: w.Gateway.AdvertisePort,
			Locality: w.Locality, Draining: !w.Available(),
		}
		if why := unreachable(g); why != "" {
			reasons = append(reasons, fmt.Sprintf("gateway %s is not published: %s", g.Name, why))
			continue
		}
		address := g.Address + " " + strconv.Itoa(int(g.Port))
		if i, shared := byAddress[address]; shared {
			gateways[i].Draining = gateways[i].Draining && g.Draining
			continue
		}
		if len(gateways) == codec.MaxGateways {
			reasons = append(reasons, fmt.Sprintf("gateway %s is not published: a cluster may have %d", g.Name, codec.MaxGateways))
			continue
		}
		byAddress[address] = len(gateways)
		gateways = append(gateways, g)
	}
	return gateways, reasons
}

// unreachable says why no other cluster could use the gateway.
func unreachable(g model.Gateway) string {
	switch {
	case g.Address == "" || g.Port == 0:
		return "it advertises no address or no port"
	case len(g.Address) > codec.MaxAddress:
		return fmt.Sprintf("its advertised address is longer than %d bytes", codec.MaxAddress)
	}
	if err := model.ValidateLabel("gateway", g.Name); err != nil {
		return err.Error()
	}
	if ip, err := netip.ParseAddr(g.Address); err == nil && ip.IsUnspecified() {
		return fmt.Sprintf("it advertises %s, which no other host can reach: set its advertised address", g.Address)
	}
	if _, err := model.ParseLocality(g.Locality.String()); err != nil {
		return err.Error()
	}
	return ""
}
