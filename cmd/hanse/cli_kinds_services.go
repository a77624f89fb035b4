package main

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	restapi "github.com/hanse-mesh/hanse/api/client"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// serviceKinds are what the sites publish. It is not in the log: what is shown is as old as each row says.
func serviceKinds() []kind {
	return []kind{
		{
			name: "Service", plural: "services", short: []string{"svc"},
			list: listing((*restapi.Client).ListServices), get: getService,
			namespaced: true, filters: []string{"cluster"}, view: serviceLayout().layout,
			none: "no cluster exports a service: workloads offer one with --export, an ExportRule opens it (see 'hanse status', 'hanse apply --help')"},
		{
			name: "Gateway", plural: "gateways", short: []string{"gw"},
			list:  listing((*restapi.Client).ListGateways),
			parts: 2, filters: []string{"cluster"}, view: gatewayLayout().layout,
		},
		{
			name: "Verdict", plural: "verdicts",
			list:  listing((*restapi.Client).ListVerdicts),
			parts: 3, filters: []string{"cluster", "prober"}, view: verdictLayout().layout,
		},
		{
			name: "Workload", plural: "workloads", short: []string{"wl"},
			list: listing((*restapi.Client).ListWorkloads), get: getWorkload, remove: removeWorkload, ending: "deregistered",
			parts: 2, filters: []string{"cluster"}, view: workloadLayout().layout,
		},
	}
}

func gatewayLayout() typedLayout[rest.GatewayView] {
	return layoutOf(
		[]string{"CLUSTER", "GATEWAY", "ADDRESS", "LOCALITY", "DRAINING", "BAD FOR", "AGE"}, nil,
		func(g rest.GatewayView) string { return string(g.Cluster) + "/" + g.Name },
		oneRow(func(g rest.GatewayView) []any {
			return []any{g.Cluster, g.Name, addressText(g.Address, g.Port), g.Locality, yesNo(g.Draining), namesText(g.BadTo), ageText(g.AgeSeconds, g.Stale)}
		}))
}

func verdictLayout() typedLayout[rest.VerdictView] {
	return layoutOf(
		[]string{"PROBER", "CLUSTER", "GATEWAY", "ADDRESS", "VERDICT", "SINCE", "AGE"}, nil,
		func(v rest.VerdictView) string { return fmt.Sprintf("%s/%s/%s", v.Prober, v.Cluster, v.Gateway) },
		oneRow(func(v rest.VerdictView) []any {
			verdict := "good"
			if v.Bad {
				verdict = "bad"
			}
			return []any{v.Prober, v.Cluster, v.Gateway, addressText(v.Address, v.Port), verdict, timeText(v.Since), ageText(v.AgeSeconds, false)}
		}))
}

func workloadLayout() typedLayout[rest.WorkloadView] {
	return layoutOf(
		[]string{"CLUSTER", "WORKLOAD", "CONNECTED", "READY", "REFUSED", "AGE"}, []string{"ENVOY"},
		func(w rest.WorkloadView) string { return string(w.Cluster) + "/" + w.Workload },
		oneRow(func(w rest.WorkloadView) []any {
			var refused []string
			for _, n := range w.Nacks {
				refused = append(refused, n.Reason)
			}
			connected := yesNo(w.Connected)
			if w.Declared {
				connected = "no proxy"
			}
			return []any{w.Cluster, w.Workload, connected, yesNo(w.Ready), strings.Join(refused, "; "), ageText(w.AgeSeconds, false), w.EnvoyVersion}
		}))
}

func addressText(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func serviceLayout() typedLayout[rest.ServiceView] {
	return layoutOf(
		[]string{"SERVICE", "CLUSTER", "PORTS", "READY", "LOCALITIES", "CALLED FROM", "AGE"}, []string{"IDENTITIES"},
		func(s rest.ServiceView) string { return s.Namespace + "/" + s.Name },
		func(s rest.ServiceView) [][]any {
			var rows [][]any
			for _, o := range s.Offers {
				ready, total := o.Ready()
				rows = append(rows, []any{s.ServiceKey, o.Cluster, portsText(o.Ports), fmt.Sprintf("%d/%d", ready, total),
					localitiesText(slices.Concat(o.Capacity, o.Terminated)), strings.Join(o.ImportedBy, ","), ageText(o.AgeSeconds, o.Stale), strings.Join(o.Identities, ",")})
			}
			return rows
		})
}

func portsText(ports []model.Port) string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = fmt.Sprintf("%d/%s", p.Number, p.Protocol)
	}
	return strings.Join(out, ",")
}

func localitiesText(capacity []model.Capacity) string {
	out := make([]string, len(capacity))
	for i, c := range capacity {
		out[i] = fmt.Sprintf("%s=%d/%d", c.Locality, c.Ready, c.Total)
	}
	return strings.Join(out, ",")
}
