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

// removed are the services in force that a delta removes.
func (i *Imports) removed(b model.Batch, o *imported) vanishing {
	v := vanishing{entries: map[string]entry{}}
	for _, key := range b.Removals {
		if e := o.records[key]; i.holdable(b.Origin, e) {
			v.entries[key] = e
		} else if key == model.GatewaysKey {
			v.gateways = e
		}
	}
	if len(v.entries)+len(o.gone) > massRecords {
		v.before = i.services(b.Origin, o)
	}
	return v
}

// missing are the services in force that a newer full state lacks. One of the version that is held says nothing new of the origin: what
// it lacks, the node's filter leaves out.
func (i *Imports) missing(b model.Batch, o *imported) vanishing {
	stated := make(map[string]bool, len(b.Upserts))
	for _, r := range b.Upserts {
		stated[r.Key] = true
	}
	v := vanishing{entries: map[string]entry{}, before: i.services(b.Origin, o)}
	for key, e := range o.records {
		if !stated[key] && i.holdable(b.Origin, e) {
			v.entries[key] = e
		}
	}
	if !stated[model.GatewaysKey] {
		v.gateways = o.records[model.GatewaysKey]
	}
	return v
}

func (i *Imports) services(origin model.ClusterName, o *imported) int {
	n := 0
	for _, e := range o.records {
		if i.holdable(origin, e) {
			n++
		}
	}
	return n
}

func (i *Imports) holdable(origin model.ClusterName, e entry) bool {
	return e.counts && e.decoded.Service != nil && i.opens(origin, e.decoded)
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

// Expire ends holds whose time has come and reports whether any did, and when the next one will; zero is never.
func (i *Imports) Expire(now time.Time) (changed bool, next time.Time) {
	for name, o := range i.origins {
		if o.confirmedAt.After(now) {
			// A clock that was set back must not make what came from the disk look fresh until it is there again.
			o.confirmedAt, o.exported = now, nil
		}
		o.gone.forget(now)
		for key, v := range o.gone {
			if v.hold == nil {
				continue
			}
			// A clock that was set back does not lengthen a hold that came from the disk.
			if latest := now.Add(holdFor); v.hold.until.After(latest) {
				v.hold.until, o.exported = latest, nil
			}
			if v.hold.until.After(now) {
				if next.IsZero() || v.hold.until.Before(next) {
					next = v.hold.until
				}
				continue
			}
			delete(o.gone, key)
			o.exported, changed = nil, true
		}
		i.endDropped(name, o)
	}
	return changed, next
}

// Recheck judges anew what may be used, after rules or membership have changed: what no rule opens goes at once, held or not.
func (i *Imports) Recheck() {
	for name, o := range i.origins {
		o.exported = nil
		maps.DeleteFunc(o.gone, func(_ string, v vanished) bool { return !i.opens(name, v.entry.decoded) })
		i.endDropped(name, o)
	}
}

// Drop takes that a node shows nothing of an origin any more, and reports whether anything was known of it. If that is because its
// services have vanished in a mass, they are held, with the gateways as they were; what no rule opens goes at once.
func (i *Imports) Drop(origin model.ClusterName, now time.Time) bool {
	o := i.origins[origin]
	if o == nil {
		return false
	}
	v := i.missing(model.Batch{Origin: origin}, o)
	v.gateways = entry{}
	maps.DeleteFunc(o.records, func(key string, e entry) bool { return !e.counts || key != model.GatewaysKey })
	o.bytes = 0
	for _, e := range o.records {
		o.bytes += size(e.newest())
	}
	o.gone.vanish(v, model.Batch{Origin: origin}, i.limits, now)
	o.dropped, o.exported = true, nil
	i.endDropped(origin, o)
	return true
}

// endDropped forgets an origin of which nothing is told and nothing held any more.
func (i *Imports) endDropped(origin model.ClusterName, o *imported) {
	if o.dropped && !slices.ContainsFunc(slices.Collect(maps.Values(o.gone)), func(v vanished) bool { return v.hold != nil }) {
		delete(i.origins, origin)
	}
}
