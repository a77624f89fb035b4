package bundle

import (
	"errors"
	"testing"
)

func TestHeldFollowsAChainOnly(t *testing.T) {
	old, next, foreign := newAuthority(t, nil), newAuthority(t, nil), newAuthority(t, nil)
	first := sign(t, 1, roots(old), old.key)
	var none Held
	h, verdict, err := none.Offer(first)
	if verdict != Witness || err != nil || len(h.Entries()) != 0 {
		t.Fatalf("first sight gave verdict %v, error %v, %d entries; want Witness and nothing held", verdict, err, len(h.Entries()))
	}
	if h, err = h.Introduce(first, true, false); err != nil {
		t.Fatal(err)
	}
	if _, verdict, _ = h.Offer(first); verdict != Unchanged {
		t.Fatalf("the held bundle again gave verdict %v", verdict)
	}
	if _, verdict, err = h.Offer(sign(t, 2, roots(foreign), foreign.key)); verdict != Refused || !errors.Is(err, ErrBrokenChain) {
		t.Fatalf("a stranger's bundle gave verdict %v, error %v", verdict, err)
	}
	rotated, verdict, err := h.Offer(sign(t, 2, roots(old, next), old.key, next.key))
	if verdict != Replaced || err != nil {
		t.Fatalf("a rotation gave verdict %v, error %v", verdict, err)
	}
	if len(rotated.Entries()[0].Bundle.Roots) != 2 || len(h.Entries()[0].Bundle.Roots) != 1 {
		t.Fatal("the receiver changed, or the result did not")
	}
	if !rotated.Entries()[0].Introduced {
		t.Fatal("a rotation made an introduced bundle a pinned one")
	}
	if _, verdict, err = rotated.Offer(first); verdict != Unchanged || err != nil {
		t.Fatalf("an older bundle of the chain gave verdict %v, error %v", verdict, err)
	}
	if _, verdict, _ = rotated.Forget(domain).Offer(first); verdict != Witness {
		t.Fatalf("after Forget a bundle gave verdict %v, want Witness", verdict)
	}
}
