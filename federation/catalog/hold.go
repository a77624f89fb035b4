package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

const (
	// holdFor is how long services that vanish in a mass stay in force, so that a mistake, a crash or a damaged registry of their
	// cluster is no outage everywhere else.
	holdFor = 30 * time.Second
	// massWindow, massRecords and one half say what a mass is: within this time more than so many of an origin's services, and more than
	// half of them. Fewer go at once: that is what deployments look like.
	massWindow  = time.Second
	massRecords = 10
)

// gone are an origin's services that vanished lately or are held, by key, and its gateways, if those vanished with them: without a way
// to them, services that are held would be of no use. Verdicts and a cluster's status are never among them, and neither is what no rule
// opens: that it goes is an operator's decision.
type gone map[string]vanished

type vanished struct {
	entry entry
	at    time.Time
	// hold keeps the entry in force; without one it only counts towards a mass.
	hold *hold
}

// hold is one mass removal.
type hold struct {
	since, until time.Time
	// of is how many services there were.
	of int
}

// vanishing are the services that a batch ends, how many there were before, and the gateways if it ends those, too.
type vanishing struct {
	entries  map[string]entry
	before   int
	gateways entry
}

// vanish notes what a batch has ended and brought back, and holds what has become a mass.
func (g gone) vanish(v vanishing, b model.Batch, l Limits, now time.Time) {
	if b.Confirmed {
		clear(g)
		return
	}
	for _, r := range b.Upserts {
		delete(g, r.Key)
	}
	g.forget(now)
	lately := g.lately(now)
	before := v.before + lately
	for key, e := range v.entries {
		g[key] = vanished{entry: e, at: now}
	}
	if v.gateways.counts {
		g[model.GatewaysKey] = vanished{entry: v.gateways, at: now, hold: g.lastHold()}
	}
	if lately += len(v.entries); lately <= massRecords || 2*lately <= before {
		return
	}
	h := g.holdSince(now)
	if h == nil {
		h = &hold{since: now, until: now.Add(holdFor), of: before}
	}
	for key, v := range g {
		if v.hold == nil {
			v.hold = h
			g[key] = v
		}
	}
	if g.extent().check("", l) != nil {
		// An origin that replaces all it has again and again would fill the memory.
		g.release(h)
	}
}

// holdSince returns the hold of the mass that goes on.
func (g gone) holdSince(now time.Time) *hold {
	for _, v := range g {
		if v.hold != nil && now.Sub(v.hold.since) <= massWindow {
			return v.hold
		}
	}
	return nil
}

// lastHold returns the hold that ends last, nil if there is none.
func (g gone) lastHold() *hold {
	var last *hold
	for _, v := range g {
		if v.hold != nil && (last == nil || v.hold.until.After(last.until)) {
			last = v.hold
		}
	}
	return last
}

// lately counts the services that have vanished within the window.
func (g gone) lately(now time.Time) int {
	n := 0
	for key, v := range g {
		if key != model.GatewaysKey && now.Sub(v.at) <= massWindow {
			n++
		}
	}
	return n
}

// forget drops what vanished before the window and is not held.
func (g gone) forget(now time.Time) {
	maps.DeleteFunc(g, func(_ string, v vanished) bool { return v.hold == nil && now.Sub(v.at) > massWindow })
}

func (g gone) release(h *hold) {
	maps.DeleteFunc(g, func(_ string, v vanished) bool { return v.hold == h })
}

func (g gone) extent() extent {
	e := extent{records: len(g)}
	for _, v := range g {
		e.bytes += size(v.entry.newest())
	}
	return e
}

// held returns what is held under a key.
func (g gone) held(key string) entry {
	if v := g[key]; v.hold != nil {
		return v.entry
	}
	return entry{}
}

// byHold returns the keys of each hold, sorted, in the order of the holds' ends.
func (g gone) byHold() ([]*hold, map[*hold][]string) {
	keys := map[*hold][]string{}
	for _, key := range slices.Sorted(maps.Keys(g)) {
		if h := g[key].hold; h != nil {
			keys[h] = append(keys[h], key)
		}
	}
	return slices.SortedFunc(maps.Keys(keys), func(a, b *hold) int {
		return cmp.Or(a.until.Compare(b.until), cmp.Compare(keys[a][0], keys[b][0]))
	}), keys
}

// services counts what among the keys of gone is not the gateways.
func services(keys []string) int {
	n := len(keys)
	if slices.Contains(keys, model.GatewaysKey) {
		n--
	}
	return n
}

// texts tell an operator what is held, and what to do.
func (g gone) texts(origin model.ClusterName) []string {
	var out []string
	holds, keys := g.byHold()
	for _, h := range holds {
		held := services(keys[h])
		if held == 0 {
			continue
		}
		out = append(out, fmt.Sprintf("%d of %d services of cluster %s vanished at once; held until %s; if that was meant, confirm it there: hanse agent confirm-removals",
			held, h.of, origin, h.until.UTC().Format(time.RFC3339)))
	}
	return out
}
