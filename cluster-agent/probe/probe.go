// Package probe owns the agent's own probes of other clusters' gateways: it connects to every address of each, again and again, as the
// data plane would. What follows from the outcomes is decided by verdict.
//
// A gateway's name is resolved as long as it is a target, and a failing lookup keeps the last good answer. Nothing is persisted.
package probe

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// DefaultConcurrency is the default of Config.
const DefaultConcurrency = 128

// Target is one gateway to probe; Cluster and Gateway tell targets apart.
type Target struct {
	Cluster model.ClusterName
	Gateway string
	// Address is an IP address or a host name.
	Address  string
	Port     uint16
	SNI      string
	Locality model.Locality
	Draining bool
}

// Point is one address of a gateway with what the probes of it have shown.
type Point struct {
	Cluster  model.ClusterName
	Gateway  string
	Address  netip.Addr
	Port     uint16
	Locality model.Locality
	Draining bool
	verdict.Own
}

// Judged names the point as verdicts do.
func (p Point) Judged() verdict.Address {
	return verdict.Address{Cluster: p.Cluster, Gateway: p.Gateway, IP: p.Address, Port: p.Port}
}

// Resolver looks up names; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what a Prober needs. Pace, Patience, Concurrency and Thresholds have defaults, Answers may be nil.
type Config struct {
	// Dial makes a TCP connection. It must return when ctx ends.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	// Greet shakes hands on a connection as the data plane would, checks who answers, and waits for an answer. It must return when ctx
	// ends, and leaves closing the connection to the Prober.
	Greet    func(ctx context.Context, conn net.Conn, sni string, cluster model.ClusterName) error
	Resolver Resolver
	// Pace is kept to within 10 %.
	Pace     verdict.Pace
	Patience verdict.Patience
	// Concurrency bounds the probes and lookups that run at a time.
	Concurrency int
	Thresholds  verdict.Thresholds
	// Answers are earlier answers of the resolver by host name, to start with.
	Answers map[string][]netip.Addr
	Clock   clock.Clock
	Logger  *slog.Logger
}

// Prober is safe for concurrent use.
type Prober struct {
	cfg Config
	// wake tells Run that something may be due; changed tells the owner that points are not what they were.
	wake, changed chan struct{}

	mu       sync.Mutex
	gateways map[gatewayKey]*gateway
	answers  map[string][]netip.Addr
	// running counts the probes and lookups in flight, busy those of each cluster, probes all that have ended. firsts is what each
	// cluster may still have asked that was not asked before; one that is absent may have everything.
	running int
	busy    map[model.ClusterName]int
	firsts  map[model.ClusterName]allowance
	probes  uint64
}

type gatewayKey struct {
	cluster model.ClusterName
	name    string
}

// gateway is a target with what is known of it. Tasks in flight hold a pointer to it and check that it is still the current one.
type gateway struct {
	target Target
	// host is empty when the target's address is an IP address.
	host   string
	lookup schedule
	// looked is set once the host has been asked for.
	looked bool
	points map[netip.Addr]*point
	failed bool
}

type point struct {
	own verdict.Own
	// suspicious is set while somebody contradicts own.
	suspicious bool
	// began is when the last probe began.
	began time.Time
	probe schedule
}

// schedule says when a task is due; a busy one runs already.
type schedule struct {
	at   time.Time
	busy bool
}

// New returns a prober without targets, which does nothing until Run.
func New(cfg Config) *Prober {
	cfg.Pace = cmp.Or(cfg.Pace, verdict.DefaultPace)
	cfg.Patience = cmp.Or(cfg.Patience, verdict.DefaultPatience)
	cfg.Concurrency = cmp.Or(cfg.Concurrency, DefaultConcurrency)
	cfg.Thresholds = cmp.Or(cfg.Thresholds, verdict.DefaultThresholds)
	p := &Prober{
		cfg: cfg, wake: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		gateways: map[gatewayKey]*gateway{}, answers: map[string][]netip.Addr{}, busy: map[model.ClusterName]int{},
		firsts: map[model.ClusterName]allowance{},
	}
	maps.Copy(p.answers, cfg.Answers)
	return p
}

// SetTargets replaces the targets. What is known of a gateway is kept unless its address, port or SNI changed; points of IP
// addresses and of names with a known answer exist when SetTargets returns. It never blocks. Targets that are the same as before are no
// change: an owner that sets them whenever it hears of one must come to rest.
func (p *Prober) SetTargets(targets []Target) {
	p.mu.Lock()
	now := p.cfg.Clock.Now()
	next := make(map[gatewayKey]*gateway, len(targets))
	hosts := map[string]bool{}
	changed := false
	for _, t := range targets {
		key := gatewayKey{t.Cluster, t.Gateway}
		g := p.gateways[key]
		changed = changed || g == nil || g.target != t
		if g == nil || g.target.Address != t.Address || g.target.Port != t.Port || g.target.SNI != t.SNI {
			g = p.newGateway(t, now)
		}
		g.target = t
		hosts[g.host] = true
		next[key] = g
	}
	changed = changed || len(next) != len(p.gateways)
	p.gateways = next
	// Answers that were given at the start stay until there are targets that could use them.
	if len(targets) > 0 {
		maps.DeleteFunc(p.answers, func(host string, _ []netip.Addr) bool { return !hosts[host] })
	}
	p.mu.Unlock()
	if changed {
		poke(p.changed)
		poke(p.wake)
	}
}

// newGateway returns a gateway that is due at once; p.mu is held.
func (p *Prober) newGateway(t Target, now time.Time) *gateway {
	g := &gateway{points: map[netip.Addr]*point{}}
	if ip, err := netip.ParseAddr(t.Address); err == nil {
		g.adopt([]netip.Addr{ip.Unmap()}, now)
		return g
	}
	g.host, g.lookup.at = t.Address, now
	g.adopt(p.answers[g.host], now)
	return g
}

// adopt makes addresses the gateway's points, due at once where they are new, and reports whether that changed anything.
func (g *gateway) adopt(addresses []netip.Addr, now time.Time) (changed bool) {
	for _, a := range addresses {
		if g.points[a] == nil {
			g.points[a] = &point{probe: schedule{at: now}}
			changed = true
		}
	}
	for a := range g.points {
		if !slices.Contains(addresses, a) {
			delete(g.points, a)
			changed = true
		}
	}
	return changed
}

// Points returns the addresses of a cluster's gateways, sorted by gateway and address. A gateway whose name has never been resolved
// has none.
func (p *Prober) Points(cluster model.ClusterName) []Point {
	p.mu.Lock()
	defer p.mu.Unlock()
	var points []Point
	for key, g := range p.gateways {
		if key.cluster != cluster {
			continue
		}
		for a, pt := range g.points {
			points = append(points, Point{
				Cluster: cluster, Gateway: key.name, Address: a, Port: g.target.Port, Locality: g.target.Locality,
				Draining: g.target.Draining, Own: pt.own,
			})
		}
	}
	slices.SortFunc(points, func(a, b Point) int {
		return cmp.Or(strings.Compare(a.Gateway, b.Gateway), a.Address.Compare(b.Address))
	})
	return points
}

// SetSuspicious replaces the set of addresses whose verdicts somebody contradicts: they are probed at the raised pace. It never blocks
// and is no change of the points.
func (p *Prober) SetSuspicious(suspects map[verdict.Address]bool) {
	p.mu.Lock()
	raised := false
	for key, g := range p.gateways {
		for a, pt := range g.points {
			now := suspects[verdict.Address{Cluster: key.cluster, Gateway: key.name, IP: a, Port: g.target.Port}]
			if now && !pt.suspicious && !pt.began.IsZero() {
				// Counted from the last probe: a contradiction that comes and goes makes none come sooner than one that stays.
				if at := p.after(pt.began, p.cfg.Pace.Pause(pt.own, true)); at.Before(pt.probe.at) {
					pt.probe.at, raised = at, true
				}
			}
			pt.suspicious = now
		}
	}
	p.mu.Unlock()
	if raised {
		poke(p.wake)
	}
}

// Probes returns how many probes have been made.
func (p *Prober) Probes() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.probes
}

// Answers returns the last good answers of the resolver for the current targets, by host name: what a caller may keep for the next
// start, so that a restart while DNS is down loses no gateway.
func (p *Prober) Answers() map[string][]netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.answers)
}

// Changed holds a token when targets, addresses or states changed since it was last received from. It is for one receiver.
func (p *Prober) Changed() <-chan struct{} { return p.changed }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
