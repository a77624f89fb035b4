package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

// foundation makes a federation in a fresh folder and gives its lock back.
func foundation(t *testing.T) (serverOptions, foundingReport, string) {
	t.Helper()
	dir := t.TempDir()
	o := serverOptions{
		dataDir: filepath.Join(dir, "data"), name: "n1", region: "eu",
		grpc: endpoint{listen: "127.0.0.1:7700"}, rest: endpoint{listen: "127.0.0.1:7701", advertise: "rest.example.org:443"},
		raft: endpoint{listen: "127.0.0.1:7702"}, gossip: endpoint{listen: "127.0.0.1:7703"},
	}
	made, err := foundFederation(o, "example.org", filepath.Join(dir, "operator", "token"), filepath.Join(dir, "root.key"))
	unlockDataDir()
	if err != nil {
		t.Fatal(err)
	}
	return o, made, dir
}

func TestFoundingRoundTrip(t *testing.T) {
	o, made, dir := foundation(t)
	begin, err := loadFounding(o.dataDir)
	if err != nil || begin == nil {
		t.Fatalf("what the founding left cannot be read: %v", err)
	}
	node, err := o.node()
	if err != nil {
		t.Fatal(err)
	}
	first := begin.bootstrap("example.org", node)
	if first.Name != "example.org" || first.Node != node || len(first.Root) == 0 {
		t.Errorf("the first entry: %+v", first)
	}
	text, err := os.ReadFile(made.OperatorTokenFile)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := token.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if held := first.OperatorToken; held.ID != operator.ID || held.Kind != model.TokenOperator || !bytes.Equal(held.SecretHash, token.Hash(operator.Secret)) || !held.ExpiresAt.IsZero() {
		t.Errorf("the operator's token is not the one that the log begins with: %+v", held)
	}
	if held := first.OperatorToken; held.Role != model.RoleAdmin || held.Label == "" {
		t.Errorf("the first operator is no admin with a name: %+v", held)
	}
	if !bytes.Equal(operator.Pin, pinOf(first.Root)) || operator.Addresses[0] != node.RESTAddress {
		t.Errorf("the operator's token leads elsewhere: %+v", operator)
	}
	if len(made.NodeTokens) != firstNodeTokens || len(begin.NodeTokens) != firstNodeTokens {
		t.Fatalf("%d tokens printed, %d kept", len(made.NodeTokens), len(begin.NodeTokens))
	}
	for i, text := range made.NodeTokens {
		printed, err := token.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if kept := begin.NodeTokens[i].model(); kept.ID != printed.ID || !bytes.Equal(kept.SecretHash, token.Hash(printed.Secret)) || kept.ExpiresAt.Sub(kept.CreatedAt) != firstNodeTokenTTL {
			t.Errorf("token %d: printed %+v, kept %+v", i, printed, kept)
		}
	}
	data, err := os.ReadFile(filepath.Join(o.dataDir, foundingFile))
	if err != nil || bytes.Contains(data, []byte(operator.Secret)) {
		t.Errorf("the secret itself is kept: %v", err)
	}
	for _, secret := range []string{made.OperatorTokenFile, made.RootKeyFile} {
		if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", filepath.Base(secret), info.Mode(), err)
		}
	}
	if _, err := foundFederation(o, "example.org", filepath.Join(dir, "other"), filepath.Join(dir, "other.key")); err == nil || !strings.Contains(err.Error(), "already belongs") {
		t.Errorf("founded twice: %v", err)
	}
	unlockDataDir()
}

func TestKeptTokenSurvivesTheDisk(t *testing.T) {
	secret := token.Token{Kind: model.TokenNode, ID: "id", Secret: "secret"}
	kept := keptToken(secret, start, start.Add(time.Hour))
	data, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	var back foundingToken
	if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(back, kept) {
		t.Errorf("%+v became %+v (%v)", kept, back, err)
	}
	if m := back.model(); !bytes.Equal(m.SecretHash, token.Hash("secret")) || !m.ExpiresAt.Equal(start.Add(time.Hour)) {
		t.Errorf("as the federation holds it: %+v", m)
	}
}

func TestTheNodesOwnIdentity(t *testing.T) {
	o, _, _ := foundation(t)
	if _, err := loadNodeIdentity(t.TempDir(), "n1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := loadNodeIdentity(o.dataDir, "n2"); err == nil || !strings.Contains(err.Error(), `belongs to node "n1"`) {
		t.Errorf("another node's folder: %v", err)
	}
	own, err := loadNodeIdentity(o.dataDir, "n1")
	if err != nil || own.Federation != "example.org" || len(own.GossipKeys) != 1 {
		t.Fatalf("%+v, %v", own, err)
	}
	issuing, err := loadIssuing(o.dataDir)
	if err != nil {
		t.Fatal(err)
	}
	node, _ := o.node()
	p := &serverParts{opts: o, node: node, own: own, issuing: issuing, clock: clock.Real{}, identity: identity.NewSource(clock.Real{})}
	if p.certifiedNames() {
		t.Error("no certificate is valid for any name")
	}
	if err := loadCredentials(p.identity, filepath.Join(o.dataDir, nodeKeyFile), filepath.Join(o.dataDir, nodeChainFile)); err != nil {
		t.Fatal(err)
	}
	if !p.certifiedNames() {
		t.Error("the first certificate lacks a name")
	}
	p.node.RESTAddress = "moved.example.org:443"
	if p.certifiedNames() {
		t.Error("the certificate is said to be valid for a name that it lacks")
	}
	if err := p.issueAnew(); err != nil || !p.certifiedNames() {
		t.Errorf("the new certificate lacks the new name (%v)", err)
	}
}

func TestNothingToFound(t *testing.T) {
	f, err := loadFounding(t.TempDir())
	if f != nil || err != nil || f.bootstrap("example.org", model.Node{}) != nil {
		t.Errorf("%+v, %v", f, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, foundingFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadFounding(dir); err == nil || !strings.Contains(err.Error(), foundingFile) {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestAMembersFolder(t *testing.T) {
	dir := t.TempDir()
	if _, err := loadMember(dir, "eu"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	m := member{Federation: "example.org", Cluster: "eu", TrustDomain: "eu.example.org", Incarnation: 3, Region: "eu", Servers: []string{"a:1"}}
	if err := m.save(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := loadMember(dir, "eu"); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := loadMember(dir, "us"); err == nil || !strings.Contains(err.Error(), `belongs to cluster "eu"`) {
		t.Errorf("another cluster's folder: %v", err)
	}
}
