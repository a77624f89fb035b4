package model

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPodWorkloadID(t *testing.T) {
	for _, c := range []struct{ namespace, pod, id string }{
		{"shop", "cart-7d9f8b6c5d-x7k2p", "shop--cart-7d9f8b6c5d-x7k2p"},
		{"hanse-system", "hanse-gateway-6d4cf7b9d8-2xw9z", "hanse-system--hanse-gateway-6d4cf7b9d8-2xw9z"},
		{"shop", "cart.v2", "shop-cart-v2--fe2329cd8c"},
		{"a", "b--c", "a-b-c--d3db2e148a"},
		{"a--b", "c", "a-b-c--b78899b86a"},
	} {
		if got := PodWorkloadID(c.namespace, c.pod); got != c.id {
			t.Errorf("%s/%s is %s, want %s", c.namespace, c.pod, got, c.id)
		}
	}
}

func TestPodsHaveLabelsOfTheirOwn(t *testing.T) {
	label := rapid.StringMatching(`[a-z]([a-z-]{0,40}[a-z])?`)
	pod := rapid.OneOf(label, rapid.StringMatching(`[a-z]([a-z.-]{0,200}[a-z])?`))
	rapid.Check(t, func(t *rapid.T) {
		n1, p1, n2, p2 := label.Draw(t, "n1"), pod.Draw(t, "p1"), label.Draw(t, "n2"), pod.Draw(t, "p2")
		// The same letters, cut at another place, are what is confused most easily.
		if rapid.Bool().Draw(t, "recut") {
			joined := n1 + "--" + p1
			n2, p2, _ = strings.Cut(joined, "-")
			p2 = strings.Trim(p2, "-")
		}
		a, b := PodWorkloadID(n1, p1), PodWorkloadID(n2, p2)
		if err := ValidateLabel("workload", a); err != nil {
			t.Fatal(err)
		}
		if (a == b) != (n1 == n2 && p1 == p2) {
			t.Fatalf("%s/%s is %s, %s/%s is %s", n1, p1, a, n2, p2, b)
		}
	})
}
