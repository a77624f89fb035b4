package bundle

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
)

// Held is the bundles that a cluster believes, by trust domain. It is a value: its methods return the next one and leave their
// receiver as it was. The zero value holds nothing.
type Held struct {
	entries map[string]Entry
}

// Entry is one believed bundle.
type Entry struct {
	Signed model.SignedBundle
	Bundle model.Bundle
	// Introduced is true for a bundle that was believed at first sight because the federation's nodes agreed on it; one that an
	// operator has pinned, or that the cluster made itself, is not.
	Introduced bool
	// Sole is true when only one node could be asked at first sight.
	Sole bool
}

// Verdict is what Offer decides about a bundle.
type Verdict int

// The verdicts.
const (
	// Unchanged means that the bundle is held already, or an older one of the same chain.
	Unchanged Verdict = iota
	// Replaced means that the bundle took the place of the one held.
	Replaced
	// Witness means that the trust domain is new: a second node must show the same bundle before Introduce.
	Witness
	// Refused means that the bundle does not follow from the one held.
	Refused
)

// Offer decides about a bundle that a node shows.
func (h Held) Offer(next model.SignedBundle) (Held, Verdict, error) {
	b, err := Parse(next)
	if err != nil {
		return h, Refused, err
	}
	entry, known := h.entries[b.TrustDomain]
	if !known {
		if _, err := Accept(nil, next); err != nil {
			return h, Refused, err
		}
		return h, Witness, nil
	}
	if bytes.Equal(entry.Signed.Statement, next.Statement) {
		return h, Unchanged, nil
	}
	accepted, err := Accept(&entry.Signed, next)
	switch {
	case errors.Is(err, ErrNotNewer) && b.Sequence < entry.Bundle.Sequence:
		// A node that lags behind shows what it has.
		return h, Unchanged, nil
	case err != nil:
		return h, Refused, err
	}
	entry.Signed, entry.Bundle = next, accepted
	return h.with(entry), Replaced, nil
}

// Introduce believes a bundle of a new trust domain. With introduced false it is pinned: the cluster's own, or an operator's word.
func (h Held) Introduce(signed model.SignedBundle, introduced, sole bool) (Held, error) {
	b, err := Accept(nil, signed)
	if err != nil {
		return h, err
	}
	return h.with(Entry{Signed: signed, Bundle: b, Introduced: introduced, Sole: sole}), nil
}

// Forget drops a trust domain, so that the next sight of it is a first one: an operator's word after a CA was replaced.
func (h Held) Forget(trustDomain string) Held {
	next := maps.Clone(h.entries)
	delete(next, trustDomain)
	return Held{next}
}

// Entries lists what is held, by trust domain.
func (h Held) Entries() []Entry {
	out := slices.Collect(maps.Values(h.entries))
	slices.SortFunc(out, func(a, b Entry) int {
		if a.Bundle.TrustDomain < b.Bundle.TrustDomain {
			return -1
		}
		return 1
	})
	return out
}

func (h Held) with(e Entry) Held {
	next := maps.Clone(h.entries)
	if next == nil {
		next = map[string]Entry{}
	}
	next[e.Bundle.TrustDomain] = e
	return Held{next}
}
