package server

import (
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/federation/state"
)

func TestAnnounceReachesTheLeader(t *testing.T) {
	f := newFederation(t)
	before := f.raft.proposed()
	follower := f.nodes["n2"].Server
	if err := follower.Announce(f.ctx); err != nil || f.raft.proposed() != before {
		t.Fatalf("what is held already is announced (%v)", err)
	}
	follower.cfg.Node.RESTAddress = "moved.example:7701"
	if err := follower.Announce(f.ctx); err != nil {
		t.Fatal(err)
	}
	if held := follower.view().Nodes["n2"]; held != follower.cfg.Node {
		t.Errorf("the state holds %+v", held)
	}
	before = f.raft.proposed()
	if err := follower.Announce(f.ctx); err != nil || f.raft.proposed() != before {
		t.Errorf("announced twice (%v)", err)
	}
}

func TestRemovedNodeDoesNotAnnounceItself(t *testing.T) {
	f := newFederation(t)
	if _, err := f.raft.Propose(f.ctx, state.RemoveNode{Name: "n2"}); err != nil {
		t.Fatal(err)
	}
	before := f.raft.proposed()
	if err := f.nodes["n2"].Announce(f.ctx); err != nil || f.raft.proposed() != before {
		t.Errorf("a removed node came back (%v)", err)
	}
}

func TestNodesSpeakForThemselvesOnly(t *testing.T) {
	f := newFederation(t)
	client := hansev1.NewNodeServiceClient(f.dial("n1", f.nodes["n2"].identity))
	forged := f.nodes["n1"].cfg.Node
	forged.GRPCAddress = "attacker.example:1"
	for name, n := range map[string]*hansev1.Node{"another's": codec.NodeToProto(forged), "nobody's": {}, "none": nil} {
		_, err := client.Forward(f.ctx, &hansev1.ForwardRequest{Request: &hansev1.ForwardRequest_PutNode{PutNode: &hansev1.PutNode{Node: n}}})
		t.Run(name, func(t *testing.T) { refusedWith(t, err, codes.PermissionDenied, "itself only") })
	}
	if held := f.raft.view.Nodes["n1"]; held == forged {
		t.Error("the forged entry is in the state")
	}
}
