package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRoot(t *testing.T, domain string) *Authority {
	t.Helper()
	a, err := NewRoot(RootOptions{TrustDomain: domain, CommonName: domain + " root", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func csr(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := CSR(key, "someone")
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func subordinate(t *testing.T, parent *Authority) *Authority {
	t.Helper()
	key := newKey(t)
	chain, err := parent.Intermediate(csr(t, key), IntermediateOptions{CommonName: "node", TTL: 365 * 24 * time.Hour, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewAuthority(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLeafChainsToTheRootByTheStandard(t *testing.T) {
	root := newRoot(t, "acme")
	issuer := subordinate(t, subordinate(t, root))
	key := newKey(t)
	chain, err := issuer.Issue(LeafRequest{
		CSR: csr(t, key), SPIFFEID: "spiffe://acme/server/n1", CommonName: "n1",
		DNSNames: []string{"n1.example"}, IPs: []net.IP{net.IPv4(10, 0, 0, 1)}, TTL: time.Hour, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) != 4 || !bytes.Equal(chain[3], root.Root()) || !bytes.Equal(issuer.Root(), root.Root()) {
		t.Fatalf("chain of %d does not end with the root", len(chain))
	}
	leaf := parse(t, chain[0])
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(parse(t, chain[3]))
	between.AddCert(parse(t, chain[1]))
	between.AddCert(parse(t, chain[2]))
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature:
		t.Error("leaf may sign certificates")
	case len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://acme/server/n1":
		t.Errorf("URI names %v", leaf.URIs)
	case leaf.Subject.CommonName != "n1" || len(leaf.DNSNames) != 1 || len(leaf.IPAddresses) != 1:
		t.Errorf("names %v %v %v", leaf.Subject, leaf.DNSNames, leaf.IPAddresses)
	case !leaf.PublicKey.(*ecdsa.PublicKey).Equal(key.Public()):
		t.Error("certificate is for another key")
	case !leaf.NotBefore.Equal(now.Add(-Skew)) || !leaf.NotAfter.Equal(now.Add(time.Hour)):
		t.Errorf("valid from %s to %s", leaf.NotBefore, leaf.NotAfter)
	}
}

func TestRootCertificate(t *testing.T) {
	c := parse(t, newRoot(t, "acme").Root())
	if !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0 || len(c.URIs) != 1 || c.URIs[0].String() != "spiffe://acme" {
		t.Fatalf("root: CA %v, usage %b, names %v", c.IsCA, c.KeyUsage, c.URIs)
	}
	if !c.NotAfter.Equal(now.Add(RootTTL)) {
		t.Fatalf("root ends %s", c.NotAfter)
	}
}

func TestNothingOutlivesItsIssuer(t *testing.T) {
	root := newRoot(t, "acme")
	issuer := subordinate(t, root)
	chain, err := issuer.Issue(LeafRequest{PublicKey: newKey(t).Public(), SPIFFEID: "spiffe://acme/agent/a", TTL: 2 * RootTTL, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if leaf := parse(t, chain[0]); !leaf.NotAfter.Equal(issuer.NotAfter()) {
		t.Fatalf("leaf ends %s, its issuer %s", leaf.NotAfter, issuer.NotAfter())
	}
}

func TestIssueRefuses(t *testing.T) {
	root := newRoot(t, "acme")
	edPublic, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged := csr(t, newKey(t))
	forged[len(forged)-3] ^= 1
	good := LeafRequest{PublicKey: newKey(t).Public(), SPIFFEID: "spiffe://acme/agent/a", TTL: time.Hour, Now: now}
	for name, change := range map[string]func(*LeafRequest){
		"another domain":     func(r *LeafRequest) { r.SPIFFEID = "spiffe://other/agent/a" },
		"no path":            func(r *LeafRequest) { r.SPIFFEID = "spiffe://acme" },
		"no SPIFFE ID":       func(r *LeafRequest) { r.SPIFFEID = "https://acme/agent/a" },
		"no key":             func(r *LeafRequest) { r.PublicKey = nil },
		"another kind":       func(r *LeafRequest) { r.PublicKey = edPublic },
		"no time":            func(r *LeafRequest) { r.TTL = 0 },
		"issuer not yet":     func(r *LeafRequest) { r.Now = now.Add(-time.Hour) },
		"issuer expired":     func(r *LeafRequest) { r.Now = now.Add(2 * RootTTL) },
		"unproven request":   func(r *LeafRequest) { r.CSR = forged },
		"garbage request":    func(r *LeafRequest) { r.CSR = []byte{1, 2, 3} },
		"enormous request":   func(r *LeafRequest) { r.CSR = make([]byte, maxCSR+1) },
		"empty, not missing": func(r *LeafRequest) { r.CSR = []byte{} },
	} {
		r := good
		change(&r)
		if _, err := root.Issue(r); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
	if _, err := root.Issue(good); err != nil {
		t.Fatal(err)
	}
}

func TestClockErrorNamesBothTimes(t *testing.T) {
	root := newRoot(t, "acme")
	at := now.Add(-time.Hour)
	_, err := root.Issue(LeafRequest{PublicKey: newKey(t).Public(), SPIFFEID: "spiffe://acme/agent/a", TTL: time.Hour, Now: at})
	if err == nil {
		t.Fatal("issued before the CA is valid")
	}
	for _, want := range []string{at.Format(time.RFC3339), now.Add(-Skew).Format(time.RFC3339), "clocks may differ"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	a := newRoot(t, "acme")
	for len(a.chain) < MaxDepth-1 {
		a = subordinate(t, a)
	}
	if chain, err := a.Issue(LeafRequest{PublicKey: newKey(t).Public(), SPIFFEID: "spiffe://acme/agent/a", TTL: time.Hour, Now: now}); err != nil || len(chain) != MaxDepth {
		t.Fatalf("the deepest CA must still issue: %d, %v", len(chain), err)
	}
	if _, err := a.Intermediate(csr(t, newKey(t)), IntermediateOptions{TTL: time.Hour, Now: now}); err == nil {
		t.Fatal("certified a CA whose leaves nobody would verify")
	}
}

func TestSaveThenLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	a := subordinate(t, newRoot(t, "acme"))
	if _, err := Load(dir, "issuing"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("nothing saved: %v, want fs.ErrNotExist", err)
	}
	if err := a.Save(dir, "issuing"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "issuing.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	b, err := Load(dir, "issuing")
	if err != nil {
		t.Fatal(err)
	}
	if b.TrustDomain() != "acme" || !bytes.Equal(b.Root(), a.Root()) || len(b.Chain()) != 2 ||
		!b.Signer().Public().(*ecdsa.PublicKey).Equal(a.Signer().Public()) {
		t.Fatal("loaded another authority than was saved")
	}
}

func TestAuthorityMustBeWhole(t *testing.T) {
	root := newRoot(t, "acme")
	sub := subordinate(t, root)
	leaf, err := root.Issue(LeafRequest{PublicKey: sub.key.Public(), SPIFFEID: "spiffe://acme/agent/a", TTL: time.Hour, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key   crypto.Signer
		chain [][]byte
	}{
		"no chain":       {sub.key, nil},
		"another's key":  {newKey(t), sub.chain},
		"broken chain":   {sub.key, [][]byte{sub.chain[0], newRoot(t, "acme").Root()}},
		"without root":   {sub.key, sub.chain[:1]},
		"a leaf":         {sub.key, leaf},
		"garbage":        {sub.key, [][]byte{{1}}},
		"wrong order":    {root.key, [][]byte{sub.chain[1], sub.chain[0]}},
		"endless chains": {sub.key, append(make([][]byte, MaxDepth), sub.chain...)},
	} {
		if _, err := NewAuthority(c.key, c.chain); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLoadRefusesGarbage(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "noise": "noise", "bad-key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := os.WriteFile(filepath.Join(dir, name+".pem"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, name); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}
