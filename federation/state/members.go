package state

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

func (s *State) putNode(n model.Node) (bool, error) {
	if err := checkNode(n); err != nil {
		return false, err
	}
	held, member := s.view.Nodes[n.Name]
	if member && held == n {
		return false, nil
	}
	if member && held.Replica != n.Replica {
		return false, refuse(Conflict, "node %s joined as a %s and keeps that role: start it as a %s again, or let a node of another name join", n.Name, held.Role(), held.Role())
	}
	if lowest := s.view.lowestCommand(); len(s.view.Nodes) > 0 && n.CommandMax < lowest {
		return false, refuse(Conflict, "node %s knows commands up to version %d, the federation uses version %d: upgrade this node", n.Name, n.CommandMax, lowest)
	}
	for _, other := range s.view.Nodes {
		if other.Name != n.Name && other.RaftAddress == n.RaftAddress {
			return false, refuse(Conflict, "raft address %s belongs to node %s: give this node another one or remove that node", n.RaftAddress, other.Name)
		}
	}
	s.touch(model.KindNode, n.Name)
	own(s, nodes, &s.view.Nodes)[n.Name] = n
	return true, nil
}

func (s *State) removeNode(name string) (bool, error) {
	n, ok := s.view.Nodes[name]
	if !ok {
		return false, refuse(NotFound, "there is no node %.80q", name)
	}
	if !n.Replica && s.view.Voters() == 1 {
		return false, refuse(Conflict, "node %s is the last one that votes: a federation needs one", name)
	}
	s.touch(model.KindNode, name)
	delete(own(s, nodes, &s.view.Nodes), name)
	s.revokeUsed(model.TokenNode, name)
	return true, nil
}

func (s *State) redeemNodeToken(c RedeemNodeToken, at time.Time) (bool, error) {
	t, err := s.view.credential(c.TokenID, c.SecretHash, model.TokenNode)
	if err != nil {
		return false, err
	}
	if len(c.KeyHash) != sha256.Size {
		return false, refuse(Invalid, "key hash has %d bytes: a SHA-256 has %d", len(c.KeyHash), sha256.Size)
	}
	if err := checkNode(c.Node); err != nil {
		return false, err
	}
	repeated, err := mayUse(t, c.KeyHash, c.Node.Name, at)
	if err != nil {
		return false, err
	}
	if _, taken := s.view.Nodes[c.Node.Name]; taken && !repeated {
		return false, refuse(Conflict, "node name %s is taken: choose another name, or remove that node first", c.Node.Name)
	}
	changed, err := s.putNode(c.Node)
	if err != nil {
		return false, err
	}
	return s.bind(t, c.KeyHash, c.Node.Name) || changed, nil
}

// joinCluster admits a cluster. The membership belongs to the key: who joins with the member's key gets the membership that there
// is, with the namespaces of the token that was used last.
func (s *State) joinCluster(index uint64, c JoinCluster, at time.Time) (model.Cluster, bool, error) {
	t, err := s.view.credential(c.TokenID, c.SecretHash, model.TokenCluster)
	if err != nil {
		return model.Cluster{}, false, err
	}
	if c.TrustDomain == "" {
		c.TrustDomain = string(c.Cluster) + "." + s.view.Federation
	}
	if err := s.checkJoin(c); err != nil {
		return model.Cluster{}, false, err
	}
	key := sha256.Sum256(c.AgentKey)
	repeated, err := mayUse(t, key[:], string(c.Cluster), at)
	if err != nil {
		return model.Cluster{}, false, err
	}
	held, member := s.view.Clusters[c.Cluster]
	if member && repeated && bytes.Equal(held.AgentKey, c.AgentKey) {
		return held, false, nil
	}
	if !inScope(t, string(c.Cluster)) {
		return model.Cluster{}, false, refuse(Denied, "token %s is for %s, not for %s: ask for a token for this cluster", t.ID, scopeOf(t), c.Cluster)
	}
	if err := s.checkFree(c); err != nil {
		return model.Cluster{}, false, err
	}
	next := model.Cluster{
		Name: c.Cluster, Incarnation: index, TrustDomain: c.TrustDomain, AgentKey: c.AgentKey,
		Region: c.Region, ExportNamespaces: t.ExportNamespaces, JoinedAt: at,
	}
	if member {
		next.Incarnation, next.JoinedAt = held.Incarnation, held.JoinedAt
	}
	s.touch(model.KindCluster, string(c.Cluster))
	own(s, clusters, &s.view.Clusters)[c.Cluster] = next
	s.bind(t, key[:], string(c.Cluster))
	return next, true, nil
}

func (s *State) checkJoin(c JoinCluster) error {
	if _, err := model.ParseClusterName(string(c.Cluster)); err != nil {
		return refuse(Invalid, "%v", err)
	}
	if c.Region != "" {
		if err := model.ValidateLabel("region", c.Region); err != nil {
			return refuse(Invalid, "%v", err)
		}
	}
	if len(c.AgentKey) == 0 || len(c.AgentKey) > codec.MaxPublicKey {
		return refuse(Invalid, "agent key has %d bytes: give a public key in PKIX DER of at most %d", len(c.AgentKey), codec.MaxPublicKey)
	}
	if !validTrustDomain(c.TrustDomain) {
		return refuse(Invalid, "trust domain %.80q is not valid: use lower-case letters, digits, '-', '_' and '.'", c.TrustDomain)
	}
	// Names under the federation's own are spoken for: they are what other clusters get when they name no trust domain.
	if c.TrustDomain == s.view.Federation {
		return refuse(Denied, "trust domain %s is the federation's own: leave it out to get %s.%s", c.TrustDomain, c.Cluster, s.view.Federation)
	}
	if strings.HasSuffix(c.TrustDomain, "."+s.view.Federation) && c.TrustDomain != string(c.Cluster)+"."+s.view.Federation {
		return refuse(Denied, "trust domain %s is reserved for another cluster of the federation: leave it out to get %s.%s", c.TrustDomain, c.Cluster, s.view.Federation)
	}
	return nil
}

// checkFree refuses a name or trust domain that another key holds.
func (s *State) checkFree(c JoinCluster) error {
	if held, ok := s.view.Clusters[c.Cluster]; ok {
		if !bytes.Equal(held.AgentKey, c.AgentKey) {
			return refuse(Conflict, "cluster name %s is taken by another agent's key: join under another name, restore that agent's key, or remove the cluster first", c.Cluster)
		}
		if held.TrustDomain != c.TrustDomain {
			return refuse(Conflict, "cluster %s is a member with trust domain %s: remove the cluster before it joins with %s", c.Cluster, held.TrustDomain, c.TrustDomain)
		}
		return nil
	}
	if other, ok := s.view.ClusterByTrustDomain(c.TrustDomain); ok {
		return refuse(Conflict, "trust domain %s is taken by cluster %s: choose another trust domain, or remove that cluster first", c.TrustDomain, other.Name)
	}
	return nil
}

func (s *State) removeCluster(name model.ClusterName) (bool, error) {
	c, ok := s.view.Clusters[name]
	if !ok {
		return false, refuse(NotFound, "there is no cluster %.80q", name)
	}
	s.touch(model.KindCluster, string(name))
	delete(own(s, clusters, &s.view.Clusters), name)
	if _, ok := s.view.Bundles[c.TrustDomain]; ok {
		s.touch(model.KindTrustDomain, c.TrustDomain)
		delete(own(s, bundles, &s.view.Bundles), c.TrustDomain)
	}
	s.revokeUsed(model.TokenCluster, string(name))
	return true, nil
}

func (s *State) putBundle(c PutBundle) (bool, error) {
	member, ok := s.view.Clusters[c.Cluster]
	if !ok {
		return false, refuse(NotFound, "there is no cluster %.80q", c.Cluster)
	}
	var held *model.SignedBundle
	if b, ok := s.view.Bundles[member.TrustDomain]; ok {
		if equalBundles(b, c.Bundle) {
			return false, nil
		}
		held = &b
	}
	content, err := s.rule(held, c.Bundle)
	if err != nil {
		return false, refuse(Denied, "bundle of cluster %s is refused: %v", c.Cluster, err)
	}
	if content.TrustDomain != member.TrustDomain {
		return false, refuse(Denied, "cluster %s may put the bundle of its own trust domain %s only, not of %.80q", c.Cluster, member.TrustDomain, content.TrustDomain)
	}
	s.touch(model.KindTrustDomain, member.TrustDomain)
	own(s, bundles, &s.view.Bundles)[member.TrustDomain] = c.Bundle
	return true, nil
}

func equalBundles(a, b model.SignedBundle) bool {
	if !bytes.Equal(a.Statement, b.Statement) || len(a.Signatures) != len(b.Signatures) {
		return false
	}
	for i, s := range a.Signatures {
		if !bytes.Equal(s.KeyHash, b.Signatures[i].KeyHash) || !bytes.Equal(s.Signature, b.Signatures[i].Signature) {
			return false
		}
	}
	return true
}

func checkNode(n model.Node) error {
	if _, err := codec.NodeFromProto(codec.NodeToProto(n)); err != nil {
		return refuse(Invalid, "%v", err)
	}
	if n.RaftAddress == "" || n.GRPCAddress == "" {
		return refuse(Invalid, "node %s must have a raft and a gRPC address", n.Name)
	}
	if n.CommandMax == 0 {
		return refuse(Invalid, "node %s does not say which command version it knows", n.Name)
	}
	return nil
}

// validTrustDomain is the character set of the SPIFFE ID standard, section 2.1.
func validTrustDomain(s string) bool {
	if s == "" || len(s) > codec.MaxTrustDomain {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.')
	})
}
