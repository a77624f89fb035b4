package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"google.golang.org/grpc/codes"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
)

// keeper is the leader's care for the group, round by round.
type keeper struct {
	*federation
	// down are the Raft addresses that do not answer; it changes between rounds only.
	down map[string]bool
}

func keepGroupOf(f *federation) *keeper {
	k := &keeper{federation: f, down: map[string]bool{}}
	f.nodes["n1"].cfg.Reachable = func(_ context.Context, address string) error {
		if k.down[address] {
			return errors.New("nobody answers")
		}
		return nil
	}
	return k
}

func (k *keeper) round(want map[string]GroupMember) {
	k.t.Helper()
	k.nodes["n1"].completeGroup(k.ctx)
	if got := k.raft.Group(); !maps.Equal(got, want) {
		k.t.Fatalf("the group is %v, want %v", got, want)
	}
}

func voter(address string) GroupMember { return GroupMember{Address: address, Voter: true} }

func TestNodesComeIntoTheGroupInTheirRoles(t *testing.T) {
	f := newFederation(t)
	replica := f.start("n3").Node
	replica.Replica = true
	f.propose(state.PutNode{Node: replica})
	k := keepGroupOf(f)
	k.down["n2.example:1"], k.down["n3.example:1"] = true, true
	k.round(map[string]GroupMember{"n1": voter("n1.example:1")})
	delete(k.down, "n3.example:1")
	k.round(map[string]GroupMember{"n1": voter("n1.example:1"), "n3": {Address: "n3.example:1"}})
	delete(k.down, "n2.example:1")
	all := map[string]GroupMember{"n1": voter("n1.example:1"), "n2": voter("n2.example:1"), "n3": {Address: "n3.example:1"}}
	k.round(all)
	k.round(all)

	moved := f.nodes["n2"].Node
	moved.RaftAddress = "elsewhere.example:1"
	f.propose(state.PutNode{Node: moved})
	k.down[moved.RaftAddress] = true
	k.round(all)
	delete(k.down, moved.RaftAddress)
	all["n2"] = voter(moved.RaftAddress)
	k.round(all)
}

func TestNodesThatAreForgottenLeaveTheGroup(t *testing.T) {
	f := newFederation(t)
	k := keepGroupOf(f)
	both := map[string]GroupMember{"n1": voter("n1.example:1"), "n2": voter("n2.example:1")}
	k.round(both)
	f.propose(state.RemoveNode{Name: "n2"})
	k.round(map[string]GroupMember{"n1": voter("n1.example:1")})
}

func TestOnlyTheLeaderKeepsTheGroup(t *testing.T) {
	f := newFederation(t)
	f.raft.lead("n2")
	ctx, cancel := context.WithCancel(f.ctx)
	done := make(chan error, 1)
	go func() { done <- f.nodes["n1"].Run(ctx) }()
	f.clock.waitFor(f.ctx, t, groupEvery)
	if g := f.raft.Group(); len(g) != 0 {
		t.Errorf("a follower has made the group %v", g)
	}
	f.raft.lead("n1")
	f.clock.Advance(groupEvery)
	f.clock.waitFor(f.ctx, t, groupEvery)
	if g := f.raft.Group(); len(g) != 2 {
		t.Errorf("the leader has made the group %v", g)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestAVoteIsNeitherTakenNorGivenByTheWay(t *testing.T) {
	for _, c := range []struct {
		replica bool
		held    GroupMember
		want    bool
	}{
		{replica: true, held: voter("a:1"), want: false},
		{replica: true, held: GroupMember{Address: "a:1"}, want: false},
		{replica: false, held: GroupMember{Address: "a:1"}, want: true},
		{replica: false, held: voter("a:1"), want: false},
		{replica: true, held: GroupMember{Address: "b:1"}, want: true},
	} {
		n := model.Node{Name: "n", RaftAddress: "a:1", Replica: c.replica}
		if got := groupLacks(n, c.held, true); got != c.want {
			t.Errorf("a %s that is held as %+v: change %t", n.Role(), c.held, got)
		}
	}
}

func TestVotersBeyondTheBoundAreSentToBeReplicas(t *testing.T) {
	f := newFederation(t)
	for i := len(f.nodes); i < MaxVoters; i++ {
		name := fmt.Sprintf("v%d", i)
		f.propose(state.PutNode{Node: model.Node{Name: name, GRPCAddress: name + ":1", RaftAddress: name + ":2", CommandMax: model.CommandVersion}})
	}
	f.createToken("late", model.TokenNode, nil)
	request := joinNodeRequest(t, "late", "v8")
	_, err := f.nodes["n1"].JoinNode(f.ctx, request)
	refusedWith(t, err, codes.FailedPrecondition, "--replica")
	view, _ := f.raft.Watch()
	if k := view.Tokens["late"]; len(k.BoundKey) != 0 {
		t.Error("the refusal has used the token up")
	}
	request.Node.Replica = true
	if _, err := f.nodes["n1"].JoinNode(f.ctx, request); err != nil {
		t.Fatal(err)
	}
	// Whoever is a voter may repeat its join: the answer may have been lost.
	if err := enoughVoters(view, state.RedeemNodeToken{Node: view.Nodes["v3"]}); err != nil {
		t.Error(err)
	}
}

func joinNodeRequest(t *testing.T, tokenID, name string) *hansev1.JoinNodeRequest {
	t.Helper()
	return &hansev1.JoinNodeRequest{
		TokenId: tokenID, Secret: secret, Csr: csr(t, newKey(t)), CaCsr: csr(t, newKey(t)),
		Node: &hansev1.Node{Name: name, GrpcAddress: name + ":1", RaftAddress: name + ":2", ProtocolMin: 1, ProtocolMax: 1, CommandMax: model.CommandVersion},
	}
}
