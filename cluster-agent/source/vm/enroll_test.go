package vm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

func TestTokenErrorsAreToldApart(t *testing.T) {
	cases := map[string]struct {
		spoil func(s *site, token *hansev1.EnrollRequest)
		code  codes.Code
		says  string
	}{
		"unknown":      {func(_ *site, r *hansev1.EnrollRequest) { r.TokenId = "0123" }, codes.NotFound, "unknown"},
		"wrong secret": {func(_ *site, r *hansev1.EnrollRequest) { r.Secret += "x" }, codes.NotFound, "secret is wrong"},
		"no secret":    {func(_ *site, r *hansev1.EnrollRequest) { r.Secret = "" }, codes.NotFound, "secret is wrong"},
		"expired": {func(s *site, _ *hansev1.EnrollRequest) { s.clock.Advance(time.Hour) },
			codes.PermissionDenied, "expired at 2026-03-01T13:00:00Z"},
		"used up": {func(s *site, r *hansev1.EnrollRequest) {
			if _, err := s.enroll(newMachine(s.t, "vm-9"), r); err != nil {
				s.t.Fatal(err)
			}
		}, codes.PermissionDenied, "used up (1 of 1, by vm-9)"},
		"revoked": {func(s *site, r *hansev1.EnrollRequest) {
			if err := s.Revoke(r.GetTokenId()); err != nil {
				s.t.Fatal(err)
			}
		}, codes.PermissionDenied, "is revoked"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, t.TempDir())
			token := s.mint(TokenSpec{Namespace: "shop"})
			c.spoil(s, token)
			_, err := s.enroll(newMachine(t, "vm-1"), token)
			wantStatus(t, err, c.code, c.says)
		})
	}
}

func TestCertificateFollowsTheToken(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := newMachine(t, "vm-1")
	r, err := s.enroll(m, s.mint(TokenSpec{Namespace: "shop", ServiceAccount: "till"}))
	if err != nil {
		t.Fatal(err)
	}
	want := "spiffe://hamburg.example/ns/shop/sa/till"
	if r.GetSpiffeId() != want || string(r.GetCertificates()[0]) != want || string(r.GetCertificates()[1]) != "vm-1" {
		t.Errorf("got %q, signed for %q", r.GetSpiffeId(), r.GetCertificates())
	}
	if ttl := string(r.GetCertificates()[2]); ttl != "24h0m0s" {
		t.Errorf("signed for %s", ttl)
	}
}

func TestSameKeyRepeatsWithoutSpending(t *testing.T) {
	s := newSite(t, t.TempDir())
	token := s.mint(TokenSpec{Namespace: "shop", Uses: 2})
	a, b := newMachine(t, "vm-1"), newMachine(t, "vm-2")
	for _, m := range []*machine{a, a, b, a, b} {
		if _, err := s.enroll(m, token); err != nil {
			t.Fatal(err)
		}
	}
	s.clock.Advance(48 * time.Hour)
	if _, err := s.enroll(a, token); err != nil {
		t.Errorf("a machine that outslept its token cannot come back: %v", err)
	}
	s.clock.Advance(repeatGrace)
	_, err := s.enroll(a, token)
	wantStatus(t, err, codes.PermissionDenied, "expired")
	if used := s.Tokens()[0].UsedBy; len(used) != 2 {
		t.Errorf("%d uses are spent, want 2", len(used))
	}
}

func TestLostSignatureBurnsNothing(t *testing.T) {
	s := newSite(t, t.TempDir())
	token, m := s.mint(TokenSpec{Namespace: "shop"}), newMachine(t, "vm-1")
	s.signer.fail = errors.New("no key")
	_, err := s.enroll(m, token)
	wantStatus(t, err, codes.Unavailable, "cannot sign")
	s.signer.fail = nil
	if _, err := s.enroll(m, token); err != nil {
		t.Errorf("the second attempt failed: %v", err)
	}
}

func TestTakingOverAWorkloadID(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := s.enrolled("vm-1")
	l := s.attach(m, payments())
	again := newMachine(t, "vm-1")
	_, err := s.enroll(again, s.mint(TokenSpec{Namespace: "shop", Services: []string{"payments"}}))
	wantStatus(t, err, codes.AlreadyExists, "its proxy is attached")
	l.cancel()
	s.until("the stream has ended", func() bool { return !s.Attached("vm-1") })
	_, err = s.enroll(again, s.mint(TokenSpec{Namespace: "bank"}))
	wantStatus(t, err, codes.AlreadyExists, "belongs to shop/default")
	if _, err := s.enroll(again, s.mint(TokenSpec{Namespace: "shop", Services: []string{"payments"}})); err != nil {
		t.Fatalf("a reinstalled machine cannot enrol: %v", err)
	}
	s.attach(again, payments())
	_, _, err = s.open(m, payments())
	wantStatus(t, err, codes.Unauthenticated, "enrolled with another key")
}

func TestRefusedRequests(t *testing.T) {
	s := newSite(t, t.TempDir())
	token := s.mint(TokenSpec{Namespace: "shop"})
	m := newMachine(t, "vm-1")
	good := m.csr
	_, err := s.enroll(newMachine(t, "VM 1"), token)
	wantStatus(t, err, codes.InvalidArgument, "workload")
	for name, csr := range map[string][]byte{
		"empty": nil, "junk": []byte("junk"), "huge": make([]byte, maxCSR+1), "cut": good[:len(good)-1],
		"broken signature": append(bytes.Clone(good[:len(good)-4]), 1, 2, 3, 4),
	} {
		m.csr = csr
		_, err := s.enroll(m, token)
		wantStatus(t, err, codes.InvalidArgument, "csr")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	for name, key := range unfitKeys(t) {
		var err error
		if m.csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key); err != nil {
			t.Fatal(err)
		}
		_, err = s.enroll(m, token)
		wantStatus(t, err, codes.InvalidArgument, "P-256")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	m.csr = good
	if _, err := s.enroll(m, token); err != nil {
		t.Errorf("refused requests spent the token: %v", err)
	}
}

// unfitKeys are keys that no CA of ours certifies.
func unfitKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	long, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"P-521": long, "Ed25519": edwards}
}

func TestRenewNeedsTheEnrolledKey(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := s.enrolled("vm-1")
	renew := func(m *machine, csr []byte) (*hansev1.RenewResponse, error) {
		return s.client.Renew(m.context(s.ctx), &hansev1.RenewRequest{Csr: csr})
	}
	r, err := renew(m, m.csr)
	if err != nil || string(r.GetCertificates()[0]) != m.spiffe || string(r.GetRoots()[0]) != "root" {
		t.Fatalf("renewed %q, %v", r.GetCertificates(), err)
	}
	other := newMachine(t, "vm-1")
	_, err = renew(m, other.csr)
	wantStatus(t, err, codes.InvalidArgument, "another key")
	_, err = renew(other, other.csr)
	wantStatus(t, err, codes.Unauthenticated, "enrolled with another key")
	stranger := newMachine(t, "vm-7")
	_, err = renew(stranger, stranger.csr)
	wantStatus(t, err, codes.Unauthenticated, "not enrolled with cluster hamburg")
	_, err = s.client.Renew(s.ctx, &hansev1.RenewRequest{Csr: m.csr})
	wantStatus(t, err, codes.Unauthenticated, "certificate")
	if err := s.Forget("vm-1"); err != nil {
		t.Fatal(err)
	}
	_, err = renew(m, m.csr)
	wantStatus(t, err, codes.Unauthenticated, "not enrolled")
}

func TestForgottenWorkloadCannotRepeatItsToken(t *testing.T) {
	s := newSite(t, t.TempDir())
	token, m := s.mint(TokenSpec{Namespace: "shop"}), newMachine(t, "vm-1")
	if _, err := s.enroll(m, token); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget("vm-1"); err != nil {
		t.Fatal(err)
	}
	_, err := s.enroll(m, token)
	wantStatus(t, err, codes.PermissionDenied, "used up")
	if err := s.Forget("vm-1"); err == nil {
		t.Error("an unknown workload was forgotten without a word")
	}
}

func TestTokensAndEnrolmentsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s := newSite(t, dir)
	token, m := s.mint(TokenSpec{Namespace: "shop"}), newMachine(t, "vm-1")
	if _, err := s.enroll(m, token); err != nil {
		t.Fatal(err)
	}
	revoked := s.mint(TokenSpec{Namespace: "shop"})
	if err := s.Revoke(revoked.GetTokenId()); err != nil {
		t.Fatal(err)
	}
	// The first process is not asked to close: what it answered must be on disk already.
	s = newSite(t, dir)
	if _, err := s.client.Renew(m.context(s.ctx), &hansev1.RenewRequest{Csr: m.csr}); err != nil {
		t.Errorf("renewal after a restart: %v", err)
	}
	_, err := s.enroll(newMachine(t, "vm-2"), token)
	wantStatus(t, err, codes.PermissionDenied, "used up")
	_, err = s.enroll(newMachine(t, "vm-2"), revoked)
	wantStatus(t, err, codes.PermissionDenied, "revoked")
	data, err := os.ReadFile(filepath.Join(dir, "tokens.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), token.GetSecret()) {
		t.Error("the secret is on disk")
	}
	if info, err := os.Stat(filepath.Join(dir, "tokens.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
}

func TestDamagedStateIsNamed(t *testing.T) {
	for _, name := range []string{"tokens.json", "enrolments.json"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("{half"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := New(Config{Dir: dir, TrustDomain: domain, Cluster: "hamburg", Signer: &fakeSigner{}, Peer: peerOf})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want an error that names %s", err, path)
		}
	}
}

func TestMintRefusals(t *testing.T) {
	s := newSite(t, t.TempDir())
	for name, spec := range map[string]TokenSpec{
		"no namespace":              {},
		"bad service":               {Namespace: "shop", Services: []string{"a b"}},
		"bad account":               {Namespace: "shop", ServiceAccount: "A"},
		"too many uses":             {Namespace: "shop", Uses: MaxTokenUses + 1},
		"negative ttl":              {Namespace: "shop", TTL: -1},
		"gateway elsewhere":         {Namespace: "shop", Gateway: true},
		"gateway with a service":    {Gateway: true, Services: []string{AnyService}},
		"the site's own namespace":  {Namespace: model.SystemNamespace, ServiceAccount: model.GatewayServiceAccount},
		"another account of a site": {Namespace: model.SystemNamespace, ServiceAccount: model.AgentServiceAccount, Gateway: true},
	} {
		if _, _, err := s.Mint(spec); err == nil {
			t.Errorf("%s: minted", name)
		}
	}
	if err := s.Revoke("0123"); err == nil {
		t.Error("an unknown token was revoked without a word")
	}
}

func TestEnrolmentsAreBounded(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := s.enrolled("vm-1")
	s.attach(m, payments())
	for i := len(s.enrolments); i < maxWorkloads; i++ {
		id := "old-" + time.Duration(i).String()
		s.enrolments[id] = enrolment{Workload: id, CertificateExpiry: start.Add(time.Hour)}
	}
	token := s.mint(TokenSpec{Namespace: "shop", TTL: 100 * time.Hour})
	_, err := s.enroll(newMachine(t, "vm-2"), token)
	wantStatus(t, err, codes.ResourceExhausted, "10000 workloads")
	s.clock.Advance(30 * time.Hour)
	if _, err := s.enroll(newMachine(t, "vm-2"), token); err != nil {
		t.Fatal(err)
	}
	if n := len(s.enrolments); n != 2 {
		t.Errorf("%d enrolments are left, want the attached one and the new one", n)
	}
}
