package spread

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// sumBytes is how much of a digest is told where clones are looked for, not attackers.
const sumBytes = 8

// maxHashed bounds the content, in bytes, that one summary is ready to hash.
const maxHashed = 16 << 20

// Summary says what is held of some origins, by name from after on, at most most of them, and the last one's name, with which the next
// summary goes on; it begins anew after the last of all. Those beyond a bound of work come without a digest.
func Summary(s Source, after model.ClusterName, most int) ([]Have, model.ClusterName) {
	origins := s.Origins()
	if len(origins) == 0 || most <= 0 {
		return nil, ""
	}
	begin := 0
	for begin < len(origins) && origins[begin].Name <= after {
		begin++
	}
	hashed := 0
	out := make([]Have, 0, min(most, len(origins)))
	for i := range min(most, len(origins)) {
		o := origins[(begin+i)%len(origins)]
		h := Have{Origin: o.Name, Version: o.Version, ProducedAt: o.ProducedAt}
		if hashed += o.Bytes; hashed <= maxHashed || len(out) == 0 {
			h.Digest = s.Digest(o.Name)
			h.Digest = h.Digest[:min(len(h.Digest), sumBytes)]
		}
		out = append(out, h)
	}
	return out, out[len(out)-1].Origin
}

// Repairs remembers what other nodes hold and this one lacks, until it is held or has been lacking for too long. It belongs to one
// goroutine or its owner serialises access.
type Repairs struct {
	source Source
	timing Timing
	lacks  map[model.ClusterName]lack
}

type lack struct {
	node string
	have Have
	due  time.Time
}

// NewRepairs returns one that knows of nothing.
func NewRepairs(s Source, t Timing) *Repairs {
	return &Repairs{source: s, timing: t, lacks: map[model.ClusterName]lack{}}
}

// Heard notes what a node holds, as it says.
func (r *Repairs) Heard(node string, haves []Have, now time.Time) {
	for _, h := range haves {
		if !lacking(r.source, h) {
			continue
		}
		known, ok := r.lacks[h.Origin]
		if ok && lacking(r.source, known.have) || !ok && len(r.lacks) >= maxOrigins {
			// What is lacking is judged by what was heard first: an origin that changes all the time is always a little behind.
			continue
		}
		r.lacks[h.Origin] = lack{node: node, have: h, due: now.Add(r.timing.Stale)}
	}
}

// Lacking reports whether any of what another node holds is newer than what is held, or other content that would replace it.
func Lacking(s Source, haves []Have) bool {
	return slices.ContainsFunc(haves, func(h Have) bool { return lacking(s, h) })
}

// lacking does not count confirmations: they are not worth a repair. Of two contents of one version the one with the larger digest stays:
// who holds that would pull the other in vain, again and again.
func lacking(s Source, h Have) bool {
	held, _ := s.Origin(h.Origin)
	order := h.Version.Compare(held.Version)
	return order > 0 || order == 0 && !h.Version.IsZero() && differ(s, h) && bytes.Compare(h.Digest, s.Digest(h.Origin)) > 0
}

// Due is when Take may have something to return.
func (r *Repairs) Due() (time.Time, bool) {
	var first time.Time
	for _, l := range r.lacks {
		if first.IsZero() || l.due.Before(first) {
			first = l.due
		}
	}
	return first, !first.IsZero()
}

// Take returns a node that is to be asked, with all that it holds and this one has been lacking for too long, sorted. What it does not
// bring has to be heard of again.
func (r *Repairs) Take(now time.Time) (node string, haves []Have) {
	for name, l := range r.lacks {
		switch {
		case !lacking(r.source, l.have):
			delete(r.lacks, name)
		case !now.Before(l.due) && (node == "" || l.node < node):
			node = l.node
		}
	}
	if node == "" {
		return "", nil
	}
	for name, l := range r.lacks {
		if l.node == node && !now.Before(l.due) {
			haves = append(haves, l.have)
			delete(r.lacks, name)
		}
	}
	slices.SortFunc(haves, func(a, b Have) int { return cmp.Compare(a.Origin, b.Origin) })
	return node, haves
}
