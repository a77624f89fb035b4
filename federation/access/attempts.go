package access

import (
	"container/list"
	"net/netip"
	"time"
)

const (
	// Burst is how many bad credentials an address may show at once, and refill the time after which it may show one more.
	Burst  = 20
	refill = 3 * time.Second
	// maxAddresses and maxProven bound the memory; what is forgotten first has been quiet for longest.
	maxAddresses = 4096
	maxProven    = 1024
	// ipv6Prefix is what one subscriber has of the IPv6 addresses, in bits.
	ipv6Prefix = 64
)

// Credential stands for what somebody showed: its SHA-256.
type Credential [32]byte

// Attempts bounds how fast credentials are tried from an address. One that was found good before goes on being looked at: a script that
// knocks with a revoked token must not lock out the operators who share its address. It is not safe for concurrent use.
type Attempts struct {
	// until is when all that was bad of an address is forgiven: each bad credential moves it on by refill.
	until recent[netip.Prefix, time.Time]
	// proven are credentials that were good when they were last shown.
	proven recent[Credential, struct{}]
}

// NewAttempts returns an empty memory.
func NewAttempts() *Attempts {
	return &Attempts{until: newRecent[netip.Prefix, time.Time](maxAddresses), proven: newRecent[Credential, struct{}](maxProven)}
}

// Wait is how long the address must wait before this credential is looked at; zero is not at all.
func (a *Attempts) Wait(from netip.Addr, c Credential, now time.Time) time.Duration {
	until, bad := a.until.get(network(from))
	if _, proven := a.proven.get(c); proven || !bad {
		return 0
	}
	return max(0, until.Sub(now)-(Burst-1)*refill)
}

// Failed notes that the credential was bad.
func (a *Attempts) Failed(from netip.Addr, c Credential, now time.Time) {
	a.proven.remove(c)
	until, _ := a.until.get(network(from))
	if until.Before(now) {
		until = now
	}
	a.until.put(network(from), until.Add(refill))
}

// Passed notes that the credential was good.
func (a *Attempts) Passed(c Credential) { a.proven.put(c, struct{}{}) }

// network is the address, or the part of it that cannot be changed at will.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = ipv6Prefix
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// recent is a map that holds the entries that were put last.
type recent[K comparable, V any] struct {
	limit int
	// order lists *pair, the one that was put last first.
	order *list.List
	at    map[K]*list.Element
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](limit int) recent[K, V] {
	return recent[K, V]{limit: limit, order: list.New(), at: map[K]*list.Element{}}
}

func (r *recent[K, V]) get(key K) (value V, ok bool) {
	e, ok := r.at[key]
	if !ok {
		return value, false
	}
	return e.Value.(*pair[K, V]).value, true
}

func (r *recent[K, V]) put(key K, value V) {
	r.remove(key)
	if len(r.at) >= r.limit {
		r.remove(r.order.Back().Value.(*pair[K, V]).key)
	}
	r.at[key] = r.order.PushFront(&pair[K, V]{key, value})
}

func (r *recent[K, V]) remove(key K) {
	if e, ok := r.at[key]; ok {
		r.order.Remove(e)
		delete(r.at, key)
	}
}
