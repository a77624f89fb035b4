package export

import (
	"fmt"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
)

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
