package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
)

const (
	lookupInterval = 5 * time.Second
	lookupTimeout  = 2 * time.Second
	// lookupRetry is the pause after a lookup that leaves a gateway without any address.
	lookupRetry = time.Second
	// maxAnswers bounds the addresses taken from one lookup.
	maxAnswers = 16
	// maxError bounds a kept error text, in bytes.
	maxError = 512
	// idle is how long Run sleeps when nothing is scheduled; every change wakes it.
	idle = time.Hour
)

// task is something that is due: a probe of address, or the gateway's lookup when there is none.
type task struct {
	at      time.Time
	gateway *gateway
	address netip.Addr
	// target and own are copies, because the gateway's may change while the task runs.
	target Target
	own    verdict.Own
	// place is how many tasks of its cluster run or come before it.
	place int
	// first is set when nothing has been asked there before.
	first bool
}

// Run probes until ctx ends and then returns nil, when the last probe has returned.
func (p *Prober) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	timer := p.cfg.Clock.NewTimer(idle)
	defer timer.Stop()
	for {
		timer.Stop()
		due, next := p.due()
		for _, t := range due {
			tasks.Go(func() { p.perform(ctx, t) })
		}
		timer.Reset(next.Sub(p.cfg.Clock.Now()))
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-timer.C():
		}
	}
}

// due marks what is due and within the bound of concurrency as busy and returns it, with the time to look again. What does not fit
// is started when a running task ends, as fair says.
func (p *Prober) due() (due []task, next time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Clock.Now()
	next = now.Add(idle)
	consider := func(s schedule, t task) {
		switch {
		case s.busy:
		case s.at.After(now):
			if s.at.Before(next) {
				next = s.at
			}
		default:
			t.at = s.at
			due = append(due, t)
		}
	}
	for _, g := range p.gateways {
		if g.host != "" {
			consider(g.lookup, task{gateway: g, target: g.target, first: !g.looked})
		}
		for a, pt := range g.points {
			consider(pt.probe, task{gateway: g, target: g.target, address: a, own: pt.own, first: pt.began.IsZero()})
		}
	}
	due, again := p.admit(p.fair(due), now)
	if !again.IsZero() && again.Before(next) {
		next = again
	}
	p.running += len(due)
	for _, t := range due {
		p.busy[t.target.Cluster]++
		if t.address.IsValid() {
			t.gateway.points[t.address].probe.busy = true
		} else {
			t.gateway.lookup.busy, t.gateway.looked = true, true
		}
	}
	return due, next
}

// fair orders tasks so that no cluster runs more than another one that waits: the gateways of one that all hang would else hold up the
// probes of all others. Within a cluster those that have waited longest come first. p.mu is held.
func (p *Prober) fair(due []task) []task {
	slices.SortFunc(due, func(a, b task) int { return a.at.Compare(b.at) })
	places := map[model.ClusterName]int{}
	for i := range due {
		cluster := due[i].target.Cluster
		due[i].place = p.busy[cluster] + places[cluster]
		places[cluster]++
	}
	slices.SortStableFunc(due, func(a, b task) int { return cmp.Compare(a.place, b.place) })
	return due
}

func (p *Prober) perform(ctx context.Context, t task) {
	changed := false
	if t.address.IsValid() {
		changed = p.probe(ctx, t)
	} else {
		changed = p.resolve(ctx, t)
	}
	p.mu.Lock()
	p.running--
	if p.busy[t.target.Cluster]--; p.busy[t.target.Cluster] == 0 {
		delete(p.busy, t.target.Cluster)
	}
	p.mu.Unlock()
	if changed {
		poke(p.changed)
	}
	poke(p.wake)
}

// probe makes one probe and reports whether the state changed.
func (p *Prober) probe(ctx context.Context, t task) bool {
	began := p.cfg.Clock.Now()
	outcome := p.attempt(ctx, t)
	now := p.cfg.Clock.Now()
	outcome.RTT = now.Sub(began)

	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes++
	pt := t.gateway.points[t.address]
	if pt == nil || ctx.Err() != nil {
		return false
	}
	before := pt.own
	pt.own = verdict.Step(pt.own, outcome, p.cfg.Thresholds, now)
	pt.began = began
	pt.probe = schedule{at: p.after(began, p.cfg.Pace.Pause(pt.own, pt.suspicious))}
	if pt.own.State == before.State && pt.own.Degraded == before.Degraded {
		return false
	}
	log := p.cfg.Logger.With("cluster", t.target.Cluster, "gateway", t.target.Gateway, "address", netip.AddrPortFrom(t.address, t.target.Port))
	if pt.own.Degraded != before.Degraded {
		log.Info("the path to a gateway changed", "degraded", pt.own.Degraded, "roundTrip", outcome.RoundTrip)
	}
	switch {
	case pt.own.State == before.State:
	case pt.own.State == verdict.Bad:
		log.Warn("a gateway is not reached", "before", before.State, "error", outcome.Err)
	default:
		log.Info("a gateway is reached", "before", before.State)
	}
	return p.gateways[gatewayKey{t.target.Cluster, t.target.Gateway}] == t.gateway
}

// attempt connects and greets, each for as long as the distance asks for.
func (p *Prober) attempt(ctx context.Context, t task) (o verdict.Outcome) {
	began := p.cfg.Clock.Now()
	limit := p.cfg.Patience.ForConnect(t.own)
	bound, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := p.cfg.Dial(bound, netip.AddrPortFrom(t.address, t.target.Port))
	if err != nil {
		return verdict.Outcome{Err: "connecting failed: " + reason(bound, limit, err)}
	}
	defer func() { _ = conn.Close() }()
	// What the kernel has seen of the path counts also when nobody answers at its end.
	defer func() { o.RoundTrip, o.Resent = path(conn) }()
	o.Connect = p.cfg.Clock.Now().Sub(began)
	limit = p.cfg.Patience.ForAnswer(o.Connect)
	bound, cancel = context.WithTimeout(ctx, limit)
	defer cancel()
	if err := p.cfg.Greet(bound, conn, t.target.SNI, t.target.Cluster); err != nil {
		o.Err = "connected, but " + reason(bound, limit, err)
	}
	return o
}

// reason says why a part of a probe failed; what a library makes of a deadline tells an operator nothing.
func reason(bound context.Context, limit time.Duration, err error) string {
	if errors.Is(bound.Err(), context.DeadlineExceeded) {
		return fmt.Sprintf("nothing came back within %v", limit.Round(time.Millisecond))
	}
	return clip(err.Error())
}

// after is when a pause after began ends. Many addresses should not stay in step, and none should be probed faster than at the raised
// pace.
func (p *Prober) after(began time.Time, pause time.Duration) time.Time {
	return began.Add(max(jitter(pause), min(pause, p.cfg.Pace.Raised)))
}

// resolve looks the gateway's name up and reports whether its addresses changed. A lookup that fails or finds nothing changes none.
func (p *Prober) resolve(ctx context.Context, t task) bool {
	began := p.cfg.Clock.Now()
	bound, cancel := context.WithTimeout(ctx, lookupTimeout)
	found, err := p.cfg.Resolver.LookupNetIP(bound, "ip", t.gateway.host)
	cancel()
	addresses := normal(found)
	failed := err != nil || len(addresses) == 0

	p.mu.Lock()
	defer p.mu.Unlock()
	g := t.gateway
	pause := lookupInterval
	if failed && len(g.points) == 0 {
		pause = lookupRetry
	}
	g.lookup = schedule{at: began.Add(jitter(pause))}
	if failed != g.failed {
		p.cfg.Logger.Info("gateway looked up", "cluster", t.target.Cluster, "gateway", t.target.Gateway, "host", g.host,
			"failed", failed, "error", err, "addressesKept", len(g.points))
	}
	g.failed = failed
	if failed || p.gateways[gatewayKey{t.target.Cluster, t.target.Gateway}] != g {
		return false
	}
	p.answers[g.host] = addresses
	return g.adopt(addresses, p.cfg.Clock.Now())
}

// normal returns the addresses that a gateway may have, sorted, each once and not too many.
func normal(found []netip.Addr) []netip.Addr {
	addresses := make([]netip.Addr, 0, len(found))
	for _, a := range found {
		if a = a.Unmap(); a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() {
			addresses = append(addresses, a)
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	addresses = slices.Compact(addresses)
	return addresses[:min(len(addresses), maxAnswers)]
}

// jitter spreads d by ±10 %, so that many addresses do not stay in step.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(max(d/5, 1)) }

// clip bounds an error text; what is cut must stay valid UTF-8 to travel in a status record.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxError)], "") }
