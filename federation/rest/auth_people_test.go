package rest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
)

// people is who there is beside the holders of tokens: the federation's CA with what it has signed, and an identity provider.
type people struct {
	t         *testing.T
	clock     *clock.Fake
	authority *ca.Authority
	source    *identity.Source
	provider  *ecdsa.PrivateKey
}

func newPeople(t *testing.T, c *clock.Fake) *people {
	t.Helper()
	authority, err := ca.NewRoot(ca.RootOptions{TrustDomain: "acme", Now: start})
	if err != nil {
		t.Fatal(err)
	}
	p := &people{t: t, clock: c, authority: authority, source: identity.NewSource(c), provider: newKey(t)}
	if err := p.source.Set(identity.Credentials{Roots: [][]byte{authority.Root()}}); err != nil {
		t.Fatal(err)
	}
	return p
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (p *people) Peer(connection tls.ConnectionState) (string, error) {
	id, err := p.source.VerifyState(connection)
	return id.String(), err
}

func (p *people) Issue(csr []byte, id string, ttl time.Duration, now time.Time) ([][]byte, error) {
	return p.authority.Issue(ca.LeafRequest{CSR: csr, SPIFFEID: id, TTL: ttl, Now: now})
}

// shows has a request come over a connection whose client has proven to be id.
func (p *people) shows(id string) func(*http.Request) {
	p.t.Helper()
	return p.showsOf(p.authority, id)
}

func (p *people) showsOf(authority *ca.Authority, id string) func(*http.Request) {
	p.t.Helper()
	chain, err := authority.Issue(ca.LeafRequest{PublicKey: newKey(p.t).Public(), SPIFFEID: id, TTL: time.Hour, Now: p.clock.Now()})
	if err != nil {
		p.t.Fatal(err)
	}
	return presents(p.t, chain)
}

func presents(t *testing.T, chain [][]byte) func(*http.Request) {
	t.Helper()
	state := &tls.ConnectionState{HandshakeComplete: true}
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		state.PeerCertificates = append(state.PeerCertificates, c)
	}
	return func(r *http.Request) { r.TLS = state }
}

// operator shows an operator's certificate and nothing else.
func (p *people) operator(name string) func(*http.Request) {
	shows := p.shows(model.OperatorID("acme", name))
	return func(r *http.Request) {
		authorization("")(r)
		shows(r)
	}
}

// jwt is a token of the provider for a user.
func (p *people) jwt(user string, groups ...string) string {
	p.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: p.provider}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{
		"iss": "https://login.acme.example", "aud": "hanse", "sub": user, "groups": groups, "exp": p.clock.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// document is the provider as the federation knows it, with its keys.
func (p *people) document() policy.IdentityProviderSpec {
	p.t.Helper()
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.provider.Public()}}})
	if err != nil {
		p.t.Fatal(err)
	}
	return policy.IdentityProviderSpec{Issuer: "https://login.acme.example", Audiences: []string{"hanse"}, JWKS: string(keys)}
}

// csr is a request for a certificate, in PEM.
func csr(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := ca.CSR(key, "whoever")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// put writes a policy past the API.
func (g *group) put(kind policy.Kind, name string, spec any) {
	g.t.Helper()
	g.apply(state.PutPolicy{Kind: string(kind), Name: name, JSON: []byte(fmt.Sprintf(`{"name":%q,"spec":%s}`, name, encode(g.t, spec)))})
}

// bind gives a role to subjects.
func (g *group) bind(name string, role model.Role, namespaces []string, subjects ...policy.Subject) {
	g.t.Helper()
	g.put(policy.KindRoleBinding, name, policy.RoleBindingSpec{Role: role, Namespaces: namespaces, Subjects: subjects})
}

// bearer makes an operator token with a role, and shows it.
func (g *group) bearer(seed byte, role model.Role, namespaces ...string) func(*http.Request) {
	g.t.Helper()
	t := g.token(model.TokenOperator, seed)
	made := kept(t)
	made.Role, made.Namespaces, made.Label = role, namespaces, string(role)
	g.apply(state.CreateToken{Token: made})
	return authorization("Bearer " + t.String())
}
