package consensus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/federation/state"
)

func TestThreeNodesAgree(t *testing.T) {
	group := trio(t, nil)
	leader := propose(t, group, rule("all"))
	if _, ok := leader.View().Exports["all"]; !ok {
		t.Error("the proposer does not see its own write")
	}
	for _, m := range group {
		m.awaitRule("all")
	}
	s := others(group, leader)[0].Status()
	if len(s.Peers) != 3 || s.Term == 0 || s.AppliedIndex == 0 || s.LastIndex < s.CommitIndex || s.LastContact.IsZero() {
		t.Errorf("a follower's status is %+v", s)
	}
}

func TestFollowersNameTheLeader(t *testing.T) {
	group := trio(t, nil)
	leader := propose(t, group, rule("all"))
	follower := others(group, leader)[0]
	follower.awaitRule("all")
	retry(t, group, func(ctx context.Context) bool {
		_, err := follower.Propose(ctx, rule("other"))
		var e *NotLeaderError
		if !errors.Is(err, ErrNotLeader) || !errors.As(err, &e) {
			t.Fatalf("a follower answers %v", err)
		}
		known := e.Leader != ""
		if errors.Is(err, ErrNoQuorum) == known {
			t.Errorf("%v: is no quorum: %t", err, !known)
		}
		return known && e.Leader == leader.cfg.Name && e.Address == leader.cfg.Address
	})
	for name, err := range map[string]error{
		"barrier": follower.Barrier(bounded(t)),
		"add":     follower.AddVoter(bounded(t), "n4", "127.0.0.1:1"),
		"remove":  follower.RemoveServer(bounded(t), "n1"),
	} {
		if !errors.Is(err, ErrNotLeader) {
			t.Errorf("%s on a follower: %v", name, err)
		}
	}
}

func TestRefusalsComeBackTyped(t *testing.T) {
	m := start(t, config(t, "n1"))
	_, err := m.Propose(bounded(t), state.RemoveCluster{Name: "nobody"})
	if state.CodeOf(err) != state.NotFound {
		t.Errorf("removing what is not there: %v", err)
	}
	_, err = m.Propose(bounded(t), state.PutPolicy{Kind: "ExportRule", Name: "big", JSON: make([]byte, state.MaxEntry)})
	if state.CodeOf(err) != state.Invalid {
		t.Errorf("an entry above the bound: %v", err)
	}
}

func TestAnotherTakesOver(t *testing.T) {
	group := trio(t, nil)
	leader := propose(t, group, rule("before"))
	if err := leader.end(); err != nil {
		t.Fatal(err)
	}
	if _, err := leader.Propose(bounded(t), rule("late")); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a stopped node answers %v", err)
	}
	rest := others(group, leader)
	propose(t, rest, rule("after"))
	for _, m := range rest {
		m.awaitRule("before")
		m.awaitRule("after")
	}
	leader.restart().awaitRule("after")
}

func TestAMinorityKnowsThatItIsOne(t *testing.T) {
	group := trio(t, nil)
	propose(t, group, rule("before"))
	for _, m := range group[1:] {
		if err := m.end(); err != nil {
			t.Fatal(err)
		}
	}
	retry(t, group[:1], func(ctx context.Context) bool {
		_, err := group[0].Propose(ctx, rule("after"))
		if err == nil {
			t.Fatal("a minority has committed")
		}
		if !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrNotLeader) {
			t.Fatal(err)
		}
		return errors.Is(err, ErrNoQuorum)
	})
	if _, ok := group[0].View().Exports["before"]; !ok {
		t.Error("a minority cannot read any more")
	}
}

func TestAnEndedContextLeavesTheOutcomeOpen(t *testing.T) {
	m := start(t, config(t, "n1"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Propose(ctx, rule("x")); err != nil && !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("got %v", err)
	}
	if err := m.Barrier(bounded(t)); err != nil {
		t.Error(err)
	}
}

func TestRemovedNodesLeaveTheGroup(t *testing.T) {
	group := trio(t, nil)
	leader := propose(t, group, rule("before"))
	gone := others(group, leader)[0]
	rest := others(group, gone)
	retry(t, rest, func(ctx context.Context) bool {
		return slices.ContainsFunc(rest, func(m *member) bool { return m.RemoveServer(ctx, gone.cfg.Name) == nil })
	})
	leader = propose(t, rest, rule("after"))
	if got := len(leader.Status().Peers); got != 2 {
		t.Errorf("%d peers are left", got)
	}
	others(rest, leader)[0].awaitRule("after")
}

func TestRestartReadsEverythingBack(t *testing.T) {
	m := start(t, config(t, "n1"))
	for i := range 50 {
		propose(t, []*member{m}, rule(fmt.Sprintf("r%d", i)))
	}
	before, err := m.View().Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	// A bootstrap with another name is ignored, as there is a log.
	m.cfg.Bootstrap = first("n1", m.cfg.Address)
	m = m.restart()
	m.awaitRule("r49")
	after, err := m.View().Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the state differs after a restart")
	}
}

func TestALaggingNodeGetsASnapshot(t *testing.T) {
	group := trio(t, func(c *Config) { c.SnapshotThreshold = 8 })
	if err := group[2].end(); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		propose(t, group[:2], rule(fmt.Sprintf("r%d", i)))
	}
	oldest := uint64(math.MaxUint64)
	for _, m := range group[:2] {
		m.awaitRule("r39")
		if err := m.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		first, err := m.disk.store.FirstIndex()
		if err != nil {
			t.Fatal(err)
		}
		oldest = min(oldest, first)
	}
	late := group[2].restart()
	if last := late.Status().LastIndex; last+1 >= oldest {
		t.Fatalf("the late node is at %d, the others' logs begin at %d: nothing is proved", last, oldest)
	}
	late.awaitRule("r39")
	// Snapshot and rest of the log, from disk.
	group[0].restart().awaitRule("r39")
}

func TestANodeThatMovedIsToldWhatToDo(t *testing.T) {
	group := trio(t, nil)
	propose(t, group, rule("all"))
	moved := others(group, group[0])[0]
	moved.awaitRule("all")
	if err := moved.end(); err != nil {
		t.Fatal(err)
	}
	cfg, old := moved.cfg, moved.cfg.Address
	cfg.Listener = listen(t, "127.0.0.1:0")
	cfg.Address = cfg.Listener.Addr().String()
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "--raft-advertise "+old) {
		t.Fatalf("a node that moved: %v", err)
	}
	moved.cfg.Listener = listen(t, old)
	propose(t, others(group, moved), rule("after"))
	open(t, moved.cfg).awaitRule("after")
}

func TestALoneNodeMayMove(t *testing.T) {
	m := start(t, config(t, "n1"))
	if err := m.end(); err != nil {
		t.Fatal(err)
	}
	m.cfg.Listener = listen(t, "127.0.0.1:0")
	m.cfg.Address = m.cfg.Listener.Addr().String()
	m = open(t, m.cfg)
	propose(t, []*member{m}, rule("moved"))
	if err := m.AddVoter(bounded(t), "n1", m.cfg.Address); err != nil {
		t.Fatal(err)
	}
	if p := m.Status().Peers; len(p) != 1 || p[0].Address != m.cfg.Address {
		t.Errorf("the group is %v", p)
	}
}

func TestAForeignDirectoryIsRefused(t *testing.T) {
	m := start(t, config(t, "n1"))
	if _, err := Open(m.cfg); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a directory in use: %v", err)
	}
	if err := m.end(); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*Config){func(c *Config) { c.Name = "n2" }, func(c *Config) { c.Federation = "other" }} {
		cfg := m.cfg
		change(&cfg)
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "belongs to node n1 of federation hanse") {
			t.Errorf("a directory of another node: %v", err)
		}
	}
	if _, err := Open(Config{}); err == nil {
		t.Error("an empty configuration was accepted")
	}
}
