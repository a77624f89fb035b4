package main

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/server"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/atomicfile"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

// The files of a node's data folder.
const (
	nodeFile         = "node.json"
	nodeKeyFile      = "node.key"
	nodeChainFile    = "node.crt"
	issuingKeyFile   = "issuing.key"
	issuingChainFile = "issuing.crt"
	foundingFile     = "founding.json"
	raftFolder       = "raft"
)

// nodeIdentity is who a node is, on its disk.
type nodeIdentity struct {
	Federation string   `json:"federation"`
	Name       string   `json:"name"`
	GossipKeys [][]byte `json:"gossipKeys"`
	// GossipPeers are the gossip addresses of the nodes known at the join, to find the others before Raft answers.
	GossipPeers []string `json:"gossipPeers,omitempty"`
	// Replica is the role in which the node joined.
	Replica bool `json:"replica,omitempty"`
}

// founding is what "server init" leaves for the first start: the first entries of the log.
type founding struct {
	Root       []byte          `json:"root"`
	Operator   foundingToken   `json:"operator"`
	NodeTokens []foundingToken `json:"nodeTokens"`
}

// foundingToken is a model.Token with its hash, which the API's form of a token leaves out.
type foundingToken struct {
	ID         string          `json:"id"`
	Kind       model.TokenKind `json:"kind"`
	SecretHash []byte          `json:"secretHash"`
	CreatedAt  time.Time       `json:"createdAt"`
	ExpiresAt  time.Time       `json:"expiresAt"`
	Role       model.Role      `json:"role,omitempty"`
	Label      string          `json:"label,omitempty"`
}

func (t foundingToken) model() model.Token {
	return model.Token{
		ID: t.ID, Kind: t.Kind, SecretHash: t.SecretHash, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, Role: t.Role, Label: t.Label,
	}
}

func issuingName(node string) string { return "Hanse issuing CA of " + node }

func saveNodeIdentity(dir string, id nodeIdentity) error {
	data, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, nodeFile), data, 0o600)
}

// loadNodeIdentity reads who this node is; fs.ErrNotExist means that it is nobody yet.
func loadNodeIdentity(dir, name string) (nodeIdentity, error) {
	data, err := os.ReadFile(filepath.Join(dir, nodeFile))
	if err != nil {
		return nodeIdentity{}, err
	}
	var id nodeIdentity
	if err := json.Unmarshal(data, &id); err != nil {
		return nodeIdentity{}, fmt.Errorf("%s in --data-dir is damaged: %w", nodeFile, err)
	}
	if id.Name != name {
		return nodeIdentity{}, fmt.Errorf("--data-dir %s belongs to node %q, but --name is %q: give each node a folder of its own", dir, id.Name, name)
	}
	return id, nil
}

// takeRole gives the node the role in which it joined, or refuses to start when the operator says another.
func (p *serverParts) takeRole(own nodeIdentity) error {
	asked := p.node
	p.node.Replica = own.Replica
	if p.opts.roleGiven && asked.Replica != own.Replica {
		return usageError("--replica=%t is given, but --data-dir %s belongs to a node that joined as a %s, and a node keeps its role: leave --replica out; "+
			"for a %s start a node with another --name, an empty --data-dir and a token of its own", asked.Replica, p.opts.dataDir, p.node.Role(), asked.Role())
	}
	return nil
}

// loadFounding reads what "server init" left; nil when the node has nothing to found.
func loadFounding(dir string) (*founding, error) {
	data, err := os.ReadFile(filepath.Join(dir, foundingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f founding
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("%s in --data-dir is damaged: %w", foundingFile, err)
	}
	return &f, nil
}

// bootstrap is the first entry of the federation's log.
func (f *founding) bootstrap(federation string, node model.Node) *state.InitFederation {
	if f == nil {
		return nil
	}
	return &state.InitFederation{Name: federation, Root: f.Root, Node: node, OperatorToken: f.Operator.model()}
}

// issueOwnCertificate signs this node's certificate with its own issuing CA.
func issueOwnCertificate(dir string, issuing *ca.Authority, federation string, node model.Node, now time.Time) error {
	key, err := identity.LoadOrCreateKey(filepath.Join(dir, nodeKeyFile))
	if err != nil {
		return err
	}
	names, ips := hostNames(node)
	chain, err := issuing.Issue(ca.LeafRequest{
		PublicKey: key.Public(), SPIFFEID: model.NodeID(federation, node.Name), CommonName: node.Name,
		DNSNames: names, IPs: ips, TTL: server.NodeTTL, Now: now,
	})
	if err != nil {
		return err
	}
	return identity.SaveChain(filepath.Join(dir, nodeChainFile), chain)
}

// hostNames are the names and addresses by which a node is dialled.
func hostNames(node model.Node) (names []string, ips []net.IP) {
	for _, address := range []string{node.GRPCAddress, node.RESTAddress} {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			continue
		}
		if ip := net.ParseIP(host); ip != nil {
			ips = append(ips, ip)
		} else if host != "" {
			names = append(names, host)
		}
	}
	return names, ips
}

// loadIssuing loads the node's issuing CA.
func loadIssuing(dir string) (*ca.Authority, error) {
	key, err := identity.LoadOrCreateKey(filepath.Join(dir, issuingKeyFile))
	if err != nil {
		return nil, err
	}
	chain, err := identity.LoadChain(filepath.Join(dir, issuingChainFile))
	if err != nil {
		return nil, err
	}
	return ca.NewAuthority(key, chain)
}

// joinFederation redeems a node token: it sends the public halves of two keys and gets them certified.
func joinFederation(ctx context.Context, dir string, node model.Node, text string) (nodeIdentity, error) {
	t, err := token.Parse(text)
	if err != nil {
		return nodeIdentity{}, usageError("--join: %w", err)
	}
	if err := t.Require(model.TokenNode); err != nil {
		return nodeIdentity{}, usageError("--join: %w", err)
	}
	req, err := joinRequest(dir, node, t)
	if err != nil {
		return nodeIdentity{}, err
	}
	resp, err := callPinned(ctx, t, func(ctx context.Context, c grpc.ClientConnInterface) (*hansev1.JoinNodeResponse, error) {
		return hansev1.NewNodeServiceClient(c).JoinNode(ctx, req)
	})
	if err != nil {
		return nodeIdentity{}, fmt.Errorf("join the federation: %w", err)
	}
	id := nodeIdentity{Federation: resp.GetFederation(), Name: node.Name, GossipKeys: resp.GetGossipKeys(), Replica: node.Replica}
	for _, p := range resp.GetNodes() {
		peer, err := codec.NodeFromProto(p)
		switch {
		case err != nil:
		case peer.Name != node.Name:
			id.GossipPeers = append(id.GossipPeers, peer.GossipAddress)
		case peer.Replica != node.Replica:
			return nodeIdentity{}, fmt.Errorf("the federation took this node in as a %s and not as a %s: its nodes are of an older version; upgrade them, and join under another --name", peer.Role(), node.Role())
		}
	}
	if err := identity.SaveChain(filepath.Join(dir, nodeChainFile), resp.GetCertificates()); err != nil {
		return nodeIdentity{}, err
	}
	if err := identity.SaveChain(filepath.Join(dir, issuingChainFile), resp.GetCaCertificates()); err != nil {
		return nodeIdentity{}, err
	}
	// node.json comes last: with it the join is complete, without it the same keys simply repeat it.
	return id, saveNodeIdentity(dir, id)
}

func joinRequest(dir string, node model.Node, t token.Token) (*hansev1.JoinNodeRequest, error) {
	csr, err := csrFor(filepath.Join(dir, nodeKeyFile), node.Name)
	if err != nil {
		return nil, err
	}
	caCSR, err := csrFor(filepath.Join(dir, issuingKeyFile), issuingName(node.Name))
	if err != nil {
		return nil, err
	}
	return &hansev1.JoinNodeRequest{TokenId: t.ID, Secret: t.Secret, Csr: csr, CaCsr: caCSR, Node: codec.NodeToProto(node)}, nil
}

func csrFor(keyPath, name string) ([]byte, error) {
	key, err := identity.LoadOrCreateKey(keyPath)
	if err != nil {
		return nil, err
	}
	return ca.CSR(key, name)
}

// loadCredentials fills an identity source from a key and a chain on disk.
func loadCredentials(src *identity.Source, keyPath, chainPath string) error {
	key, err := identity.LoadOrCreateKey(keyPath)
	if err != nil {
		return err
	}
	chain, err := identity.LoadChain(chainPath)
	if err != nil {
		return err
	}
	return setCredentials(src, key, chain)
}

// setCredentials trusts the root at the end of the own chain.
func setCredentials(src *identity.Source, key crypto.Signer, chain [][]byte) error {
	return src.Set(identity.Credentials{Chain: chain, Key: key, Roots: chain[len(chain)-1:]})
}
