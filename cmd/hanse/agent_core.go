package main

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/cluster-agent/uplink"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/authz"
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
	// took is how long ago a time of the clock was.
	took func(since time.Time) time.Duration

	// built is what the last snapshot leaves for the next; it belongs to build. observed is the same for the loop.
	built, observed snapshot.Memory

	// wake holds at most one wake-up for the loop, saving one for the disk, heard one for whoever follows what the federation says.
	wake, saving, heard chan struct{}

	mu sync.Mutex
	// facts are complete once all sources have told everything, and view is set once the federation's state is known: nothing is published
	// before, because an absence that is only ignorance would withdraw services.
	facts     siteFacts
	view      *state.View
	viewProto *hansev1.State
	// viewFrom is the address of the node that told view; empty when it comes from the disk.
	viewFrom string
	// rules are view's export rules.
	rules   []policy.ExportRule
	takes   []policy.ImportRule
	imports *catalog.Imports
	bundles bundle.Held
	// vips is replaced when it changes: who has read it may keep it.
	vips map[model.ServiceKey]netip.Addr
	// egress are the egress ports of a Kubernetes cluster, egressPorts the same for snapshots; they are replaced when they change.
	egress      map[mcs.PortKey]uint16
	egressPorts map[snapshot.EgressPort]uint16
	failback    route.Failback
	beliefs     beliefs
	// stale are the clusters whose records nobody has confirmed for too long; confirmed is the newest confirmation that the disk knows of.
	stale     map[model.ClusterName]bool
	confirmed time.Time
	session   listening
	refused   []uplink.Refusal
	// dropped says what of the site's own workloads is not exported, and why; unexported is the same of a Kubernetes cluster's exports.
	dropped    []string
	unexported map[model.ServiceKey]string
	// toldOnce is true once every other member that matters here has been heard.
	toldOnce bool
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
	// suspect replaces the addresses that are to be probed more often.
	suspect func(map[verdict.Address]bool)
	// node is the address of the federation node that speaks at the moment; resync asks it for a cluster in full.
	node   func() string
	resync func(model.ClusterName)
	// sight is asked when the node at an address shows the bundle of a trust domain that is new here.
	sight func(b model.SignedBundle, shownBy string)
	// status gives what the site's status record says besides what the core knows.
	status func() model.SiteStatus
}

func newSiteCore(m member, dir string, c clock.Clock, logger *slog.Logger, sources ...origin) *siteCore {
	core := &siteCore{
		member: m, dir: dir, clock: c, logger: logger, wake: make(chan struct{}, 1), saving: make(chan struct{}, 1), heard: make(chan struct{}, 1),
		facts: newSiteFacts(sources...), vips: map[model.ServiceKey]netip.Addr{}, unsaved: map[string]bool{},
	}
	core.took = func(since time.Time) time.Duration { return c.Now().Sub(since) }
	core.imports = catalog.NewImports(catalog.Limits{}, core.verify, core.open)
	return core
}

// verify checks a record of another cluster against the key that the federation holds for that member, and what it claims of gateways:
// only the node that the cluster publishes at leaves out what does not count. What depends on rules, which change, is judged when it is
// used. It is called with the lock held.
func (c *siteCore) verify(origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
	m := c.memberOf(origin)
	rec, err := records.Verify(m.AgentKey, origin, r)
	if err != nil || rec.Service != nil {
		return rec, err
	}
	return rec, authz.CheckRecord(m, nil, rec)
}

// open reports whether membership and rules, as far as they are known here, let this cluster see a service of another one. It is called
// with the lock held.
func (c *siteCore) open(origin model.ClusterName, service model.ServiceKey) bool {
	own := c.member.Cluster
	return policy.Exports(c.rules, c.memberOf(origin), service, own) && policy.Admits(c.takes, own, origin, service)
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

// changed wakes the loop, which also writes the named files. It is called with the lock held.
func (c *siteCore) changed(files ...string) {
	for _, name := range files {
		c.unsaved[name] = true
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// source takes a change of the site's workloads and exports.
func (c *siteCore) source(from origin, u source.Update) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.facts.take(from, u)
	c.changed()
}

// Refused takes which of the site's own records do not count.
func (c *siteCore) Refused(list []uplink.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = slices.Clone(list)
	c.news()
	c.changed()
}

// servers are the federation nodes to try: those that the operator named, else those agreed, else those told at the join.
func (c *siteCore) servers(named []string) []string {
	if len(named) > 0 {
		return named
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view == nil || len(c.view.Nodes) == 0 {
		return c.member.Servers
	}
	var near, far []string
	for _, n := range c.view.NodeList() {
		if n.Region == c.member.Region {
			near = append(near, n.GRPCAddress)
		} else {
			far = append(far, n.GRPCAddress)
		}
	}
	return slices.Concat(near, far)
}

// known reports whether the agent has enough to serve its site.
func (c *siteCore) known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts.complete() && c.view != nil
}
