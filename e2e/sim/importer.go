package sim

import (
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

const (
	// massRecords and one half say what a mass removal is.
	massRecords = 10
	// voiceTTL is how long another cluster's verdict counts after its feed was last confirmed.
	voiceTTL = 10 * time.Second
	// path bounds how long news may be on its way unnoticed: frozen processes and silent peers on several hops.
	path = 45 * time.Second
)

// importedOf finds one origin among what an agent holds.
func importedOf(a *agent, origin model.ClusterName) (catalog.Imported, bool) {
	for _, i := range a.imports.All() {
		if i.Origin == origin {
			return i, true
		}
	}
	return catalog.Imported{}, false
}

// loaded notes what an agent starts with.
func (o *oracle) loaded(a *agent) {
	for _, i := range a.imports.All() {
		o.note(a, i, "")
	}
	o.imports(a)
}

func (o *oracle) note(a *agent, i catalog.Imported, instance string) {
	b := &believed{version: i.Version, instance: instance, services: map[string]bool{}}
	for _, r := range i.Records {
		if r.Service != nil {
			b.services[r.Key()] = true
		}
	}
	a.seen.origins[i.Origin] = b
}

// took checks what a batch has made of an origin at an importer.
func (o *oracle) took(a *agent, b model.Batch, changed bool) {
	w := o.w
	before := a.seen.origins[b.Origin]
	if !changed && before != nil && before.version == b.To {
		return
	}
	i, ok := importedOf(a, b.Origin)
	if !ok {
		delete(a.seen.origins, b.Origin)
		return
	}
	if before != nil && i.Version.Compare(before.version) < 0 {
		w.violate("versions never go back", "%s held %v of %s and holds %v now", a.name, before.version, b.Origin, i.Version)
	}
	if !changed {
		if before != nil && i.Version == before.version {
			return
		}
	}
	o.note(a, i, b.Instance)
	after := a.seen.origins[b.Origin]
	a.seen.changed = true
	o.mayUse(a, b.Origin, i.Records, i.Version)
	s := o.said[saidKey{b.Origin, i.Version, b.Instance}]
	if s == nil || i.Version != b.To || o.forged[forgedKey{b.Origin, b.To}] {
		return
	}
	o.nothingReturns(a, i, s)
	if before == nil || before.version.Incarnation != i.Version.Incarnation || b.Confirmed {
		return
	}
	vanished := 0
	for key := range before.services {
		if _, stays := s.records[key]; !stays && !after.services[key] && o.opensKey(a, b.Origin, key) {
			vanished++
		}
	}
	if vanished > massRecords && 2*vanished > len(before.services) {
		w.violate("a mass removal is held", "%s lost %d of %d services of %s at once", a.name, vanished, len(before.services), b.Origin)
	}
}

// opensKey reports whether an agent knows a rule that opens the service of a record.
func (o *oracle) opensKey(a *agent, origin model.ClusterName, key string) bool {
	return o.opens(a.known(), origin, serviceOfKey(key), a.cluster)
}

// nothingReturns holds the records in force against what the origin said at that version: those that are held may be older.
func (o *oracle) nothingReturns(a *agent, i catalog.Imported, s *saying) {
	strange := 0
	var which string
	for _, r := range i.Records {
		if i.HeldRecords > 0 && r.Key() == model.GatewaysKey {
			// They stay with the services that are held.
			continue
		}
		signed, said := s.records[r.Key()]
		if said {
			now, err := o.w.memo.verify(a.memberOf(i.Origin).AgentKey, i.Origin, signed)
			said = err == nil && identity(now) == identity(r)
		}
		if !said {
			strange++
			which = r.Key()
		}
	}
	if strange > i.HeldRecords && len(i.Refused) == 0 {
		o.w.violate("nothing withdrawn returns", "%s uses %s of %s, which it does not say at %v", a.name, which, i.Origin, i.Version)
	}
}

// lost checks an origin that was dropped: what is open and was not withdrawn one by one is held.
func (o *oracle) lost(a *agent, origin model.ClusterName) {
	before := a.seen.origins[origin]
	i, still := importedOf(a, origin)
	if still {
		o.note(a, i, "")
		o.mayUse(a, origin, i.Records, i.Version)
	} else {
		delete(a.seen.origins, origin)
	}
	if before == nil {
		return
	}
	vanished := 0
	for key := range before.services {
		if (!still || !a.seen.origins[origin].services[key]) && o.opensKey(a, origin, key) {
			vanished++
		}
	}
	if vanished > massRecords && 2*vanished > len(before.services) {
		o.w.violate("a mass removal is held", "%s lost %d of %d services of %s with the origin", a.name, vanished, len(before.services), origin)
	}
}

// round checks that an agent which has read all that a node had to say lacks nothing: neither age nor silence withdraws a service.
func (o *oracle) round(a *agent, n *node, m round) {
	if !a.seen.changed {
		return
	}
	a.seen.changed = false
	o.checks++
	if a.session.past != nil {
		// The node lags behind, and what it says is left aside.
		return
	}
	for _, i := range a.imports.All() {
		b := a.seen.origins[i.Origin]
		if a.link.asked[i.Origin] {
			// It has seen a gap, and waits for the whole.
			continue
		}
		if b == nil || b.version != i.Version || m.versions[i.Origin] != i.Version || a.known() != m.index || a.memberOf(i.Origin).Incarnation != i.Version.Incarnation {
			continue
		}
		s := o.said[saidKey{i.Origin, i.Version, b.instance}]
		if s == nil || o.forged[forgedKey{i.Origin, i.Version}] {
			continue
		}
		inForce := map[string]bool{}
		for _, r := range i.Records {
			inForce[r.Key()] = true
		}
		for key, service := range s.services {
			if inForce[key] || m.refused[i.Origin][key] != "" || !o.opens(m.index, i.Origin, service, a.cluster) {
				continue
			}
			o.w.violate("nothing vanishes that was not withdrawn", "%s lacks %s of %s at %v, which node %s has told in full", a.name, key, i.Origin, i.Version, n.name)
		}
	}
}

// voices checks that only those are listened to whose feed is alive.
func (o *oracle) voices(a *agent) {
	now := a.clock(o.w.now)
	alive := map[model.ClusterName]bool{}
	for _, i := range a.imports.All() {
		alive[i.Origin] = now.Sub(i.ConfirmedAt) < voiceTTL && i.Version.Incarnation == a.memberOf(i.Origin).Incarnation
	}
	for _, address := range a.addresses {
		v := a.others.On(address)
		for _, list := range [][]model.ClusterName{v.Good, v.Bad} {
			for _, prober := range list {
				if !alive[prober] || prober == a.cluster || prober == address.Cluster {
					o.w.violate("verdicts expire", "%s listens to %s on %s of %s", a.name, prober, address.Gateway, address.Cluster)
				}
			}
		}
	}
}

// stale checks that what is out of date for long shows its age.
func (o *oracle) stale(a *agent) {
	w := o.w
	now := a.clock(w.now)
	if a.reset {
		return
	}
	for _, i := range a.imports.All() {
		b := a.seen.origins[i.Origin]
		if b == nil || b.version != i.Version || b.instance == "" {
			continue
		}
		s := o.said[saidKey{i.Origin, i.Version, b.instance}]
		if s == nil || s.supersededAt < 0 || w.now-s.supersededAt < path {
			continue
		}
		if shown, age := now.Sub(i.ConfirmedAt), w.now-s.confirmedAt; shown < age-path {
			w.violate("staleness is bounded or shown", "%s holds %s at %v, last confirmed %v ago, and shows %v", a.name, i.Origin, i.Version, age, shown)
		}
	}
}

// look derives a snapshot as the agent would now, and checks where calls may go.
func (a *agent) look() {
	w := a.w
	if a.view == nil {
		return
	}
	s := snapshot.Build(a.inputs())
	for _, p := range s.Services {
		for _, at := range p.Assignments {
			for _, priority := range at.Assignment.Priorities {
				for _, g := range priority.Groups {
					if g.Cluster != a.cluster && !w.oracle.opens(a.known(), g.Cluster, p.Service, a.cluster) {
						w.violate("nothing crosses an export boundary", "%s routes %s to %s", a.name, p.Service, g.Cluster)
					}
				}
			}
		}
	}
}

// routed checks that calls go by what a cluster says in its present membership only.
func (o *oracle) routed(a *agent, in snapshot.Inputs) {
	for _, i := range a.imports.All() {
		m := o.w.raft.at(a.known()).Clusters[i.Origin]
		if _, used := in.Gateways[i.Origin]; used && i.Version.Incarnation != m.Incarnation {
			o.w.violate("a cluster that was removed and joined again is another one", "%s routes by %v of %s, a member since %d",
				a.name, i.Version, i.Origin, m.Incarnation)
		}
	}
}
