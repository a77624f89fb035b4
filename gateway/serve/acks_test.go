package serve

import (
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/gateway/xds"
)

func TestRefusalIsKeptUntilTheResourceIsAccepted(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{cds: set(cds, "a=1", "b=1")})
	c := r.open(t, "w")
	c.subscribe(cds)
	c.expect("Cluster a=1 b=1")
	r.cache.Set("w", xds.Resources{cds: set(cds, "a=2", "b=1")})
	c.expectNoAck("Cluster a=2")
	c.nack("a=2 is bad")
	r.events.wait(t, "nacked w Cluster a=2 is bad", 1)
	// The refused version is not sent again.
	c.silent()
	n := r.cache.Nacks("w")
	if len(n) != 1 || n[0].Reason != "a=2 is bad" || n[0].TypeURL != cds || n[0].At.IsZero() {
		t.Fatalf("refusals are %+v, want the one of a=2", n)
	}
	// Another resource of the type being accepted does not make it good.
	r.cache.Set("w", xds.Resources{cds: set(cds, "a=2", "b=2")})
	c.expect("Cluster b=2")
	r.events.wait(t, "acked w Cluster", 2)
	equal(t, "number of refusals", len(r.cache.Nacks("w")), 1)
	if r.cache.Settled("w") {
		t.Fatal("a class with a refusal is said to be settled")
	}
	r.cache.Set("w", xds.Resources{cds: set(cds, "a=3", "b=2")})
	c.expect("Cluster a=3")
	r.events.wait(t, "acked w Cluster", 3)
	equal(t, "number of refusals", len(r.cache.Nacks("w")), 0)
	if !r.cache.Settled("w") {
		t.Fatal("everything was accepted, but the class is not settled")
	}
}

// After a refusal the client still holds the old version: going back to it must be sent, because only a response can end the refusal.
func TestGoingBackAfterARefusal(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{lds: set(lds, "l=1")})
	c := r.open(t, "w")
	c.subscribe(lds)
	c.expect("Listener l=1")
	r.cache.Set("w", xds.Resources{lds: set(lds, "l=2")})
	c.expectNoAck("Listener l=2")
	c.nack("bad")
	c.silent()
	r.cache.Set("w", xds.Resources{lds: set(lds, "l=1")})
	c.expect("Listener l=1")
	r.events.wait(t, "acked w Listener", 2)
	equal(t, "number of refusals", len(r.cache.Nacks("w")), 0)
}

func TestRemovalOfARefusedResourceClearsIt(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{lds: set(lds, "l=1")})
	c := r.open(t, "w")
	c.subscribe(lds)
	c.expectNoAck("Listener l=1")
	c.nack("bad")
	c.silent()
	r.cache.Set("w", nil)
	c.expect("Listener -l")
	r.events.wait(t, "acked w Listener", 1)
	equal(t, "number of refusals", len(r.cache.Nacks("w")), 0)
}

// A client may drop a whole response for one bad resource. The others must reach it, and the bad one must end up alone.
func TestOneBadResourceIsIsolated(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{eds: set(eds, "a=1", "b=1", "c=1", "d=1", "e=1")})
	c := r.open(t, "w")
	c.subscribe(eds, "a", "b", "c", "d", "e")
	accepted, responses := map[string]bool{}, 0
	for len(accepted) < 4 {
		words := strings.Fields(c.receive())[1:]
		if responses++; responses > 10 {
			t.Fatal("too many responses for one bad resource among five")
		}
		if strings.Contains(strings.Join(words, " "), "d=1") {
			c.nack("d is bad")
			continue
		}
		for _, w := range words {
			accepted[w] = true
		}
		c.ack()
	}
	c.silent()
	for len(r.cache.Nacks("w")) != 1 {
		c.silent()
	}
	r.cache.Set("w", xds.Resources{eds: set(eds, "a=1", "b=1", "c=1", "d=2", "e=1")})
	c.expect("ClusterLoadAssignment d=2")
	c.silent()
	equal(t, "number of refusals", len(r.cache.Nacks("w")), 0)
}

func TestReasonIsBounded(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{lds: set(lds, "l=1")})
	c := r.open(t, "w")
	c.subscribe(lds)
	c.expectNoAck("Listener l=1")
	c.nack(strings.Repeat("é", maxReason))
	c.silent()
	n := r.cache.Nacks("w")
	if len(n) != 1 || len(n[0].Reason) > maxReason || len(n[0].Reason) < maxReason-4 {
		t.Fatalf("%d refusals, the first with %d bytes of reason; want one with about %d", len(n), len(n[0].Reason), maxReason)
	}
}

func TestRefusalsEndWithTheStream(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{lds: set(lds, "l=1")})
	c := r.open(t, "w")
	c.subscribe(lds)
	c.expectNoAck("Listener l=1")
	c.nack("bad")
	c.silent()
	equal(t, "number of refusals", len(r.cache.Nacks("w")), 1)
	c.cancel()
	r.events.wait(t, "closed w", 1)
	equal(t, "number of refusals", len(r.cache.Nacks("w")), 0)
}

func TestForgedNonceIsNoAcknowledgement(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{lds: set(lds, "l=1")})
	c := r.open(t, "w")
	c.subscribe(lds)
	c.expectNoAck("Listener l=1")
	c.last.Nonce = "999"
	c.ack()
	c.silent()
	if r.cache.Settled("w") {
		t.Fatal("a nonce that was never given settled the class")
	}
}
