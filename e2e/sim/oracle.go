package sim

import (
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// oracle knows what is true in a world, and holds what everybody believes against it.
type oracle struct {
	w *world
	// said is what each origin's writers have published, by version and process.
	said map[saidKey]*saying
	// last is the newest saying of each writer process; confirmedAt the true time at which it confirmed it last.
	last map[string]*saying
	// forged are the versions that no writer published but the adversary did.
	forged map[forgedKey]bool
	// winners are how ties between two writers were decided.
	winners map[tieKey]contender
	// open caches what the log opens: by index, origin and importer.
	open map[openKey]bool
	// checks counts what was held against the truth.
	checks int
}

type saidKey struct {
	origin   model.ClusterName
	version  model.Version
	instance string
}

type forgedKey struct {
	origin  model.ClusterName
	version model.Version
}

// saying is one published state.
type saying struct {
	origin   model.ClusterName
	instance string
	version  model.Version
	records  map[string]model.SignedRecord
	// services are those among them that are services', by key.
	services map[string]model.ServiceKey
	digest   uint64
	at       time.Duration
	// supersededAt is when the next one was published; negative until then.
	supersededAt time.Duration
	// confirmedAt is when it was last published or confirmed.
	confirmedAt time.Duration
}

type openKey struct {
	index            uint64
	origin, importer model.ClusterName
	service          model.ServiceKey
}

func newOracle(w *world) *oracle {
	return &oracle{
		w: w, said: map[saidKey]*saying{}, last: map[string]*saying{}, forged: map[forgedKey]bool{},
		winners: map[tieKey]contender{},
		open:    map[openKey]bool{},
	}
}

// digestOf does not depend on the order of the records.
func digestOf(list []model.SignedRecord) uint64 {
	sum := uint64(len(list))
	for _, r := range list {
		h := fnv.New64a()
		_, _ = h.Write([]byte(r.Key))
		// A signature covers its record; forged ones differ in either.
		_, _ = h.Write(r.Signature)
		sum += h.Sum64() ^ uint64(len(r.Record))
	}
	return sum
}

// publish notes what a writer says.
func (o *oracle) publish(a *agent, b model.Batch, all map[string]model.SignedRecord) {
	s := &saying{
		origin: a.cluster, instance: b.Instance, version: b.To, records: maps.Clone(all), digest: digestOf(slices.Collect(maps.Values(all))),
		services: map[string]model.ServiceKey{}, at: o.w.now, supersededAt: -1, confirmedAt: o.w.now,
	}
	for key := range all {
		if service := serviceOfKey(key); !service.IsZero() {
			s.services[key] = service
		}
	}
	if before := o.last[a.instance]; before != nil {
		before.supersededAt = o.w.now
	}
	o.last[a.instance] = s
	o.said[saidKey{a.cluster, b.To, b.Instance}] = s
}

func (o *oracle) confirm(a *agent, b model.Batch) {
	if s := o.said[saidKey{a.cluster, b.To, b.Instance}]; s != nil {
		s.confirmedAt = o.w.now
	}
}

// held checks what a node holds of an origin after a change.
func (o *oracle) nodeHolds(n *node, origin model.ClusterName) {
	w := o.w
	o.checks++
	held, ok := n.catalog.Origin(origin)
	if !ok {
		return
	}
	if before := n.versions[origin]; held.Version.Compare(before) < 0 {
		w.violate("versions never go back", "%s held %v of %s and holds %v now", n.name, before, origin, held.Version)
	}
	n.versions[origin] = held.Version
	if o.forged[forgedKey{origin, held.Version}] {
		return
	}
	s := o.said[saidKey{origin, held.Version, held.Instance}]
	if s == nil {
		w.violate("nobody holds what was not said", "%s holds %v of %s by %q", n.name, held.Version, origin, held.Instance)
		return
	}
	full, _ := n.catalog.Full(origin)
	if digestOf(full.Upserts) != s.digest {
		w.violate("a version has one content: nothing withdrawn returns and nothing is missing", "%s holds of %s at %v: %s; it said: %s",
			n.name, origin, held.Version, keysOf(full.Upserts), keysOf(slices.Collect(maps.Values(s.records))))
	}
}

// contender is one of two states that claim one version.
type contender struct{ digest, instance string }

type tieKey struct {
	origin  model.ClusterName
	version model.Version
	a, b    contender
}

// tie looks at a batch that claims the version which a node holds with other content; the function that it returns then looks at what
// the node made of it. Everybody must decide alike, whichever came first.
func (o *oracle) tie(n *node, b model.Batch) func() {
	held, ok := n.catalog.Origin(b.Origin)
	if !b.Full || !ok || held.Version != b.To || held.Instance == b.Instance {
		return nil
	}
	other := catalog.New(o.w.limits)
	other.Merge(b)
	x := contender{string(n.catalog.Digest(b.Origin)), held.Instance}
	y := contender{string(other.Digest(b.Origin)), b.Instance}
	if x.digest == y.digest {
		return nil
	}
	return func() {
		now, _ := n.catalog.Origin(b.Origin)
		winner := contender{string(n.catalog.Digest(b.Origin)), now.Instance}
		if y.instance < x.instance {
			x, y = y, x
		}
		key := tieKey{b.Origin, b.To, x, y}
		if before, decided := o.winners[key]; decided && before != winner {
			o.w.violate("ties are decided alike", "%s decides for %s of %s at %v, others for %s", n.name, winner.instance, b.Origin, b.To, before.instance)
		}
		o.winners[key] = winner
	}
}

func keysOf(list []model.SignedRecord) []string {
	out := make([]string, 0, len(list))
	for _, r := range list {
		out = append(out, r.Key)
	}
	slices.Sort(out)
	return out
}

// opens reports whether the log up to an index lets the importer see a service of the origin. It asks the agreed log, not what any
// process made of it.
func (o *oracle) opens(index uint64, origin model.ClusterName, service model.ServiceKey, importer model.ClusterName) bool {
	key := openKey{index, origin, importer, service}
	if known, ok := o.open[key]; ok {
		return known
	}
	v := o.w.raft.at(index)
	member, ok := v.Clusters[origin]
	_, importing := v.Clusters[importer]
	open := ok && importing && rulesOpen(v, member, service, importer)
	o.open[key] = open
	return open
}

// rulesOpen says again, in its own words, what policy.Exports decides.
func rulesOpen(v *state.View, origin model.Cluster, service model.ServiceKey, importer model.ClusterName) bool {
	named := func(list []string, name string) bool {
		return slices.Contains(list, name) || slices.Contains(list, policy.Any)
	}
	if !named(origin.ExportNamespaces, service.Namespace) {
		return false
	}
	for _, r := range v.Exports {
		if named(r.Spec.From, string(origin.Name)) && named(r.Spec.Namespaces, service.Namespace) && named(r.Spec.To, string(importer)) &&
			(len(r.Spec.Services) == 0 || named(r.Spec.Services, service.Name)) {
			return true
		}
	}
	return false
}

// index is how much of the log an agent knows of.
func (a *agent) known() uint64 {
	if a.view == nil {
		return 0
	}
	return a.view.Index
}

// imports checks what an agent may use, of all origins, after the rules that it knows have changed or a hold has ended.
func (o *oracle) imports(a *agent) {
	before := a.seen.origins
	a.seen.origins = map[model.ClusterName]*believed{}
	for _, i := range a.imports.All() {
		instance := ""
		if b := before[i.Origin]; b != nil {
			instance = b.instance
		}
		o.note(a, i, instance)
		o.mayUse(a, i.Origin, i.Records, i.Version)
	}
}

// mayUse holds what counts at an importer against who signed it and what is open to it: at once, as far as it knows the log.
func (o *oracle) mayUse(a *agent, origin model.ClusterName, list []model.Record, version model.Version) {
	w := o.w
	o.checks++
	for _, r := range list {
		if w.memo.genuine[identity(r)] != origin {
			w.violate("a record counts only under its member's signature", "%s uses %s of %s", a.name, r.Key(), origin)
		}
		if r.Version.Compare(version) > 0 {
			w.violate("a record is not younger than its origin's version", "%s uses %s of %s", a.name, r.Key(), origin)
		}
		if r.Service != nil && !o.opens(a.known(), origin, r.Service.Service, a.cluster) {
			w.violate("nothing crosses an export boundary", "%s may use %s of %s, which the log at its index %d does not open",
				a.name, r.Key(), origin, a.known())
		}
	}
}

// ramp is the share that a capacity may take at most, so long after its return.
func ramp(age time.Duration) uint32 {
	switch {
	case age < 10*time.Second:
		return 10
	case age < 20*time.Second:
		return 25
	case age < 30*time.Second:
		return 50
	}
	return 100
}

// seen is what an agent has seen in this life, as the oracle notes it.
type seen struct {
	origins map[model.ClusterName]*believed
	// available, and when what had died came back, by the agent's clock.
	available map[route.RampKey]bool
	returned  map[route.RampKey]time.Time
	// changed is set when something was taken since the last complete round.
	changed bool
}

// believed is one origin as an importer has it.
type believed struct {
	version  model.Version
	instance string
	services map[string]bool
}

func newSeen() *seen {
	return &seen{
		origins: map[model.ClusterName]*believed{}, available: map[route.RampKey]bool{}, returned: map[route.RampKey]time.Time{},
	}
}

// observed follows which capacity died and came back, and holds the ramps against it.
func (o *oracle) observed(a *agent, now route.Available, given map[route.RampKey]uint32) {
	at := a.clock(o.w.now)
	for k, available := range now {
		before, known := a.seen.available[k]
		switch {
		case available && known && !before:
			a.seen.returned[k] = at
		case !available:
			delete(a.seen.returned, k)
		}
		if available || known {
			a.seen.available[k] = available
		}
	}
	for k, before := range a.seen.available {
		if _, present := now[k]; !present && before {
			a.seen.available[k] = false
			delete(a.seen.returned, k)
		}
	}
	if len(a.seen.returned) == 0 {
		return
	}
	for k, since := range a.seen.returned {
		percent, climbs := given[k]
		if !climbs {
			percent = 100
		}
		if most := ramp(at.Sub(since)); percent > most {
			o.w.violate("capacity fails back in steps", "%s gives %s of %s %d %%, %d %% at most are due %v after its return",
				a.name, k.Service, k.Cluster, percent, most, at.Sub(since))
		}
		if at.Sub(since) > time.Minute {
			delete(a.seen.returned, k)
		}
	}
}
