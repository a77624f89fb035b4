package rest

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/federation/access"
)

// keysRetry is when a node may have the keys that it lacked: it asks an issuer every ten seconds.
const keysRetry = 10 * time.Second

// attempts bounds how fast credentials can be tried from one address.
type attempts struct {
	mu   sync.Mutex
	held *access.Attempts
}

// wait refuses an address that has shown too many bad credentials.
func (a *attempts) wait(source string, c access.Credential, now time.Time) *refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	wait := a.held.Wait(addressOf(source), c, now)
	if wait <= 0 {
		return nil
	}
	return &refusal{
		status: http.StatusTooManyRequests, after: wait,
		detail: "too many bad credentials came from " + source + ": wait for as long as Retry-After says, and find out who there shows which",
	}
}

// failed notes a bad credential, and reports whether the next one from there must wait.
func (a *attempts) failed(source string, c access.Credential, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held.Failed(addressOf(source), c, now)
	return a.held.Wait(addressOf(source), c, now) > 0
}

func (a *attempts) passed(c access.Credential) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held.Passed(c)
}

// addressOf is a source without its port; what is no address counts as one.
func addressOf(source string) netip.Addr {
	at, err := netip.ParseAddrPort(source)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr()
}
