package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// withReplicas opens a group of three voters and some replicas.
func withReplicas(t *testing.T, replicas int) (voters, all []*member) {
	t.Helper()
	voters = trio(t, nil)
	all = slices.Clone(voters)
	for i := range replicas {
		cfg := config(t, fmt.Sprintf("r%d", i+1))
		all = append(all, open(t, cfg))
		retry(t, voters, func(ctx context.Context) bool {
			return slices.ContainsFunc(voters, func(m *member) bool { return m.AddReplica(ctx, cfg.Name, cfg.Address) == nil })
		})
	}
	return voters, all
}

func TestReplicasFollowAndDoNotCount(t *testing.T) {
	voters, all := withReplicas(t, 2)
	leader := propose(t, voters, rule("all"))
	for _, m := range all {
		m.awaitRule("all")
	}
	for _, p := range leader.Status().Peers {
		if p.Voter != (p.Name[0] == 'n') {
			t.Errorf("%+v", p)
		}
	}
	replica := all[3]
	if _, err := replica.Propose(bounded(t), rule("other")); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a replica answers a write with %v", err)
	}
	// Two of three voters commit without any replica.
	for _, m := range []*member{all[3], all[4], others(voters, leader)[0]} {
		if err := m.end(); err != nil {
			t.Fatal(err)
		}
	}
	propose(t, voters, rule("without-them"))
	all[3].restart().awaitRule("without-them")
}

// A node that comes back learns how far the log is committed also when nothing new is written.
func TestAReplicaThatComesBackIsToldWhatItKnew(t *testing.T) {
	voters, all := withReplicas(t, 1)
	propose(t, voters, rule("before"))
	all[3].awaitRule("before")
	all[3].restart().awaitRule("before")
}

func TestReplicasDoNotElect(t *testing.T) {
	voters, all := withReplicas(t, 2)
	propose(t, voters, rule("before"))
	for _, m := range all[3:] {
		m.awaitRule("before")
	}
	for _, m := range voters[:2] {
		if err := m.end(); err != nil {
			t.Fatal(err)
		}
	}
	retry(t, voters[2:], func(ctx context.Context) bool {
		_, err := voters[2].Propose(ctx, rule("after"))
		if err == nil {
			t.Fatal("one voter of three has committed with the help of replicas")
		}
		return errors.Is(err, ErrNoQuorum)
	})
	for _, m := range all[3:] {
		if m.IsLeader() {
			t.Errorf("%s leads", m.cfg.Name)
		}
	}
}

func TestAddingAVoterAsReplicaTakesNoVoteAway(t *testing.T) {
	voters, _ := withReplicas(t, 0)
	leader := propose(t, voters, rule("all"))
	other := others(voters, leader)[0]
	if err := leader.AddReplica(bounded(t), other.cfg.Name, other.cfg.Address); err != nil {
		t.Fatal(err)
	}
	for _, p := range leader.Status().Peers {
		if !p.Voter {
			t.Errorf("%s has lost its vote", p.Name)
		}
	}
}
