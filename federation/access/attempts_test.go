package access

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	noon    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	guessed = Credential{1}
)

// tire shows so many bad credentials that the next one has to wait.
func tire(a *Attempts, from netip.Addr) {
	for range Burst {
		a.Failed(from, guessed, noon)
	}
}

func TestABurstOfBadCredentialsIsSlowedDown(t *testing.T) {
	a := NewAttempts()
	from, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range Burst {
		if w := a.Wait(from, guessed, noon); w != 0 {
			t.Fatalf("after %d bad ones: wait %s", i, w)
		}
		a.Failed(from, guessed, noon)
	}
	if w := a.Wait(from, Credential{2}, noon); w != refill {
		t.Fatalf("after the burst: wait %s, want %s", w, refill)
	}
	if w := a.Wait(other, guessed, noon); w != 0 {
		t.Errorf("another address waits %s", w)
	}
	later := noon.Add(refill)
	if w := a.Wait(from, guessed, later); w != 0 {
		t.Errorf("after the wait it must wait %s", w)
	}
	a.Failed(from, guessed, later)
	if w := a.Wait(from, guessed, later); w != refill {
		t.Errorf("after one more: wait %s", w)
	}
	if w := a.Wait(from, guessed, noon.Add(time.Hour)); w != 0 {
		t.Errorf("an hour later: wait %s", w)
	}
}

func TestWhatWasGoodBeforeNeedNotWait(t *testing.T) {
	a, from := NewAttempts(), netip.MustParseAddr("192.0.2.1")
	known := Credential{9}
	a.Passed(known)
	tire(a, from)
	if w := a.Wait(from, known, noon); w != 0 {
		t.Errorf("a credential that was good waits %s", w)
	}
	a.Failed(from, known, noon)
	if w := a.Wait(from, known, noon); w == 0 {
		t.Error("a credential that is good no more goes on as if it were")
	}
}

func TestAnAddressIsItsNetwork(t *testing.T) {
	for name, c := range map[string]struct {
		a, b string
		same bool
	}{
		"mapped":              {"192.0.2.1", "::ffff:192.0.2.1", true},
		"neighbours":          {"192.0.2.1", "192.0.2.3", false},
		"one IPv6 subscriber": {"2001:db8::1", "2001:db8::ffff:2", true},
		"two IPv6 networks":   {"2001:db8::1", "2001:db8:0:1::1", false},
		"a zone":              {"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		a := NewAttempts()
		tire(a, netip.MustParseAddr(c.a))
		if got := a.Wait(netip.MustParseAddr(c.b), guessed, noon) > 0; got != c.same {
			t.Errorf("%s: %s counts for %s: %t", name, c.a, c.b, got)
		}
	}
	a := NewAttempts()
	a.Failed(netip.Addr{}, guessed, noon)
	if a.Wait(netip.Addr{}, guessed, noon) != 0 {
		t.Error("one bad credential of no address is too many")
	}
}

func TestMemoryOfCredentialsIsBounded(t *testing.T) {
	a := NewAttempts()
	first := netip.MustParseAddr("192.0.2.1")
	tire(a, first)
	at := netip.MustParseAddr("10.0.0.0")
	for range maxAddresses - 1 {
		at = at.Next()
		a.Failed(at, guessed, noon)
	}
	if a.Wait(first, guessed, noon) == 0 {
		t.Error("forgotten while there is room")
	}
	a.Failed(at.Next(), guessed, noon)
	if a.Wait(first, guessed, noon) != 0 {
		t.Error("the oldest is not the one that was forgotten")
	}
	for i := range uint32(maxProven + 1) {
		var c Credential
		binary.BigEndian.PutUint32(c[:], i)
		a.Passed(c)
		a.Passed(c)
	}
	if len(a.until.at) != maxAddresses || a.until.order.Len() != maxAddresses || len(a.proven.at) != maxProven || a.proven.order.Len() != maxProven {
		t.Errorf("held are %d addresses and %d good credentials", len(a.until.at), len(a.proven.at))
	}
}

// Law: who tries only when it may never waits longer than for one more attempt.
func TestLawWaitsAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, now := NewAttempts(), noon
		from := netip.MustParseAddr("192.0.2.1")
		for range rapid.IntRange(0, 100).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			w := a.Wait(from, guessed, now)
			if w > refill {
				t.Fatalf("must wait %s", w)
			}
			if w == 0 {
				a.Failed(from, guessed, now)
			}
		}
	})
}
