package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// jury is the nodes that a witness asks.
type jury struct {
	*witness
	clock *clock.Fake
	log   *logBook

	mu      sync.Mutex
	servers []string
	// shows is each node's bundle; a node without one does not answer.
	shows    map[string]model.SignedBundle
	asked    []string
	strange  bool
	verdicts chan string
}

func newJury(servers ...string) *jury {
	j := &jury{
		clock: clock.NewFake(start), log: &logBook{}, servers: servers, shows: map[string]model.SignedBundle{},
		verdicts: make(chan string, 10),
	}
	j.witness = newWitness(witnessConfig{
		Servers: func() []string { return j.servers },
		Member:  func(string) bool { return !j.strange },
		Shown: func(_ context.Context, address, _ string) (model.SignedBundle, error) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.asked = append(j.asked, address)
			if b, ok := j.shows[address]; ok {
				return b, nil
			}
			return model.SignedBundle{}, errors.New(address + " does not answer")
		},
		Introduce: func(_ model.SignedBundle, introduced, sole bool) error {
			j.verdicts <- fmt.Sprintf("introduced=%v sole=%v", introduced, sole)
			return nil
		},
		Clock: j.clock, Logger: j.log.logger(),
	})
	return j
}

func (j *jury) show(address string, b model.SignedBundle) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.shows[address] = b
}

func TestWitness(t *testing.T) {
	us := newPeer(t, "us", 2)
	honest, other := us.bundle(t), newPeer(t, "us", 2).bundle(t)
	const two, sole, none = "introduced=true sole=false", "introduced=true sole=true", ""
	for name, c := range map[string]struct {
		servers []string
		shownBy string
		shows   map[string]model.SignedBundle
		want    string
		waits   string
	}{
		"a second node agrees":           {[]string{"a", "b"}, "a", map[string]model.SignedBundle{"b": honest}, two, ""},
		"the third agrees":               {[]string{"a", "b", "c"}, "a", map[string]model.SignedBundle{"c": honest}, two, ""},
		"a second node disagrees":        {[]string{"a", "b"}, "a", map[string]model.SignedBundle{"b": other}, none, "different bundles"},
		"the first node's word again":    {[]string{"a", "b"}, "a", map[string]model.SignedBundle{"a": honest}, none, "no second federation node answers"},
		"no second answer":               {[]string{"a", "b"}, "a", nil, none, "b does not answer"},
		"there is only one node":         {[]string{"a"}, "a", nil, sole, ""},
		"one other node, which is mute":  {[]string{"b"}, "a", nil, none, "b does not answer"},
		"who showed it is unknown":       {[]string{"a", "b"}, "", map[string]model.SignedBundle{"a": honest}, none, "no second"},
		"unknown, and two agree":         {[]string{"a", "b"}, "", map[string]model.SignedBundle{"a": honest, "b": honest}, two, ""},
		"unknown, and the only one does": {[]string{"a"}, "", map[string]model.SignedBundle{"a": honest}, sole, ""},
		"unknown, and the only is mute":  {[]string{"a"}, "", nil, none, "a does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJury(c.servers...)
			for address, b := range c.shows {
				j.show(address, b)
			}
			j.ask(honest, c.shownBy)
			left := j.settle(t.Context())
			got := none
			if len(j.verdicts) > 0 {
				got = <-j.verdicts
			}
			if got != c.want || (left == 0) != (c.want != none) {
				t.Errorf("verdict %q, want %q; %d left", got, c.want, left)
			}
			if c.waits != "" && j.log.count(c.waits) != 1 {
				t.Errorf("the log does not say %q: %s", c.waits, j.log.text.String())
			}
			if slices.Contains(j.asked, c.shownBy) {
				t.Error("the node that has shown the bundle is its own witness")
			}
		})
	}
}

func TestWitnessAsksAgainUntilItKnows(t *testing.T) {
	b := newPeer(t, "us", 2).bundle(t)
	j := newJury("a", "b")
	ctx, cancel := context.WithCancel(patience(t))
	done := make(chan error, 1)
	go func() { done <- j.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	j.ask(b, "a")
	const rounds = 5
	for range rounds {
		if err := j.clock.BlockUntil(ctx, 1); err != nil {
			t.Fatal("a bundle that waits is forgotten")
		}
		j.clock.Advance(witnessPause)
	}
	if len(j.verdicts) != 0 {
		t.Fatal("believed without a second witness")
	}
	if err := j.clock.BlockUntil(ctx, 1); err != nil {
		t.Fatal(err)
	}
	j.show("b", b)
	j.clock.Advance(witnessPause)
	select {
	case <-j.verdicts:
	case <-ctx.Done():
		t.Fatal("never decided")
	}
	if n := j.log.count("waits for a second witness"); n != 1 {
		t.Errorf("the same complaint is logged %d times", n)
	}
}

func TestWitnessJudgesWhatWasShownLast(t *testing.T) {
	honest, forged := newPeer(t, "us", 2).bundle(t), newPeer(t, "us", 2).bundle(t)
	j := newJury("a", "b", "c")
	j.show("b", honest)
	j.show("c", honest)
	// The first node lies; the session moves on to one that does not.
	j.ask(forged, "a")
	if j.settle(t.Context()) != 1 || len(j.verdicts) != 0 {
		t.Fatal("a forged bundle is believed")
	}
	j.ask(honest, "b")
	// Shown again by another node, which must not become the first witness: it may be the second.
	j.ask(honest, "c")
	if j.settle(t.Context()) != 0 || len(j.verdicts) != 1 {
		t.Error("the honest bundle is not believed")
	}
	// A verdict about a bundle that was replaced meanwhile is none about its successor.
	j.ask(forged, "a")
	j.concluded("us.example.org", sighting{bundle: honest}, nil)
	if len(j.pending) != 1 {
		t.Error("the newer sighting is lost")
	}
}

func TestWitnessForgetsWhoIsNoMember(t *testing.T) {
	j := newJury("a", "b")
	j.ask(newPeer(t, "us", 2).bundle(t), "a")
	j.strange = true
	if left := j.settle(t.Context()); left != 0 || len(j.asked) != 0 {
		t.Errorf("%d left, asked %v", left, j.asked)
	}
	j.ask(model.SignedBundle{Statement: []byte("garbage")}, "a")
	if len(j.pending) != 0 {
		t.Error("garbage waits for a witness")
	}
}

func TestWitnessesAreNamedByMoreThanOneNode(t *testing.T) {
	own := newPeer(t, "eu", 1)
	s := newSite(t, t.TempDir(), own)
	a := &agentParts{core: s.siteCore, member: s.member}
	v := view(t, own)
	v.Nodes = map[string]model.Node{"n1": {Name: "n1", Region: "eu", GRPCAddress: "n1:1", RESTAddress: "n1:2", RaftAddress: "n1:3", GossipAddress: "n1:4"}}
	s.State(v.Proto(false))
	if got := strings.Join(a.witnesses(), " "); got != "n1:1 told:7700" {
		t.Errorf("a node that names itself alone leaves %s", got)
	}
	a.opts.servers = []string{"named:1"}
	if got := a.witnesses(); !slices.Equal(got, []string{"named:1"}) {
		t.Errorf("the operator's word does not count: %v", got)
	}
}
