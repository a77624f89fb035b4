package catalog

import (
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
)

func confirmed(b model.Batch) model.Batch {
	b.Confirmed = true
	return b
}

// TestAConfirmationGoesWithTheRemovals says of each history which of what follows from it carries the confirmation.
func TestAConfirmationGoesWithTheRemovals(t *testing.T) {
	a, b, c := signed("a", "1"), signed("b", "1"), signed("c", "1")
	for name, x := range map[string]struct {
		said []model.Batch
		// full is whether the full state is confirmed, since whether the change from seq 1 of the last epoch is.
		full, since bool
	}{
		"nothing confirmed":                   {[]model.Batch{full(1, 1, a, b), without(delta(1, 1, 2), "a")}, false, false},
		"an epoch":                            {[]model.Batch{full(1, 1, a, b), confirmed(full(2, 1, a)), delta(2, 1, 2, c)}, true, false},
		"an epoch and then more goes":         {[]model.Batch{confirmed(full(2, 1, a)), without(delta(2, 1, 2), "a")}, false, false},
		"an epoch and then more, confirmed":   {[]model.Batch{confirmed(full(2, 1, a, b)), confirmed(without(delta(2, 1, 2), "a"))}, true, true},
		"a removal, and then something comes": {[]model.Batch{full(1, 1, a, b), confirmed(without(delta(1, 1, 2), "a")), delta(1, 2, 3, c)}, false, true},
		"a removal after another one":         {[]model.Batch{full(1, 1, a, b), without(delta(1, 1, 2), "a"), confirmed(without(delta(1, 2, 3), "b"))}, false, false},
		"the next epoch":                      {[]model.Batch{confirmed(full(1, 1, a)), full(2, 1, a), delta(2, 1, 2, b)}, false, false},
	} {
		held := mergeAll(x.said...)
		last := x.said[len(x.said)-1].To
		if got, _ := held.Full(alpha); got.Confirmed != x.full {
			t.Errorf("%s: the full state is confirmed: %v", name, got.Confirmed)
		}
		if got, ok := held.Since(alpha, version(last.Epoch, 1)); !ok || got.Full || got.Confirmed != x.since {
			t.Errorf("%s: the change is %+v", name, got)
		}
	}
}
