package rest_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/federation/state"
)

// told has a request say where it comes from.
func told(source string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Hanse-Source-Address", source) }
}

func TestTheLeaderLearnsWhereARequestCameFrom(t *testing.T) {
	g := newGroup(t)
	g.do("follow", http.MethodPut, policyPath, aPolicy, told("198.51.100.7:4711")).ok(http.StatusOK, nil)
	if who := whoChanged(g); who.Address != "192.0.2.1:1234" {
		t.Errorf("the audit log has the address %q of the node that sent the request on", who.Address)
	}
	hide := func(r *http.Request) { r.Header.Set("Connection", "Hanse-Source-Address, Hanse-Forwarded-By") }
	g.do("follow", http.MethodDelete, policyPath, "", hide).ok(http.StatusOK, nil)
	for _, r := range g.forwarded {
		if r.Header.Get("Hanse-Source-Address") != "192.0.2.1:1234" || r.Header.Get("Connection") != "" {
			t.Errorf("sent on with %v", r.Header)
		}
	}
}

// Where a request comes from, only a node of the federation may say, and nothing else.
func TestOnlyANodesWordOnTheSourceCounts(t *testing.T) {
	const own, claimed = "192.0.2.1:1234", "198.51.100.7:4711"
	g := newGroup(t)
	node := g.people.shows(model.NodeID("acme", "follow"))
	for name, c := range map[string]struct {
		show func(*http.Request)
		says string
		want string
	}{
		"nobody":            {func(*http.Request) {}, claimed, own},
		"a node":            {node, claimed, claimed},
		"a node of IPv6":    {node, "[2001:db8::1]:80", "[2001:db8::1]:80"},
		"a node's nonsense": {node, "trust me", own},
		"a stranger's name": {g.people.shows(model.NodeID("acme", "gone")), claimed, own},
		"an agent":          {g.people.shows(model.AgentID("acme", "eu")), claimed, own},
		"an operator":       {g.people.shows(model.OperatorID("acme", "ann")), claimed, own},
	} {
		var sent *http.Request
		g.do("lead", http.MethodPost, "/v1/tokens", `{"kind":"node"}`, told(c.says), c.show, func(r *http.Request) { sent = r }).ok(http.StatusCreated, nil)
		if sent.Header.Get("Hanse-Source-Address") != "" {
			t.Errorf("%s: the claim is still there for others to believe", name)
		}
		if who := whoChanged(g); who.Address != c.want {
			t.Errorf("%s: the audit log has %q, want %q", name, who.Address, c.want)
		}
	}
	g.do("lead", http.MethodPut, policyPath, aPolicy, authorization(""), node).problem(http.StatusUnauthorized, "the API takes those of operators")
}

// owns has a request come over the node's own socket.
func owns(node string) func(*http.Request) {
	return func(r *http.Request) {
		authorization("")(r)
		r.RemoteAddr = "@"
		*r = *r.WithContext(rest.WithOwner(r.Context(), "root", node))
	}
}

func TestWhoHoldsTheNodeIsAnAdmin(t *testing.T) {
	g := newGroup(t)
	var made rest.CreatedToken
	g.do("lead", http.MethodPost, "/v1/tokens", `{"kind":"operator"}`, owns("lead")).ok(http.StatusCreated, &made)
	if who := whoChanged(g); who.Name != "root@lead" || who.Credential != "socket lead" || who.Address != "" {
		t.Errorf("the audit log names %+v", who)
	}
	g.do("lead", http.MethodGet, "/v1/nodes", "", authorization("Bearer "+made.Text)).ok(http.StatusOK, nil)
	// A token that is good no more is what brings people here: it must not be in the way.
	g.do("lead", http.MethodGet, "/v1/nodes", "", owns("lead"), authorization("Bearer lost")).ok(http.StatusOK, nil)

	g.do("follow", http.MethodGet, "/v1/nodes", "", owns("follow")).ok(http.StatusOK, nil)
	g.do("follow", http.MethodPost, "/v1/tokens", `{"kind":"operator"}`, owns("follow")).problem(http.StatusMisdirectedRequest, "socket of node lead", "lead:7701")
	if len(g.forwarded) != 0 {
		t.Error("a node spoke for its owner")
	}
	g.leader = ""
	g.do("follow", http.MethodGet, "/v1/nodes", "", owns("follow")).ok(http.StatusOK, nil)
	g.do("follow", http.MethodPost, "/v1/tokens", `{"kind":"operator"}`, owns("follow")).problem(http.StatusServiceUnavailable, "no leader")
}

func TestManyBadCredentialsFromOneAddress(t *testing.T) {
	g := newGroup(t)
	fresh := g.bearer(10, model.RoleAdmin)
	g.do("lead", http.MethodGet, "/v1/nodes", "").ok(http.StatusOK, nil)
	forged := g.operator
	forged.Secret = "guessed"
	guess := authorization("Bearer " + forged.String())
	for range access.Burst {
		g.do("lead", http.MethodGet, "/v1/nodes", "", guess).problem(http.StatusUnauthorized, "secret is wrong")
		// What is no credential is no guess.
		g.do("lead", http.MethodGet, "/v1/nodes", "", authorization("")).problem(http.StatusUnauthorized, "no credential")
		g.do("lead", http.MethodGet, "/v1/nodes", "", authorization("Bearer x")).problem(http.StatusUnauthorized, "not a hanse token")
	}
	a := g.do("lead", http.MethodGet, "/v1/nodes", "", guess).problem(http.StatusTooManyRequests, "192.0.2.1")
	after, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || after < 1 {
		t.Fatalf("Retry-After is %q", a.header.Get("Retry-After"))
	}
	g.do("lead", http.MethodGet, "/v1/nodes", "", fresh).problem(http.StatusTooManyRequests)
	g.do("lead", http.MethodGet, "/v1/nodes", "", g.people.operator("ann")).problem(http.StatusTooManyRequests)
	// Who was known before, who comes from elsewhere, and who holds the node, are not kept out.
	g.do("lead", http.MethodGet, "/v1/nodes", "").ok(http.StatusOK, nil)
	g.do("lead", http.MethodGet, "/v1/nodes", "", guess, func(r *http.Request) { r.RemoteAddr = "192.0.2.2:1" }).problem(http.StatusUnauthorized)
	g.do("lead", http.MethodGet, "/v1/nodes", "", owns("lead")).ok(http.StatusOK, nil)

	g.clock.Advance(time.Duration(after) * time.Second)
	g.do("lead", http.MethodGet, "/v1/nodes", "", fresh).ok(http.StatusOK, nil)
}

// A refusal never says whether there is a token of that id.
func TestRefusalsDoNotTellWhichTokensExist(t *testing.T) {
	g := newGroup(t)
	revoked := g.token(model.TokenOperator, 3)
	g.apply(state.CreateToken{Token: kept(revoked)})
	g.apply(state.RevokeToken{ID: revoked.ID})
	var said []string
	for _, guess := range []struct{ id string }{{g.operator.ID}, {revoked.ID}, {"nobodyhas1"}} {
		forged := g.token(model.TokenOperator, 9)
		forged.ID = guess.id
		a := g.do("lead", http.MethodGet, "/v1/nodes", "", authorization("Bearer "+forged.String())).problem(http.StatusUnauthorized)
		said = append(said, strings.ReplaceAll(string(a.body), guess.id, "ID"))
	}
	if said[0] != said[1] || said[0] != said[2] {
		t.Errorf("one can tell: %q", said)
	}
}

// Whatever comes and whatever becomes of it: no credential is in a log or in the audit log, not even a bad one, which may be mistyped.
func TestCredentialsAreWrittenDownNowhere(t *testing.T) {
	g := newGroup(t)
	g.put(policy.KindIdentityProvider, "corp", g.people.document())
	g.bind("admins", model.RoleAdmin, nil, policy.Subject{Kind: policy.SubjectUser, Provider: "corp", Name: "ann"})
	forged := g.operator
	forged.Secret = "a-wrong-secret-that-is-nearly-right"
	jwt, badJWT := g.people.jwt("ann"), g.people.jwt("nobody")+"AAAA"
	var made rest.CreatedToken
	for _, shown := range []string{g.operator.String(), jwt} {
		g.do("follow", http.MethodPost, "/v1/tokens", `{"kind":"operator","role":"viewer","label":"bob"}`, authorization("Bearer "+shown)).ok(http.StatusCreated, &made)
	}
	for range access.Burst + 1 {
		for _, shown := range []string{forged.String(), badJWT} {
			g.do("lead", http.MethodPut, policyPath, aPolicy, authorization("Bearer "+shown))
		}
	}
	if !strings.Contains(g.logs.String(), "too many bad credentials") || len(g.state.View().Audit()) < 2 {
		t.Fatalf("nothing is logged: %s", &g.logs)
	}
	written := g.logs.String() + encode(t, g.state.View().Audit())
	for name, secret := range map[string]string{
		"a token": g.operator.String(), "its secret": g.operator.Secret, "a bad token": forged.String(), "its bad secret": forged.Secret, "a new token": made.Text,
		"a JWT": jwt, "its signature": jwt[strings.LastIndex(jwt, ".")+1:], "a bad JWT": badJWT, "its bad signature": badJWT[strings.LastIndex(badJWT, ".")+1:],
	} {
		if strings.Contains(written, secret) {
			t.Errorf("%s is written down", name)
		}
	}
}
