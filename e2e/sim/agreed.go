package sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/state"
)

const federation = "acme"

// agreed is what Raft is taken to give: one log, and the state after each of its entries.
type agreed struct {
	log   []state.Entry
	state *state.State
	// views[i] is the state after i entries.
	views []*state.View
}

// noBundles refuses all bundles: trust between domains has tests of its own.
func noBundles(*model.SignedBundle, model.SignedBundle) (model.Bundle, error) {
	return model.Bundle{}, errors.New("no bundles here")
}

func newAgreed() *agreed {
	s := state.New(noBundles)
	return &agreed{state: s, views: []*state.View{s.View()}}
}

// now is the newest agreed state.
func (a *agreed) now() *state.View { return a.views[len(a.views)-1] }

// at is the agreed state at an index.
func (a *agreed) at(index uint64) *state.View { return a.views[index] }

// propose appends a command; the nodes learn of it each in its own time.
func (w *world) propose(c state.Command) state.Result {
	entry := state.Entry{Version: model.CommandVersion, At: epoch.Add(w.now), Command: c}
	w.raft.log = append(w.raft.log, entry)
	index := uint64(len(w.raft.log))
	result := w.raft.state.Apply(index, entry)
	w.raft.views = append(w.raft.views, w.raft.state.View())
	if result.Fatal != nil || result.Err != nil {
		w.violate("commands make sense", "%T: %v %v", c, result.Fatal, result.Err)
	}
	w.trace.add(w.now, "agreed", fmt.Sprintf("%T", c), "", index, 0, 0)
	for _, n := range w.nodes {
		w.afterFor(&n.process, w.between(2*time.Millisecond, 300*time.Millisecond), func() { n.catchUp() })
	}
	return result
}

// admit lets a cluster join, under a token of its own.
func (w *world) admit(name model.ClusterName, region string, key []byte) model.Cluster {
	id := fmt.Sprintf("tok%d", len(w.raft.log))
	secret := sha256.Sum256([]byte(id))
	w.propose(state.CreateToken{Token: model.Token{
		ID: id, Kind: model.TokenCluster, SecretHash: secret[:], CreatedAt: epoch.Add(w.now), ExpiresAt: epoch.Add(w.now + time.Hour),
		Cluster: string(name), ExportNamespaces: []string{namespace},
	}})
	return w.propose(state.JoinCluster{TokenID: id, SecretHash: secret[:], Cluster: name, AgentKey: key, Region: region}).Cluster
}

// putRule creates or replaces an export rule.
func (w *world) putRule(name string, spec policy.ExportRuleSpec) {
	text, err := json.Marshal(policy.ExportRule{Name: name, Spec: spec})
	if err != nil {
		w.violate("commands make sense", "%v", err)
	}
	w.propose(state.PutPolicy{Kind: string(policy.KindExportRule), Name: name, JSON: text})
}

func nodeOf(name, region string) model.Node {
	return model.Node{
		Name: name, Region: region, GRPCAddress: name + ":1", RaftAddress: name + ":2", GossipAddress: name + ":3",
		ProtocolMin: model.ProtocolMin, ProtocolMax: model.ProtocolMax, CommandMax: model.CommandVersion,
	}
}

// signer is a key and its public half in PKIX DER.
type signer struct {
	key    *ecdsa.PrivateKey
	public []byte
}

// signers are keys that are the same in every world and run.
var signers = func() []signer {
	out := make([]signer, 2*maxAgents+1)
	for i := range out {
		scalar := sha256.Sum256(fmt.Appendf(nil, "simulated key %d", i))
		scalar[0] = 0 // Below the curve's order, whatever the hash.
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
		if err != nil {
			panic(err)
		}
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			panic(err)
		}
		out[i] = signer{key, public}
	}
	return out
}()
