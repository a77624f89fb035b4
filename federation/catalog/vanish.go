package catalog

import (
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

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
