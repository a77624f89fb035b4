package xds

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// Generate returns the complete set of resources for a target, sorted by name within each type, and what could not be offered to it.
// The same snapshot and target give the same bytes. The secret "default" is not among them: the proxy adds it itself. A target that
// the snapshot does not know gets nil resources, which is not an empty set: its Envoy should keep what it has. The memo may be nil.
func Generate(s *snapshot.Snapshot, t Target, m Memo) (Resources, []Problem) {
	w := workloadOf(s, t)
	if w == nil {
		return nil, []Problem{{Subject: "workload " + t.Workload, Reason: "is not registered at this site"}}
	}
	b := newBuilder(s, m, sizeFor(s, w))
	switch {
	case w.Gateway != nil:
		b.gateway(w)
	case w.Egress != nil:
		b.egress(w)
	default:
		b.outbound(w)
		b.inbound(w)
	}
	return b.finish()
}

// builder assembles one target's set.
type builder struct {
	s    *snapshot.Snapshot
	memo Memo
	// out is keyed by type URL and name: a resource that several parts refer to stands once.
	out      map[string]map[string]*Resource
	problems []Problem
	// listeners holds each listener's name by its address.
	listeners map[string]string
	// offered says by SNI whether a service port could be made callable.
	offered map[string]bool
	// trusts holds the validation context of each identity that stood alone.
	trusts map[string]string
	// roots holds the PEM roots of each trust domain, and domains the sorted names of those.
	roots   map[string]string
	domains []string
}

// sizeFor is about how many resources of a type a workload gets.
func sizeFor(s *snapshot.Snapshot, w *snapshot.Workload) int {
	switch {
	case w.Gateway != nil:
		return len(s.Passthrough) + len(s.Terminated)
	case w.Egress != nil || w.Open != nil:
		return len(s.Services)
	default:
		return len(w.Calls)
	}
}

func newBuilder(s *snapshot.Snapshot, m Memo, size int) *builder {
	b := &builder{
		s: s, memo: m,
		out:       map[string]map[string]*Resource{},
		listeners: map[string]string{},
		offered:   map[string]bool{},
		roots:     rootsOf(s.Trust),
		trusts:    map[string]string{},
	}
	b.domains = slices.Sorted(maps.Keys(b.roots))
	for _, t := range Types {
		b.out[t] = make(map[string]*Resource, size)
	}
	return b
}

// part returns the memo's resource of a key, or makes it. The key must determine the resource byte for byte.
func (b *builder) part(key string, make func() *Resource) *Resource {
	if b.memo != nil {
		if r, ok := b.memo.Get(key); ok {
			return r
		}
	}
	r := make()
	if b.memo != nil {
		b.memo.Put(key, r)
	}
	return r
}

func (b *builder) add(typeURL string, r *Resource) { b.out[typeURL][r.Name] = r }

// listen adds a listener and reports whether its address was free: Envoy would refuse a second one there.
func (b *builder) listen(a address, name, key string, make func() *Resource) bool {
	if holder, taken := b.listeners[a.String()]; taken {
		b.problem("listener "+name, "%s is taken by listener %s: give it another port", a, holder)
		return false
	}
	b.listeners[a.String()] = name
	b.add(ListenerType, b.part(key, make))
	return true
}

func (b *builder) problem(subject, format string, args ...any) {
	b.problems = append(b.problems, Problem{Subject: subject, Reason: fmt.Sprintf(format, args...)})
}

func (b *builder) finish() (Resources, []Problem) {
	out := make(Resources, len(Types))
	for _, t := range Types {
		list := make([]*Resource, 0, len(b.out[t]))
		for _, r := range b.out[t] {
			list = append(list, r)
		}
		slices.SortFunc(list, func(x, y *Resource) int { return strings.Compare(x.Name, y.Name) })
		out[t] = list
	}
	return out, b.problems
}
