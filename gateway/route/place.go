package route

// placed are sources with their endpoints, each address once.
type placed struct {
	sources   []source
	endpoints []Endpoint
}

// place gives each source its endpoints. An address that several sources name belongs to the nearest one where it is healthy;
// sources that are left without any endpoint go.
func place(r Request, sources []source) placed {
	n := 0
	for _, s := range sources {
		n += len(s.local) + len(s.points)
	}
	p := placed{sources: sources, endpoints: make([]Endpoint, 0, n)}
	var index map[address]bool
	if n > scanLimit {
		index = make(map[address]bool, n)
	}
	for i := range sources {
		sources[i].healthy = p.add(&sources[i], true, index)
	}
	for i := range sources {
		sources[i].bad = p.add(&sources[i], false, index)
	}
	p.sources = keepPlaced(&r, sources)
	return p
}

type address struct {
	host string
	port uint16
}

// scanLimit is up to how many endpoints a scan for duplicates is cheaper than an index.
const scanLimit = 24

func (p *placed) taken(a address, index map[address]bool) bool {
	if index != nil {
		seen := index[a]
		index[a] = true
		return seen
	}
	for i := range p.endpoints {
		if p.endpoints[i].Port == a.port && p.endpoints[i].Address == a.host {
			return true
		}
	}
	return false
}

// add appends the source's endpoints of the given health that nobody has yet.
func (p *placed) add(s *source, healthy bool, index map[address]bool) span {
	from := len(p.endpoints)
	for _, e := range s.local {
		if e.Available == healthy && !p.taken(address{e.Address, e.Port}, index) {
			p.endpoints = append(p.endpoints, Endpoint{Address: e.Address, Port: e.Port, Weight: max(1, e.Weight), Healthy: healthy})
		}
	}
	for _, g := range s.points {
		// Nothing ready behind a gateway is as good as no gateway.
		good := s.ready > 0 && g.usable()
		if good == healthy && !p.taken(address{g.Address, g.Port}, index) {
			p.endpoints = append(p.endpoints, Endpoint{Address: g.Address, Port: g.Port, Weight: 1, Healthy: healthy, Gateway: true})
		}
	}
	return span{from, len(p.endpoints)}
}

// keepPlaced drops the sources without endpoints and settles what the others can serve.
func keepPlaced(r *Request, sources []source) []source {
	kept := sources[:0]
	for _, s := range sources {
		healthy, bad := s.healthy.to-s.healthy.from, s.bad.to-s.bad.from
		if healthy+bad == 0 {
			continue
		}
		if len(s.local) > 0 {
			s.ready, s.total = float64(healthy), float64(healthy+bad)
			s.effective = r.ramped(s.cluster, s.locality, uint32(healthy))
		}
		if healthy == 0 {
			s.ready, s.effective = 0, 0
		}
		kept = append(kept, s)
	}
	return kept
}

// healthy makes groups of the sources' healthy endpoints, weighted by their parts.
func (p placed) healthy(sources []source) []Group {
	sum, n := 0.0, 0
	for i := range sources {
		if s := &sources[i]; s.healthy.to > s.healthy.from {
			sum, n = sum+s.part, n+1
		}
	}
	if n == 0 {
		return nil
	}
	out := make([]Group, 0, n)
	for i := range sources {
		if s := &sources[i]; s.healthy.to > s.healthy.from {
			out = append(out, p.group(s, s.healthy, weight(s.part, sum)))
		}
	}
	return out
}

// bad makes groups of all bad endpoints, weighted by their number.
func (p placed) bad() []Group {
	var out []Group
	for i := range p.sources {
		if s := &p.sources[i]; s.bad.to > s.bad.from {
			out = append(out, p.group(s, s.bad, uint32(min(maxWeight, s.bad.to-s.bad.from))))
		}
	}
	return out
}

func (p placed) group(s *source, of span, weight uint32) Group {
	return Group{Cluster: s.cluster, Locality: s.locality, Weight: weight, Endpoints: p.endpoints[of.from:of.to:of.to]}
}
