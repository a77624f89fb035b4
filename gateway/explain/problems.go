package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// soon is how long before its end a certificate that was not renewed is a problem: it should have been renewed long before.
const soon = 6 * time.Hour

// problems are what stands in the way of calls, the gravest first.
func (x *explainer) problems() []string {
	return slices.Concat(x.callerProblems(), x.permissionProblems(), x.settled, x.trustProblems(), x.gatewayProblems(),
		x.freshnessProblems(), x.workloadProblems(), x.policyProblems())
}

// callerProblems are those of the asking proxy itself.
func (x *explainer) callerProblems() []string {
	var out []string
	if x.caller != nil && x.caller.Gateway != nil {
		out = append(out, fmt.Sprintf("%s is a gateway: it calls nothing itself, it passes other clusters' calls on", x.q.Proxy))
	} else if x.caller != nil && x.caller.Egress != nil && !x.calls() {
		out = append(out, fmt.Sprintf("egress gateway %s does not offer the port: no egress port is allotted to it; is the service imported in this cluster?", x.q.Proxy))
	} else if x.caller != nil && !x.calls() {
		out = append(out, fmt.Sprintf("proxy %s does not offer the service to its workload: start it with an --upstream for it, or with --open-http or --vips", x.q.Proxy))
	}
	if x.in.Own != nil {
		for _, p := range x.in.Own.Problems {
			if strings.Contains(p, x.q.Service.String()) {
				out = append(out, p)
			}
		}
	}
	f := x.in.InForce
	if f == nil {
		return out
	}
	if at := f.CertificateExpiresAt; at != nil && !at.After(x.in.Now) {
		out = append(out, fmt.Sprintf("the certificate of proxy %s ended at %s: no peer accepts its calls; see its log for why it is not renewed", x.q.Proxy, at.UTC().Format(time.RFC3339)))
	} else if at != nil && at.Before(x.in.Now.Add(soon)) {
		out = append(out, fmt.Sprintf("the certificate of proxy %s ends at %s and was not renewed: see its log", x.q.Proxy, at.UTC().Format(time.RFC3339)))
	}
	if !f.Connected {
		out = append(out, fmt.Sprintf("proxy %s is not connected to its agent: its Envoy goes on with what it was told last", x.q.Proxy))
	}
	for _, n := range f.Nacks {
		out = append(out, fmt.Sprintf("the Envoy of proxy %s refuses a part of its configuration and keeps the last good one: %s", x.q.Proxy, n.Reason))
	}
	if f.Connected && len(f.Nacks) == 0 && (f.Acknowledged < f.Derived || !f.Newest) {
		out = append(out, fmt.Sprintf("proxy %s does not follow yet what is said here: %s", x.q.Proxy, f.Reason))
	}
	return out
}

func egressPort(k model.ServiceKey, p model.Port) snapshot.EgressPort {
	return snapshot.EgressPort{Service: k, Number: p.Number, UDP: p.Protocol == model.ProtocolUDP}
}

// calls reports whether the proxy offers its workload the service, or an egress gateway everybody.
func (x *explainer) calls() bool {
	if x.caller.Egress != nil {
		return x.port == nil || x.in.Facts.EgressPorts[egressPort(x.q.Service, x.port.Port)] != 0
	}
	return x.caller.Open != nil || slices.ContainsFunc(x.caller.Upstreams, func(u model.Upstream) bool {
		if u.Service.Namespace == "" {
			u.Service.Namespace = x.caller.Namespace
		}
		return u.Service == x.q.Service
	})
}

// permissionProblems say why nobody offers the service, or not the port.
func (x *explainer) permissionProblems() []string {
	if x.portReason != "" {
		return []string{fmt.Sprintf("service %s: %s", x.q.Service, x.portReason)}
	}
	if len(x.ports) > 0 {
		return nil
	}
	out := []string{}
	for _, p := range x.of.Permissions {
		if p.Reason != "" {
			out = append(out, p.Reason)
		}
	}
	if len(out) == 0 {
		out = append(out, fmt.Sprintf("nobody offers service %s: no workload of this cluster is registered for it, and no other cluster is a member", x.q.Service))
	}
	return out
}

// trustProblems are trust domains of the servers that this site does not believe: their handshakes fail.
func (x *explainer) trustProblems() []string {
	var out []string
	for _, p := range x.of.Permissions {
		domain := x.in.Facts.Members[p.Cluster].TrustDomain
		believed := slices.ContainsFunc(x.in.Facts.Bundles, func(b model.Bundle) bool { return b.TrustDomain == domain })
		if p.Offered && !believed && domain != "" {
			out = append(out, fmt.Sprintf("no bundle of trust domain %s (cluster %s) is believed here: every call there fails in its handshake; see 'hanse trust list'", domain, p.Cluster))
		}
	}
	for _, o := range x.in.Origins {
		for _, text := range o.Refused {
			if strings.Contains(text, x.q.Service.String()) || strings.Contains(text, model.RecordKey(x.q.Service)) {
				out = append(out, fmt.Sprintf("cluster %s: %s", o.Cluster, text))
			}
		}
	}
	return out
}

// gatewayProblems are of the gateways of clusters that offer the service.
func (x *explainer) gatewayProblems() []string {
	if x.port == nil {
		return nil
	}
	var out []string
	offers := offering(x.port.Request)
	for _, cluster := range offers {
		if len(x.port.Request.Gateways[cluster]) == 0 {
			out = append(out, fmt.Sprintf("cluster %s offers the service, but no gateway of it is known here: start one there with 'hanse proxy --gateway'", cluster))
		}
	}
	for _, g := range x.in.Gateways {
		if !slices.Contains(offers, g.Cluster) {
			continue
		}
		name := fmt.Sprintf("gateway %s of %s at %s", g.Gateway, g.Cluster, g.Address)
		switch {
		case g.Reachable == "bad":
			out = append(out, fmt.Sprintf("%s is unreachable (%s): check that it runs and that a firewall lets this site through", name, ownProbes(g)))
		case g.Draining:
			out = append(out, fmt.Sprintf("%s is out of rotation: its site drains it or finds it not ready", name))
		case g.Degraded:
			out = append(out, fmt.Sprintf("the path to %s has become much longer or loses packets: calls go elsewhere where they can", name))
		}
	}
	return out
}

func (x *explainer) freshnessProblems() []string {
	var out []string
	for _, p := range x.of.Permissions {
		o, known := x.origin(p.Cluster)
		if !p.Offered || !known {
			continue
		}
		if o.Stale {
			out = append(out, fmt.Sprintf("what cluster %s offers is stale: its agent has not confirmed it for %s; is it running, and connected to a node?", o.Cluster, age(o.AgeSeconds)))
		}
		out = append(out, o.Held...)
	}
	return out
}

// workloadProblems are of this cluster's own workloads that serve the port.
func (x *explainer) workloadProblems() []string {
	var out []string
	if x.port == nil {
		return nil
	}
	for _, w := range x.port.Own {
		if !w.Available() {
			out = append(out, fmt.Sprintf("workload %s of this cluster %s", w.ID, stateText(w)))
		}
	}
	return out
}
