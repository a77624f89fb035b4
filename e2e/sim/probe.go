package sim

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// gateway is a site's gateway: it answers probes while it is up, not frozen, and in reach.
type gateway struct {
	process
	cluster model.ClusterName
	address netip.Addr
}

const gatewayPort = 15443

// probe is one address that an agent probes: cluster-agent/probe, with datagrams for handshakes.
type probe struct {
	own      verdict.Own
	locality model.Locality
	draining bool
	suspect  bool
	judged   verdict.State
	// wanted is false once the address is no target any more.
	wanted bool
	count  int
}

// retarget follows which gateways are imported.
func (a *agent) retarget() {
	changed := false
	for _, p := range a.probes {
		p.wanted = false
	}
	for _, origin := range a.imports.All() {
		for _, r := range origin.Records {
			for _, g := range r.Gateways {
				ip, err := netip.ParseAddr(g.Address)
				if err != nil {
					continue
				}
				address := verdict.Address{Cluster: origin.Origin, Gateway: g.Name, IP: ip, Port: g.Port}
				p := a.probes[address]
				if p == nil {
					p = &probe{}
					a.probes[address], changed = p, true
					a.probe(address, p, a.w.between(0, 50*time.Millisecond))
				}
				p.wanted, p.locality, p.draining = true, g.Locality, g.Draining
			}
		}
	}
	for _, address := range a.addresses {
		if !a.probes[address].wanted {
			delete(a.probes, address)
			changed = true
		}
	}
	if changed {
		a.addresses = slices.SortedFunc(maps.Keys(a.probes), verdict.Address.Compare)
	}
}

// probe begins a handshake after a pause; its end is when the gateway is looked at, and when the next one is planned.
func (a *agent) probe(address verdict.Address, p *probe, pause time.Duration) {
	w := a.w
	p.count++
	count := p.count
	g := w.gatewayAt(address.IP)
	rtt := 2 * w.travel(&a.process, &g.process)
	connect := rtt
	for w.chance(2 * w.net.loss) {
		connect += time.Second
	}
	took := connect + 2*rtt
	if patience := verdict.DefaultPatience.ForConnect(p.own); connect > patience {
		took, connect = patience, 0
	}
	w.afterFor(&a.process, pause+took, func() {
		if a.probes[address] == p && p.count == count {
			a.answered(address, p, g, verdict.Outcome{Connect: connect, RTT: took, RoundTrip: rtt, Resent: connect != rtt})
		}
	})
}

// answered takes the end of a handshake, which the gateway answers if it can at this moment.
func (a *agent) answered(address verdict.Address, p *probe, g *gateway, o verdict.Outcome) {
	w := a.w
	took := o.RTT
	if o.Connect == 0 || !g.up || g.frozen || !w.net.open(&a.process, &g.process) || !w.net.open(&g.process, &a.process) {
		o = verdict.Outcome{Err: "no answer"}
	}
	before := p.own
	p.own = verdict.Step(p.own, o, verdict.DefaultThresholds, a.clock(w.now))
	if p.own.State != before.State || p.own.Degraded != before.Degraded {
		w.trace.add(w.now, "judged", a.name, address.Gateway+" "+p.own.State.String(), 0, 0, 0)
		a.touch()
	}
	pause := verdict.DefaultPace.Pause(p.own, p.suspect)
	a.probe(address, p, max(0, w.between(pause-pause/10, pause+pause/10)-took))
}

func (a *agent) findings() []verdict.Finding {
	var out []verdict.Finding
	for _, address := range a.addresses {
		p := a.probes[address]
		out = append(out, verdict.Finding{Address: address, State: p.own.State, Since: p.own.Since})
	}
	return out
}

// listen gathers what the others say of gateways and reports whether anything is judged otherwise than before.
func (a *agent) listen(now time.Time) (changed bool) {
	if a.view == nil {
		return false
	}
	var heard []verdict.Heard
	for _, origin := range a.imports.All() {
		heard = append(heard, a.w.seams.heard(a, verdict.Heard{
			Prober: origin.Origin, Incarnation: origin.Version.Incarnation, ConfirmedAt: origin.ConfirmedAt, Records: origin.Records,
		}))
	}
	a.others = verdict.Collect(a.cluster, a.view.Clusters, heard, now)
	a.w.oracle.voices(a)
	for _, address := range a.addresses {
		p := a.probes[address]
		j := verdict.Judge(p.own.State, a.others.On(address))
		if j.Suspicious && !p.suspect && verdict.DefaultPace.Raised > 0 {
			a.probe(address, p, a.w.between(0, verdict.DefaultPace.Raised))
		}
		changed = changed || p.judged != j.State
		p.suspect, p.judged = j.Suspicious, j.State
	}
	return changed
}

// points are an origin's gateways with what is believed of them.
func (a *agent) points(origin catalog.Imported) []route.GatewayPoint {
	var out []route.GatewayPoint
	for _, address := range a.addresses {
		if address.Cluster != origin.Origin {
			continue
		}
		p := a.probes[address]
		point := route.GatewayPoint{Address: address.IP.String(), Port: address.Port, Locality: p.locality, Draining: p.draining, Degraded: p.own.Degraded}
		switch verdict.Judge(p.own.State, a.others.On(address)).State {
		case verdict.Good:
			point.Reach = route.ReachGood
		case verdict.Bad:
			point.Reach = route.ReachBad
		}
		out = append(out, point)
	}
	return out
}
