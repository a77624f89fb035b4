package rest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/trust/ca"
)

// whoChanged is the actor of the latest entry of the audit log.
func whoChanged(g *group) model.Actor {
	g.t.Helper()
	log := g.state.View().Audit()
	if len(log) == 0 {
		g.t.Fatal("the audit log is empty")
	}
	return log[len(log)-1].Actor
}

const (
	policyPath = "/v1/failover-policies/p"
	aPolicy    = `{"spec":{"failover":[{"from":"eu","to":["us"]}]}}`
)

func TestTokensHaveRolesAndLabels(t *testing.T) {
	g := newGroup(t)
	operator := g.bearer(10, model.RoleOperator)
	g.do("lead", http.MethodPut, policyPath, aPolicy, operator).ok(http.StatusOK, nil)
	if who := whoChanged(g); who.Name != "operator" || !strings.HasPrefix(who.Credential, "token ") || who.Address != "192.0.2.1:1234" {
		t.Errorf("the audit log names %+v", who)
	}
	g.do("lead", http.MethodPost, "/v1/tokens", `{"kind":"node"}`, operator).problem(http.StatusForbidden, "needs the role admin, and has operator")
	g.do("lead", http.MethodPut, policyPath, aPolicy, g.bearer(11, model.RoleViewer)).problem(http.StatusForbidden, "needs the role operator")
	g.do("lead", http.MethodPost, "/v1/tokens", `{"kind":"node"}`).ok(http.StatusCreated, nil)
	if who := whoChanged(g); who.Name != "token "+g.operator.ID {
		t.Errorf("a token without a label is called %+v", who)
	}
}

func TestCertificatesOfOperators(t *testing.T) {
	g := newGroup(t)
	ann := g.people.operator("ann")
	g.do("lead", http.MethodGet, "/v1/nodes", "", ann).problem(http.StatusForbidden, "ann may not", "role viewer", "none")
	g.bind("writers", model.RoleOperator, nil, policy.Subject{Kind: policy.SubjectCertificate, Name: "ann"})
	g.do("lead", http.MethodGet, "/v1/nodes", "", ann).ok(http.StatusOK, nil)
	g.do("lead", http.MethodPut, policyPath, aPolicy, ann).ok(http.StatusOK, nil)
	if who := whoChanged(g); who.Name != "ann" || who.Credential != "certificate" || who.Address != "192.0.2.1:1234" {
		t.Errorf("the audit log names %+v", who)
	}
	g.do("lead", http.MethodGet, "/v1/nodes", "", g.people.operator("bob")).problem(http.StatusForbidden, "bob")

	g.clock.Advance(2 * time.Hour)
	g.do("lead", http.MethodGet, "/v1/nodes", "", ann).problem(http.StatusUnauthorized, "expired at", "clock")
}

func TestCertificatesThatAreNoOperators(t *testing.T) {
	g := newGroup(t)
	other, err := ca.NewRoot(ca.RootOptions{TrustDomain: "acme", Now: start})
	if err != nil {
		t.Fatal(err)
	}
	g.bind("all", model.RoleAdmin, nil, policy.Subject{Kind: policy.SubjectCertificate, Name: "ann"}, policy.Subject{Kind: policy.SubjectCertificate, Name: "lead"},
		policy.Subject{Kind: policy.SubjectCertificate, Name: "eu"}, policy.Subject{Kind: policy.SubjectUser, Provider: "corp", Name: "cy"})
	for name, c := range map[string]struct {
		show func(*http.Request)
		says string
	}{
		"a node's":               {g.people.shows(model.NodeID("acme", "lead")), "the API takes those of operators"},
		"an agent's":             {g.people.shows(model.AgentID("acme", "eu")), "the API takes those of operators"},
		"a name with more to it": {g.people.shows("spiffe://acme/operator/ann/more"), "the API takes those of operators"},
		"of another root":        {g.people.showsOf(other, model.OperatorID("acme", "ann")), "not trusted"},
		"a signing certificate":  {presents(t, [][]byte{g.people.authority.Root()}), "signing certificate"},
	} {
		a := g.do("lead", http.MethodGet, "/v1/nodes", "", authorization(""), c.show)
		t.Run(name, func(t *testing.T) {
			a.t = t
			a.problem(http.StatusUnauthorized, c.says)
		})
	}
	g.do("lead", http.MethodGet, "/v1/nodes", "", g.people.operator("cy")).problem(http.StatusForbidden, "cy may not")
}

func TestATokenCountsBeforeACertificate(t *testing.T) {
	g := newGroup(t)
	g.bind("admins", model.RoleAdmin, nil, policy.Subject{Kind: policy.SubjectCertificate, Name: "ann"})
	ann := g.people.operator("ann")
	g.do("lead", http.MethodPut, policyPath, aPolicy, ann, g.bearer(10, model.RoleViewer)).problem(http.StatusForbidden, "viewer may not")
	g.do("lead", http.MethodGet, "/v1/nodes", "", ann, authorization("Bearer nonsense")).problem(http.StatusUnauthorized, "not a hanse token")
	g.do("follow", http.MethodPut, policyPath, aPolicy, ann, authorization("Bearer "+g.operator.String())).ok(http.StatusOK, nil)
	if len(g.forwarded) != 1 {
		t.Error("with a token the request was not sent on")
	}
}

// Nobody can show another's certificate: a follower that claimed to have seen one could be anybody.
func TestAFollowerRedirectsWhoShowsACertificate(t *testing.T) {
	g := newGroup(t)
	g.bind("admins", model.RoleAdmin, nil, policy.Subject{Kind: policy.SubjectCertificate, Name: "ann"})
	ann := g.people.operator("ann")
	for _, c := range []struct{ method, target, body string }{
		{http.MethodPut, policyPath + "?dryRun=true", aPolicy}, {http.MethodGet, policyPath + "?consistent=true", ""},
	} {
		a := g.do("follow", c.method, c.target, c.body, ann)
		if a.status != http.StatusTemporaryRedirect || a.header.Get("Location") != "https://lead:7701"+c.target || len(g.forwarded) != 0 {
			t.Errorf("%s %s: %d, to %q", c.method, c.target, a.status, a.header.Get("Location"))
		}
	}
	g.do("follow", http.MethodGet, "/v1/nodes", "", ann).ok(http.StatusOK, nil)
	g.do("follow", http.MethodPut, policyPath, aPolicy, g.people.operator("bob")).problem(http.StatusForbidden, "bob")
}

// A browser shows its certificate to whatever page asks it to send a request.
func TestAnotherSitesPageCannotUseACertificate(t *testing.T) {
	g := newGroup(t)
	g.bind("admins", model.RoleAdmin, nil, policy.Subject{Kind: policy.SubjectCertificate, Name: "ann"})
	ann := g.people.operator("ann")
	from := func(site string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", site) }
	}
	g.do("lead", http.MethodPost, "/v1/tokens", `{"kind":"node"}`, ann, from("cross-site")).problem(http.StatusForbidden, "another site")
	g.do("follow", http.MethodPost, "/v1/tokens", `{"kind":"node"}`, ann, from("cross-site")).problem(http.StatusForbidden, "another site")
	g.do("lead", http.MethodPost, "/v1/tokens", `{"kind":"node"}`, ann, from("same-origin")).ok(http.StatusCreated, nil)
	g.do("lead", http.MethodPost, "/v1/tokens", `{"kind":"node"}`, from("cross-site")).ok(http.StatusCreated, nil)
}

func TestIdentityProviders(t *testing.T) {
	g := newGroup(t)
	show := func(user string, groups ...string) func(*http.Request) {
		return authorization("Bearer " + g.people.jwt(user, groups...))
	}
	g.do("lead", http.MethodGet, "/v1/nodes", "", show("ann")).problem(http.StatusUnauthorized, "no identity provider of this federation")
	g.put(policy.KindIdentityProvider, "corp", g.people.document())
	g.do("lead", http.MethodGet, "/v1/nodes", "", show("ann")).problem(http.StatusForbidden, "ann may not", "has none")

	g.bind("readers", model.RoleViewer, nil, policy.Subject{Kind: policy.SubjectUser, Provider: "corp", Name: "ann"})
	g.bind("writers", model.RoleOperator, nil, policy.Subject{Kind: policy.SubjectGroup, Provider: "corp", Name: "platform"})
	g.do("lead", http.MethodGet, "/v1/nodes", "", show("ann")).ok(http.StatusOK, nil)
	g.do("lead", http.MethodPut, policyPath, aPolicy, show("ann")).problem(http.StatusForbidden, "has viewer")
	g.do("follow", http.MethodPut, policyPath, aPolicy, show("bob", "x", "platform")).ok(http.StatusOK, nil)
	if who := whoChanged(g); who.Name != "bob" || who.Credential != "oidc https://login.acme.example" || who.Address != "192.0.2.1:1234" {
		t.Errorf("the audit log names %+v", who)
	}
	g.do("lead", http.MethodGet, "/v1/nodes", "", g.people.operator("ann")).problem(http.StatusForbidden, "ann may not")

	forged := g.people.jwt("bob", "platform")
	g.do("lead", http.MethodGet, "/v1/nodes", "", authorization("Bearer "+forged[:len(forged)-8]+"AAAAAAAA")).problem(http.StatusUnauthorized, "signature is wrong")
	g.clock.Advance(2 * time.Hour)
	g.do("lead", http.MethodGet, "/v1/nodes", "", authorization("Bearer "+forged)).problem(http.StatusUnauthorized, "expired at")
}

// That a node cannot reach an issuer is not the caller's fault.
func TestAnIssuerOutOfReachIsUnavailability(t *testing.T) {
	g := newGroup(t)
	p := g.people.document()
	p.JWKS, p.JWKSURL = "", "https://127.0.0.1:1/keys"
	g.put(policy.KindIdentityProvider, "corp", p)
	for range access.Burst + 1 {
		a := g.do("lead", http.MethodGet, "/v1/nodes", "", authorization("Bearer "+g.people.jwt("ann"))).problem(http.StatusServiceUnavailable, "keys are not known here yet")
		if a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "127.0.0.1") {
			t.Fatalf("Retry-After %q: %s", a.header.Get("Retry-After"), a.body)
		}
	}
}

func TestOperatorCertificates(t *testing.T) {
	g := newGroup(t)
	key := newKey(t)
	ask := func(name, csr string) string { return encode(t, rest.NewOperatorCertificate{Name: name, CSR: csr}) }
	var made rest.OperatorCertificate
	g.do("follow", http.MethodPost, "/v1/operator-certificates", ask("ann.smith", csr(t, key))).ok(http.StatusCreated, &made)
	if made.ID != "spiffe://acme/operator/ann.smith" || !made.ExpiresAt.Equal(start.Add(rest.OperatorCertificateTTL)) {
		t.Errorf("made %+v", made)
	}
	var chain [][]byte
	for block, more := pem.Decode([]byte(made.Chain)); block != nil; block, more = pem.Decode(more) {
		chain = append(chain, block.Bytes)
	}
	if !slices.Equal(chain[len(chain)-1], g.people.authority.Root()) {
		t.Error("the chain does not end with the root")
	}
	g.bind("readers", model.RoleViewer, nil, policy.Subject{Kind: policy.SubjectCertificate, Name: "ann.smith"})
	g.do("lead", http.MethodGet, "/v1/nodes", "", authorization(""), presents(t, chain)).ok(http.StatusOK, nil)
	audit := g.state.View().Audit()
	if last := audit[len(audit)-1]; last.Ref.String() != "OperatorCertificate/ann.smith" || !strings.Contains(string(last.After), made.ID) || last.Actor.Name == "" {
		t.Errorf("audit %+v", last)
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil || !key.PublicKey.Equal(leaf.PublicKey) || len(leaf.DNSNames) != 0 {
		t.Errorf("%v, %+v", err, leaf)
	}

	wide, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := csr(t, key)
	block, _ := pem.Decode([]byte(good))
	block.Bytes[len(block.Bytes)-1] ^= 1
	for name, c := range map[string]struct{ body, says string }{
		"no name":            {ask("", good), "name"},
		"a path":             {ask("ann/../root", good), "name"},
		"a path upwards":     {ask("..", good), "name"},
		"an address":         {ask("ann@example.org", good), "letters, digits"},
		"no request":         {ask("ann", "let me in"), "CERTIFICATE REQUEST"},
		"another thing":      {ask("ann", strings.ReplaceAll(good, "CERTIFICATE REQUEST", "CERTIFICATE")), "CERTIFICATE REQUEST"},
		"two requests":       {ask("ann", good+good), "one CERTIFICATE REQUEST"},
		"no PKCS#10":         {ask("ann", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")}))), "PKCS#10"},
		"somebody's key":     {ask("ann", string(pem.EncodeToMemory(block))), "not signed by its own key"},
		"an RSA key":         {ask("ann", csr(t, weak)), "ECDSA on P-256 or P-384"},
		"an unusual curve":   {ask("ann", csr(t, wide)), "ECDSA on P-256 or P-384"},
		"too long a request": {ask("ann", strings.Repeat("x", 20000)), "16384"},
	} {
		a := g.do("lead", http.MethodPost, "/v1/operator-certificates", c.body)
		t.Run(name, func(t *testing.T) {
			a.t = t
			a.problem(http.StatusUnprocessableEntity, c.says)
		})
	}
	g.do("lead", http.MethodPost, "/v1/operator-certificates", ask("ann", good), g.bearer(10, model.RoleOperator)).problem(http.StatusForbidden, "role admin")
}
