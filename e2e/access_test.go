//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/trust/ca"
)

// TestAccess loses the only admin's token, finds the way back in over the leader's own socket, and goes on as an operator who shows a
// certificate to a node that does not lead.
func TestAccess(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	f := newFederation(t, ctx, 3, nil)
	leader := f.waitLeader(ctx)
	follower := f.nodes[0]
	if follower == leader {
		follower = f.nodes[1]
	}
	over := func(n *node, args ...string) []string {
		return append([]string{"--socket", filepath.Join(n.dir, "admin.sock")}, args...)
	}
	lost := parse(t, f.operator)
	(invocation{args: []string{"token", "revoke", lost.ID}, env: []string{"HANSE_OPERATOR_TOKEN=" + f.operator}}).check(t, f.binary)
	create := []string{"token", "create", "operator", "--role", "admin", "--label", "ann"}
	checkAll(t, f.binary, []invocation{
		{name: "the token is lost", args: []string{"status", "--operator-token", f.operator}, code: exitDenied, says: []string{"revoked"}},
		{name: "a follower's socket reads", args: over(follower, "get", "nodes")},
		{name: "and names the leader for the rest", args: over(follower, create...), code: exitFailure, says: []string{"socket of node " + leader.name}},
	})
	text := strings.TrimSpace((invocation{args: over(leader, create...)}).check(t, f.binary))
	f.operator = text

	certificate, key := f.certify(ctx, "bob")
	asBob := []string{"--certificate", certificate, "--key", key, "--server", follower.rest, "--pin", hex.EncodeToString(lost.Pin)}
	binding := filepath.Join(f.dir, "binding.yaml")
	document := "kind: RoleBinding\nname: bobs\nspec: {role: operator, subjects: [{kind: certificate, name: bob}]}\n"
	rule := filepath.Join(f.dir, "rule.yaml")
	if err := os.WriteFile(rule, []byte("kind: ExportRule\nname: all\nspec: {from: ['*'], namespaces: [shop], to: ['*']}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binding, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	checkAll(t, f.binary, []invocation{
		{name: "bob has no role yet", args: append(asBob, "get", "nodes"), code: exitDenied, says: []string{"bob may not"}},
		{name: "a follower takes the new token", args: []string{"apply", "-f", binding, "--server", follower.rest}, env: []string{"HANSE_OPERATOR_TOKEN=" + text}},
		{name: "bob writes through a follower", args: append(asBob, "apply", "-f", rule)},
		{name: "and administers nothing", args: append(asBob, "token", "create", "node"), code: exitDenied, says: []string{"bob may not", "admin"}},
	})
	f.checkAudit(ctx, leader)
}

// certify has the federation sign a certificate for an operator, and returns the files of certificate and key.
func (f *federation) certify(ctx context.Context, name string) (certificate, key string) {
	f.t.Helper()
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	csr, err := ca.CSR(made, name)
	if err != nil {
		f.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		f.t.Fatal(err)
	}
	api, err := newAPI(f.nodes[0].rest, f.operator)
	if err != nil {
		f.t.Fatal(err)
	}
	asked := rest.NewOperatorCertificate{Name: name, CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))}
	r, err := api.do(ctx, "POST", "/v1/operator-certificates", asked)
	var answer rest.OperatorCertificate
	if err != nil || r.status != 201 || json.Unmarshal(r.body, &answer) != nil {
		f.t.Fatalf("%v: %d %s", err, r.status, r.body)
	}
	certificate, key = filepath.Join(f.dir, name+".crt"), filepath.Join(f.dir, name+".key")
	for path, text := range map[string][]byte{certificate: []byte(answer.Chain), key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	return certificate, key
}

// checkAudit looks for who did what, in the log of the one who took it.
func (f *federation) checkAudit(ctx context.Context, leader *node) {
	f.t.Helper()
	api, err := newAPI(leader.rest, f.operator)
	if err != nil {
		f.t.Fatal(err)
	}
	r, err := api.do(ctx, "GET", "/v1/audit", nil)
	if err != nil || r.status != 200 {
		f.t.Fatalf("%v: %d %s", err, r.status, r.body)
	}
	for _, says := range []string{`@` + leader.name + `","credential":"socket ` + leader.name + `"`, `"name":"ann","credential":"token `, `"name":"bob","credential":"certificate","address":"127.0.0.1:`} {
		if !strings.Contains(string(r.body), says) {
			f.t.Errorf("the audit log does not say %s: %s", says, r.body)
		}
	}
}
