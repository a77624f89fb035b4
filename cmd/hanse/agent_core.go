package main

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/export"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/cluster-agent/uplink"
	"github.com/hanse-mesh/hanse/cluster-agent/vip"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/bundle"
	"github.com/hanse-mesh/hanse/trust/records"
)

// siteCore is everything that a site's agent knows, and one loop that turns changes of it into what is published, probed, served and
// written to disk. What comes from outside is put in under the lock; what goes out is decided by the pure packages.
type siteCore struct {
	member member
	dir    string
	clock  clock.Clock
	logger *slog.Logger
	out    coreOutputs

	// wake holds at most one wake-up for the loop.
	wake chan struct{}

	mu        sync.Mutex
	workloads map[string]model.Workload
	// sourced is true once the source has told everything, and view is set once the federation's state is known: nothing is published
	// before, because an absence that is only ignorance would withdraw services.
	sourced   bool
	view      *state.View
	viewProto *hansev1.State
	imports   *catalog.Imports
	bundles   bundle.Held
	vips      map[model.ServiceKey]netip.Addr
	failback  route.Failback
	refused   []uplink.Refusal
	// dropped says what of the site's own workloads is not exported, and why.
	dropped []string
	// unsaved is what the disk does not have yet.
	unsaved map[string]bool
}

// coreOutputs is where the core's decisions go.
type coreOutputs struct {
	kick     func()
	publish  func(upserts []model.Record, removals []string)
	complete func()
	targets  func([]probe.Target)
	points   func(model.ClusterName) []probe.Point
	// sight is asked when a node shows the bundle of a trust domain that is new here.
	sight func(model.SignedBundle)
	// status gives what the site's status record says besides what the core knows.
	status func() model.SiteStatus
}

func newSiteCore(m member, dir string, c clock.Clock, logger *slog.Logger) *siteCore {
	core := &siteCore{
		member: m, dir: dir, clock: c, logger: logger, wake: make(chan struct{}, 1),
		workloads: map[string]model.Workload{}, vips: map[model.ServiceKey]netip.Addr{}, unsaved: map[string]bool{},
	}
	core.imports = catalog.NewImports(catalog.Limits{}, core.verify)
	return core
}

// verify checks a record of another cluster against the key that the federation holds for that member. It is called with the lock held.
func (c *siteCore) verify(origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
	return records.Verify(c.memberOf(origin).AgentKey, origin, r)
}

func (c *siteCore) memberOf(name model.ClusterName) model.Cluster {
	if c.view == nil {
		return model.Cluster{}
	}
	return c.view.Clusters[name]
}

// own is this cluster as the federation holds it.
func (c *siteCore) own() model.Cluster {
	if held := c.memberOf(c.member.Cluster); held.Incarnation != 0 {
		return held
	}
	return model.Cluster{Name: c.member.Cluster, TrustDomain: c.member.TrustDomain, Incarnation: c.member.Incarnation, Region: c.member.Region}
}

func (c *siteCore) changed(what ...string) {
	for _, w := range what {
		c.unsaved[w] = true
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// source takes a change of the site's workloads.
func (c *siteCore) source(u source.Update) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u.Full {
		clear(c.workloads)
		c.sourced = true
	}
	for _, w := range u.Upserts {
		c.workloads[w.ID] = w
	}
	for _, id := range u.Removals {
		delete(c.workloads, id)
	}
	c.changed()
}

// State takes the federation's replicated state.
func (c *siteCore) State(p *hansev1.State) {
	v, err := state.ViewFromProto(p)
	if err != nil {
		c.logger.Error("the federation's state cannot be read; the last one stays in force", "error", err)
		return
	}
	c.mu.Lock()
	before := c.view
	c.view, c.viewProto = v, p
	for name, m := range v.Clusters {
		if before == nil || string(before.Clusters[name].AgentKey) != string(m.AgentKey) {
			c.imports.Reverify(name)
		}
	}
	c.changed(cacheFile)
	c.mu.Unlock()
	for _, b := range v.Bundles {
		c.offerBundle(b)
	}
}

// Import takes another cluster's records.
func (c *siteCore) Import(b model.Batch) (gap bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed, gap, err := c.imports.Apply(b)
	if err != nil {
		c.logger.Warn("imported records refused", "cluster", b.Origin, "error", err)
	}
	if changed {
		c.changed(cacheFile)
	}
	return gap
}

// OriginDropped forgets a cluster that this one may not see any more.
func (c *siteCore) OriginDropped(origin model.ClusterName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.imports.Drop(origin) {
		c.changed(cacheFile)
	}
}

// Refused takes which of the site's own records do not count.
func (c *siteCore) Refused(list []uplink.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = slices.Clone(list)
	c.changed()
}

// Connected logs where the uplink stands.
func (c *siteCore) Connected(node string, connected bool) {
	c.logger.Info("session with the federation", "node", node, "connected", connected)
}

// offerBundle takes a trust domain's bundle as a node shows it.
func (c *siteCore) offerBundle(b model.SignedBundle) {
	c.mu.Lock()
	next, verdict, err := c.bundles.Offer(b)
	c.bundles = next
	if verdict == bundle.Replaced {
		c.changed(bundlesFile)
	}
	c.mu.Unlock()
	switch verdict {
	case bundle.Refused:
		c.logger.Error("a trust bundle is refused; the held one stays in force", "error", err)
	case bundle.Witness:
		c.out.sight(b)
	}
}

// introduce believes a new trust domain's bundle.
func (c *siteCore) introduce(b model.SignedBundle, introduced, sole bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next, err := c.bundles.Introduce(b, introduced, sole)
	if err != nil {
		return err
	}
	c.bundles = next
	c.changed(bundlesFile)
	return nil
}

// forgetBundle is an operator's word that a trust domain's CA was replaced.
func (c *siteCore) forgetBundle(trustDomain string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bundles = c.bundles.Forget(trustDomain)
	c.changed(bundlesFile)
	if c.view != nil {
		if b, ok := c.view.Bundles[trustDomain]; ok {
			go c.offerBundle(b)
		}
	}
}

// run is the loop: every wake-up brings everything that follows from the core's knowledge up to date.
func (c *siteCore) run(ctx context.Context) error {
	var throttle export.Throttle
	timer := c.clock.NewTimer(0)
	defer timer.Stop()
	defer c.save()
	completed := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
		case <-timer.C():
		}
		now := c.clock.Now()
		c.out.targets(c.targets())
		next := c.climb(now)
		c.allot()
		c.out.kick()
		if current, ok := c.records(); ok {
			var d export.Decision
			throttle, d = throttle.Step(current, now)
			if len(d.Upserts)+len(d.Removals) > 0 {
				c.out.publish(d.Upserts, d.Removals)
			}
			if !completed {
				c.out.complete()
				completed = true
			}
			next = sooner(next, d.Next)
		}
		timer.Reset(c.pause(next, now))
	}
}

// idlePause is how often the loop looks around without being woken: for the status record and the disk.
const idlePause = time.Second

func (c *siteCore) pause(next, now time.Time) time.Duration {
	c.save()
	if next.IsZero() {
		return idlePause
	}
	return min(idlePause, max(0, next.Sub(now)))
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// climb moves recovering capacity on and returns when to look again.
func (c *siteCore) climb(now time.Time) time.Time {
	in, ok := c.inputs()
	if !ok {
		return time.Time{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failback, _ = c.failback.Step(snapshot.Observe(in), now)
	at, _ := c.failback.NextDeadline()
	return at
}

// allot keeps the virtual addresses of what can be called.
func (c *siteCore) allot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := map[model.ServiceKey]bool{}
	for _, w := range c.workloads {
		if w.Serves() {
			known[w.Service] = true
		}
	}
	for _, origin := range c.imports.All() {
		for _, r := range origin.Records {
			if r.Service != nil {
				known[r.Service.Service] = true
			}
		}
	}
	// Addresses of services that are gone are kept: their return should not surprise a caller that has resolved them.
	next := vip.Allot(c.vips, slices.AppendSeq(slices.Collect(maps.Keys(c.vips)), maps.Keys(known)), model.VIPRange)
	if !vip.Same(next, c.vips) {
		c.vips = next
		c.unsaved[cacheFile] = true
	}
}

// virtualAddresses returns the site's VIPs by service.
func (c *siteCore) virtualAddresses() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]string{}
	for k, a := range c.vips {
		out[k.String()] = a.String()
	}
	return out
}
