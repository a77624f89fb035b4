package route

import "slices"

// placer lays out endpoints, each address once.
type placer struct {
	endpoints []Endpoint
	// good is how many of them are healthy, once all of those are laid out.
	good int
	// index is nil while a scan is cheaper.
	index map[address]bool
}

type address struct {
	host string
	port uint16
}

// scanLimit is up to how many endpoints a scan for duplicates is cheaper than an index.
const scanLimit = 24

// place gives each source its endpoints. An address that several sources name belongs to the nearest one where it is healthy;
// sources that are left without any endpoint go.
func place(r *Request, sources []source) ([]source, []Endpoint) {
	n := 0
	for i := range sources {
		n += len(sources[i].local) + len(sources[i].points)
	}
	p := placer{endpoints: make([]Endpoint, 0, n)}
	if n > scanLimit {
		p.index = make(map[address]bool, n)
	}
	for i := range sources {
		sources[i].healthy = p.add(&sources[i], serving)
	}
	for i := range sources {
		sources[i].spare = p.add(&sources[i], spare)
	}
	p.good = len(p.endpoints)
	for i := range sources {
		sources[i].bad = p.add(&sources[i], bad)
	}
	kept := sources[:0]
	for _, s := range sources {
		s.absent = s.absent || s.left
		if s.absent || s.healthy.len()+s.spare.len()+s.bad.len() > 0 {
			s.settle(r)
			kept = append(kept, s)
		}
	}
	return kept, p.endpoints
}

// use is what an endpoint is good for.
type use int

const (
	// serving endpoints take the source's calls, spare ones wait until those are dead, bad ones until everything is.
	serving use = iota
	spare
	bad
)

// useOf is what a gateway is good for: nothing ready behind it is as good as no gateway, and a degraded path is spare beside a better one.
func (s *source) useOf(g GatewayPoint) use {
	switch {
	case s.ready == 0 || !g.usable():
		return bad
	case g.Degraded && !s.degraded:
		return spare
	default:
		return serving
	}
}

// add appends the source's endpoints of the given use that nobody has yet.
//
// A gateway that drains is left out, unless nothing better is left: Envoy then ends the connections that it holds to it as soon as
// they are idle, and the gateway can go. Kept as a last resort, they would stay open until the gateway cuts them.
func (p *placer) add(s *source, u use) span {
	from := len(p.endpoints)
	healthy := u != bad
	for _, e := range s.local {
		if u != spare && e.Available == healthy && !p.taken(address{e.Address, e.Port}) {
			p.endpoints = append(p.endpoints, Endpoint{Address: e.Address, Port: e.Port, Weight: max(1, e.Weight), Healthy: healthy, Via: viaOf(e)})
		}
	}
	for _, g := range s.points {
		if g.Draining && p.good > 0 {
			s.left = true
			continue
		}
		if s.useOf(g) == u && !p.taken(address{g.Address, g.Port}) {
			p.endpoints = append(p.endpoints, Endpoint{Address: g.Address, Port: g.Port, Weight: 1, Healthy: healthy, Gateway: true, Via: s.via})
		}
	}
	return span{from, len(p.endpoints)}
}

func viaOf(e LocalEndpoint) Via {
	if e.Plain {
		return ViaPlain
	}
	return ViaEnvoy
}

// taken reports whether the address stands already; with an index it also reserves it.
func (p *placer) taken(a address) bool {
	if p.index != nil {
		seen := p.index[a]
		p.index[a] = true
		return seen
	}
	for i := range p.endpoints {
		if p.endpoints[i].Port == a.port && p.endpoints[i].Address == a.host {
			return true
		}
	}
	return false
}

// settle fixes what the source can serve, now that its endpoints are known.
func (s *source) settle(r *Request) {
	if len(s.local) > 0 {
		s.ready, s.total = float64(s.healthy.len()), float64(s.healthy.len()+s.bad.len())
		r.addReady(s, s.locality, s.ready)
	}
	if s.healthy.len() == 0 {
		s.ready, s.steady, s.climbing = 0, 0, 0
	}
}

// serves reports whether calls may be sent to the source as long as others live.
func (s *source) serves() bool { return s.steady+s.climbing > 0 }

// healthyGroups makes groups of the healthy endpoints of sources that serve, weighted by their parts.
func healthyGroups(sources []source, endpoints []Endpoint) []Group {
	sum, n := 0.0, 0
	for i := range sources {
		if s := &sources[i]; s.serves() {
			sum, n = sum+s.part, n+1
		}
	}
	if n == 0 {
		return nil
	}
	out := make([]Group, 0, n)
	for i := range sources {
		if s := &sources[i]; s.serves() {
			out = append(out, s.group(s.healthy.of(endpoints), weight(s.part, sum)))
		}
	}
	return out
}

// heldGroups makes groups of the healthy endpoints that take no calls while others live, weighted by what is ready behind them: all of
// sources that are held down, and those that degraded paths lead to.
func heldGroups(sources []source, endpoints []Endpoint) []Group {
	var out []Group
	for i := range sources {
		s := &sources[i]
		held := slices.Clone(s.spare.of(endpoints))
		if !s.serves() {
			held = append(held, s.healthy.of(endpoints)...)
		}
		if len(held) > 0 {
			out = append(out, s.group(held, uint32(min(maxWeight, max(1, s.ready)))))
		}
	}
	return out
}

// badGroups makes groups of all bad endpoints, weighted by their number.
func badGroups(sources []source, endpoints []Endpoint) []Group {
	var out []Group
	for i := range sources {
		if s := &sources[i]; s.bad.len() > 0 {
			out = append(out, s.group(s.bad.of(endpoints), uint32(min(maxWeight, s.bad.len()))))
		}
	}
	return out
}

func (s *source) group(endpoints []Endpoint, weight uint32) Group {
	return Group{Cluster: s.cluster, Locality: s.locality, Weight: weight, Endpoints: endpoints}
}

// span is a part of the laid out endpoints.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

func (s span) of(e []Endpoint) []Endpoint { return e[s.from:s.to:s.to] }
