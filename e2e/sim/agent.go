package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/cluster-agent/export"
	"github.com/hanse-mesh/hanse/cluster-agent/tenure"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

const (
	// saveEvery is how often an agent's cache is written: what came since is lost in a crash.
	saveEvery = 5 * time.Second
)

// disk is what an agent finds when it starts. The epoch is synced before it is used, the rest from time to time.
type disk struct {
	epoch     uint64
	cache     []byte
	failback  []byte
	view      *state.View
	workloads map[string]model.Workload
}

// agent is a site's agent: cmd/hanse's core, cluster-agent/uplink and cluster-agent/probe without their goroutines.
type agent struct {
	process
	w       *world
	cluster model.ClusterName
	signer  signer
	disk    disk
	// only is the one node that the agent may speak with; nil for all.
	only *node

	instance string
	view     *state.View
	// rules are view's export rules.
	rules   []policy.ExportRule
	imports *catalog.Imports
	// workloads are the site's registry, which lives on the disk.
	workloads map[string]model.Workload

	throttle  export.Throttle
	desired   desired
	announced verdict.Announced
	others    verdict.Others
	failback  route.Failback
	probes    map[verdict.Address]*probe
	// addresses are those of probes, sorted.
	addresses []verdict.Address
	// loops tells the loop's timers apart; woken is set while it is about to run.
	loops   int
	woken   bool
	unsaved bool
	// derive is set when where calls go may have changed.
	derive bool
	// reset is set in a life that began with another clock: ages from before it are not known.
	reset, setAnew bool

	link     *uplink
	session  listening
	tenure   tenure.Tenure
	round    []*node
	lastGood *node
	denied   int

	seen *seen
}

// boot begins a life with what the disk has, if none goes on.
func (a *agent) boot() {
	w := a.w
	if a.up {
		return
	}
	a.start()
	a.instance = fmt.Sprintf("%s-%x", a.name, w.rng.Uint32())
	a.tenure = tenure.Tenure{Instance: a.instance}
	a.view, a.rules = a.disk.view, nil
	if a.view != nil {
		a.rules = a.view.ExportList()
	}
	a.workloads = a.disk.workloads
	a.throttle, a.announced, a.failback = export.Throttle{}, verdict.Announced{}, route.Failback{}
	a.desired = desired{records: map[string]model.Record{}, changed: map[string]bool{}}
	a.probes, a.addresses = map[verdict.Address]*probe{}, nil
	a.session = listening{}
	a.link, a.round, a.lastGood, a.denied = nil, nil, nil, 0
	a.woken, a.unsaved, a.others = false, false, verdict.Others{}
	a.reset, a.setAnew = a.setAnew, false
	a.seen = newSeen()
	a.imports = catalog.NewImports(w.limits, a.verify, a.opens)
	if err := a.imports.Load(a.disk.cache); err != nil {
		w.violate("an agent's cache survives its crash", "%s: %v", a.name, err)
	}
	if len(a.disk.failback) > 0 {
		if err := json.Unmarshal(a.disk.failback, &a.failback); err != nil {
			w.violate("an agent's cache survives its crash", "%s: %v", a.name, err)
		}
	}
	w.trace.add(w.now, "boot", a.name, a.instance, a.disk.epoch, 0, 0)
	w.oracle.loaded(a)
	a.touch()
	a.saveLater()
	w.afterFor(&a.process, w.between(0, minPause), a.dialNext)
}

// wall is the clock that the agent puts into what it publishes.
func (a *agent) wall() time.Time { return a.clock(a.w.now) }

func (a *agent) verify(origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
	return a.w.seams.verify(a.w, a.memberOf(origin).AgentKey, origin, r)
}

func (a *agent) opens(origin model.ClusterName, service model.ServiceKey) bool {
	return a.w.seams.opens(a, origin, service)
}

func (a *agent) memberOf(name model.ClusterName) model.Cluster {
	if a.view == nil {
		return model.Cluster{}
	}
	return a.view.Clusters[name]
}

// take takes another cluster's records and reports a gap.
func (a *agent) take(b model.Batch) (gap bool) {
	w := a.w
	if !a.hear(b.Origin) {
		return false
	}
	changed, gap, err := w.seams.apply(a.imports, b, a.clock(w.now))
	if err != nil {
		w.violate("honest records fit", "%s of %s: %v", a.name, b.Origin, err)
	}
	if changed {
		w.trace.add(w.now, "imported", a.name, string(b.Origin), b.To.Incarnation, b.To.Epoch, b.To.Seq)
		a.unsaved = true
		a.derive = a.derive || !onlyVerdicts(b)
		a.wake()
	}
	w.oracle.took(a, b, changed)
	return gap
}

// onlyVerdicts reports whether a batch changes nothing but what others say of gateways.
func onlyVerdicts(b model.Batch) bool {
	other := func(key string) bool { _, ok := model.CutVerdictKey(key); return !ok }
	return !b.Full && !slices.ContainsFunc(b.Removals, other) &&
		!slices.ContainsFunc(b.Upserts, func(r model.SignedRecord) bool { return other(r.Key) })
}

func (a *agent) drop(origin model.ClusterName) {
	if !a.hear(origin) {
		return
	}
	a.w.trace.add(a.w.now, "dropped", a.name, string(origin), 0, 0, 0)
	if a.imports.Drop(origin, a.clock(a.w.now)) {
		a.unsaved = true
		a.touch()
	}
	a.seen.changed = true
	a.w.oracle.lost(a, origin)
}

// own is this cluster as the federation holds it.
func (a *agent) own() model.Cluster { return a.memberOf(a.cluster) }

// touch has the loop run soon, and derive again where calls go.
func (a *agent) touch() {
	a.derive = true
	a.wake()
}

func (a *agent) wake() {
	if a.woken {
		return
	}
	a.woken = true
	a.w.afterFor(&a.process, a.w.gather, a.loop)
}

// loop brings everything that follows from what is known up to date: cmd/hanse's siteCore.
func (a *agent) loop() {
	w := a.w
	a.woken = false
	a.loops++
	now := a.clock(w.now)
	changed, next := a.imports.Expire(now)
	if changed {
		w.oracle.imports(a)
		a.unsaved = true
	}
	next = sooner(next, a.settle(now))
	a.derive = a.derive || changed
	if a.derive {
		a.retarget()
	}
	a.derive = a.listen(now) || a.derive
	if at, ok := a.failback.NextDeadline(); a.derive || ok && !now.Before(at) {
		a.derive = false
		a.climb(now)
	}
	if at, ok := a.failback.NextDeadline(); ok {
		next = sooner(next, at)
	}
	next = sooner(next, sooner(a.others.Next(), a.publish(now)))
	if w.chance(w.looks) {
		a.look()
	}
	if next.IsZero() {
		return
	}
	loops := a.loops
	w.afterFor(&a.process, max(w.gather, next.Sub(now)), func() {
		if a.loops == loops && !a.woken {
			a.loop()
		}
	})
}

// climb observes which capacity is there, and moves on what fails back.
func (a *agent) climb(now time.Time) {
	w := a.w
	in := a.inputs()
	w.oracle.routed(a, in)
	observed := snapshot.Observe(in)
	revision := a.failback.Revision()
	a.failback, _ = a.failback.Step(observed, now)
	a.unsaved = a.unsaved || a.failback.Revision() != revision
	w.oracle.observed(a, observed, w.seams.ramps(a.failback.Ramps()))
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// publish hands the uplink what has changed.
func (a *agent) publish(now time.Time) time.Time {
	if a.view == nil || a.own().Incarnation == 0 {
		return time.Time{}
	}
	list, _ := export.Records(export.Input{Terms: export.Terms{Cluster: a.own(), Rules: a.view.ExportList()}, Workloads: a.registered()})
	list = append(list, model.Record{Cluster: a.cluster, Status: &model.SiteStatus{AgentVersion: "simulated"}})
	var sets []model.VerdictSet
	var next time.Time
	a.announced, sets, next = a.announced.Step(a.findings(), now)
	for i := range sets {
		list = append(list, model.Record{Cluster: a.cluster, Verdicts: &sets[i]})
	}
	var d export.Decision
	a.throttle, d = a.throttle.Step(list, now)
	a.desired.change(d.Upserts, d.Removals)
	a.desired.complete = true
	if a.link != nil && len(d.Upserts)+len(d.Removals) > 0 {
		a.link.step()
	}
	return sooner(next, d.Next)
}

// registered are the site's workloads, by ID.
func (a *agent) registered() []model.Workload {
	out := make([]model.Workload, 0, len(a.workloads))
	for _, id := range slices.Sorted(maps.Keys(a.workloads)) {
		out = append(out, a.workloads[id])
	}
	return out
}

// inputs gathers what a snapshot is derived from.
func (a *agent) inputs() snapshot.Inputs {
	in := snapshot.Inputs{
		Federation: federation, Cluster: a.cluster, TrustDomain: a.own().TrustDomain, Workloads: a.registered(),
		Gateways: map[model.ClusterName][]route.GatewayPoint{}, Ramps: a.w.seams.ramps(a.failback.Ramps()),
	}
	if a.view == nil {
		return in
	}
	in.Members, in.Failover, in.Exports = a.view.Clusters, a.view.FailoverList(), a.view.ExportList()
	for _, origin := range a.imports.All() {
		if !a.w.seams.incarnation(a.memberOf(origin.Origin), origin.Version) {
			continue
		}
		for _, r := range origin.Records {
			if r.Service != nil {
				in.Imports = append(in.Imports, snapshot.Import{Cluster: origin.Origin, Record: *r.Service})
			}
		}
		in.Gateways[origin.Origin] = a.points(origin)
	}
	return in
}

// saveLater writes the cache from time to time.
func (a *agent) saveLater() {
	a.w.afterFor(&a.process, saveEvery, func() {
		if a.unsaved {
			a.unsaved = false
			a.save()
		}
		a.w.oracle.stale(a)
		a.saveLater()
	})
}

func (a *agent) save() {
	cache, err := a.imports.Marshal()
	failback, alsoErr := json.Marshal(a.failback)
	if err != nil || alsoErr != nil {
		a.w.violate("an agent's cache can be written", "%s: %v %v", a.name, err, alsoErr)
		return
	}
	a.disk.cache, a.disk.failback, a.disk.view = cache, failback, a.view
}
