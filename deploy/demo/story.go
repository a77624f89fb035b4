package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// story tells what happens and keeps the score.
type story struct {
	*world
	began          time.Time
	passed, failed int
	// interrupted is closed by Ctrl-C: what is claimed from then on is neither passed nor failed.
	interrupted <-chan struct{}
}

var errInterrupted = errors.New("interrupted")

// chapter is one part of the story. It returns an error only when the rest makes no sense without it.
type chapter struct {
	title string
	tell  func(context.Context) error
}

// tell runs the whole story.
func (s *story) tell(ctx context.Context) {
	s.play(ctx, []chapter{
		{"Three federation nodes, one Raft group", s.raiseFederation},
		{"Three sites join with one-time tokens", s.joinSites},
		{"Gateways and workloads, each with an Envoy of its own", s.startEverything},
		{"Calls across regions, by name, over mutual TLS", s.callAcross},
		{"One more workload joins late, with a token", s.joinLate},
		{"What must be refused is refused", s.refuse},
		{"The local workloads die", s.killLocalWorkloads},
		{"A whole region dies", s.killRegion},
		{"The region comes back", s.restoreRegion},
		{"Every federation node and every agent dies", s.killControlPlane},
		{"The control plane comes back", s.restoreControlPlane},
	})
}

// play tells chapters until one of them makes the rest pointless.
func (s *story) play(ctx context.Context, chapters []chapter) {
	for i, c := range chapters {
		if ctx.Err() != nil {
			return
		}
		fmt.Printf("\n[%5.1f s] %d. %s\n", time.Since(s.began).Seconds(), i+1, c.title)
		if err := c.tell(ctx); err != nil {
			if ctx.Err() == nil {
				s.fail(c.title, err)
			}
			return
		}
	}
	fmt.Printf("\n[%5.1f s] That is all.\n", time.Since(s.began).Seconds())
}

// say prints a line of the story.
func (s *story) say(format string, args ...any) {
	select {
	case <-s.interrupted:
	default:
		fmt.Printf("    "+format+"\n", args...)
	}
}

// check scores one claim: err nil is a pass.
func (s *story) check(claim string, err error) error {
	select {
	case <-s.interrupted:
		return errInterrupted
	default:
	}
	if err != nil {
		s.fail(claim, err)
		return err
	}
	s.passed++
	fmt.Printf("  ✓ %s\n", claim)
	return nil
}

func (s *story) fail(claim string, err error) {
	s.failed++
	fmt.Printf("  ✗ %s\n      %s\n", claim, strings.ReplaceAll(err.Error(), "\n", "\n      "))
}

// timed reports how long fn took until it succeeded, as part of the claim.
func (s *story) timed(claim string, fn func() error) error {
	begin := time.Now()
	err := fn()
	return s.check(fmt.Sprintf("%s (%.1f s)", claim, time.Since(begin).Seconds()), err)
}

// linger leaves the world running and says how to look around.
func (s *story) linger(ctx context.Context) {
	web := s.workloads["web-eu"]
	fmt.Printf(`
Everything is left running. Look around from another terminal:

  export HANSE_OPERATOR_TOKEN_FILE=%s
  %s status
  %s service list
  curl http://%s/                                            # web-eu calls cart.shop: answered in its own region
  curl -H 'Host: ledger.bank.svc.clusterset.local' http://%s/    # any service by name
  curl --unix-socket %s http://envoy/clusters     # what web-eu's Envoy knows

Logs are in %s. Ctrl-C ends it all.
`, s.operatorTokenFile(), s.hanse, s.hanse, web.upstreams[cartHTTP], web.openHTTP,
		filepath.Join(s.data("web-eu"), "envoy", "admin.sock"), s.logs())
	<-ctx.Done()
}
