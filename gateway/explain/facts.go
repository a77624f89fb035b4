package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

func (x *explainer) tierText(l model.Locality) string {
	named := "FailoverPolicy " + x.of.Policy.Name
	switch t := x.port.Request.Tier(l); t.Kind {
	case route.TierZone:
		return "the callers' own zone"
	case route.TierRegion:
		return "the callers' own region"
	case route.TierOrder:
		return fmt.Sprintf("place %d after the callers' own region by %s", t.Position, named)
	case route.TierNever:
		return "left out by " + named
	}
	if x.of.Policy.Name == "" {
		return "another region: all of them together, by ready capacity"
	}
	return "a region that " + named + " does not list: behind all that it lists, by ready capacity"
}

func (x *explainer) ownFacts(l model.Locality) []string {
	ready, total := 0, 0
	for _, w := range x.port.Own {
		if w.Locality == l {
			total++
			if w.Available() {
				ready++
			}
		}
	}
	return x.rampFacts([]string{fmt.Sprintf("this cluster: %d of %d workloads take calls", ready, total)}, x.in.Facts.Cluster, l, false)
}

func (x *explainer) remoteFacts(cluster model.ClusterName) []string {
	var envoys, others []string
	var out []string
	stale := false
	for _, c := range x.port.Request.Remote {
		if c.Cluster != cluster {
			continue
		}
		place := fmt.Sprintf("%d of %d in %s", c.Ready, c.Total, c.Locality)
		if c.Terminated {
			others = append(others, place)
		} else {
			envoys = append(envoys, place)
		}
		out = x.rampFacts(out, cluster, c.Locality, c.Terminated)
		stale = stale || c.Stale
	}
	var facts []string
	if len(envoys) > 0 || len(others) == 0 {
		facts = append(facts, fmt.Sprintf("cluster %s: ready %s; its gateways spread over all of them", cluster, strings.Join(envoys, ", ")))
	}
	if len(others) > 0 {
		facts = append(facts, fmt.Sprintf("cluster %s: ready without an Envoy of their own %s; its gateways answer for them", cluster, strings.Join(others, ", ")))
	}
	if o, ok := x.origin(cluster); ok {
		facts = append(facts, fmt.Sprintf("published as version %d.%d, confirmed %s ago", o.Epoch, o.Seq, age(o.AgeSeconds)))
	}
	if stale {
		facts = append(facts, "stale: nobody has confirmed it for "+route.StaleAfter.String()+", so it stands behind everything fresh")
	}
	return append(facts, out...)
}

// rampFacts adds how capacity that has died comes back.
func (x *explainer) rampFacts(to []string, cluster model.ClusterName, l model.Locality, terminated bool) []string {
	percent, limited := x.port.Request.Ramps[route.RampKey{Service: x.q.Service, Cluster: cluster, Locality: l, Terminated: terminated}]
	switch {
	case !limited:
		return to
	case percent == route.HeldDown:
		return append(to, fmt.Sprintf("%s has died again and again: held down, it stands behind everything else until it has held out", l))
	default:
		return append(to, fmt.Sprintf("%s has died and come back: for now it may take %d %% of its share", l, percent))
	}
}

// workloadFacts say which of this cluster's workloads are at an address.
func (x *explainer) workloadFacts(e route.Endpoint) []string {
	out := []string{}
	for _, w := range x.port.Own {
		if x.servesAt(w) == address(e.Address, e.Port) {
			out = append(out, "workload "+w.ID+" "+stateText(w))
		}
	}
	return out
}

// servesAt is where a workload of this cluster accepts calls of the port.
func (x *explainer) servesAt(w model.Workload) string {
	if !w.Plain {
		return address(w.Address, w.InboundPort)
	}
	for _, p := range w.Ports {
		if p.SameSocket(x.port.Port) {
			return p.Target
		}
	}
	return ""
}

// wayFacts say how an endpoint is spoken to that is no Envoy of a workload.
func wayFacts(v route.Via) []string {
	switch v {
	case route.ViaPlain:
		return []string{"no Envoy stands beside it: it is called in the clear, within this cluster"}
	case route.ViaTerminated:
		return []string{"the gateway answers, with its own identity, for workloads without an Envoy"}
	default:
		return nil
	}
}

func stateText(w model.Workload) string {
	switch {
	case w.Health.Draining:
		return "drains"
	case !w.Health.Ready && w.Health.Reason != "":
		return "is not ready: " + w.Health.Reason
	case !w.Health.Ready:
		return "is not ready"
	default:
		return "is ready"
	}
}

// gatewayFacts say what is known of another cluster's gateway at an address.
func (x *explainer) gatewayFacts(cluster model.ClusterName, at string) []string {
	out := []string{}
	for _, g := range x.in.Gateways {
		if g.Cluster != cluster || g.Address != at {
			continue
		}
		out = append(out, fmt.Sprintf("gateway %s of %s", g.Gateway, g.Cluster), ownProbes(g))
		if len(g.GoodFor) > 0 {
			out = append(out, "good for "+names(g.GoodFor))
		}
		if len(g.BadFor) > 0 {
			out = append(out, "bad for "+names(g.BadFor))
		}
		if g.Draining {
			out = append(out, "its own site has taken it out of rotation")
		}
		if g.Degraded {
			out = append(out, "the path there has become much longer or loses packets")
		}
	}
	return out
}

func ownProbes(g model.GatewayFinding) string {
	text := "own probes: " + g.Own
	if g.Since != nil && g.Own != "unknown" {
		text += " since " + g.Since.UTC().Format(time.RFC3339)
	}
	if g.LastError != "" {
		text += " (" + g.LastError + ")"
	}
	if g.Own != g.Reachable {
		text += "; by what others find: " + g.Reachable
	}
	return text
}

func names(list []model.ClusterName) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = string(n)
	}
	return strings.Join(out, ", ")
}

func (x *explainer) origin(cluster model.ClusterName) (Origin, bool) {
	i := slices.IndexFunc(x.in.Origins, func(o Origin) bool { return o.Cluster == cluster })
	if i < 0 {
		return Origin{}, false
	}
	return x.in.Origins[i], true
}

func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	return d.Round(time.Second).String()
}
