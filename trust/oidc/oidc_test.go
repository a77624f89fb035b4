package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/jwt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issuer is an identity provider whose keys are served over HTTPS, or what a test has it answer instead.
type issuer struct {
	t       *testing.T
	clock   *clock.Fake
	server  *httptest.Server
	checker *Checker
	fetches atomic.Int32

	mu     sync.Mutex
	keys   map[string]*ecdsa.PrivateKey
	answer http.HandlerFunc
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{t: t, clock: clock.NewFake(start), keys: map[string]*ecdsa.PrivateKey{}}
	i.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.fetches.Add(1)
		i.mu.Lock()
		answer := i.answer
		i.mu.Unlock()
		if answer == nil {
			answer = i.publish
		}
		answer(w, r)
	}))
	t.Cleanup(i.server.Close)
	i.checker = New(Config{Transport: i.server.Client().Transport, Clock: i.clock, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(i.checker.client.CloseIdleConnections)
	i.rotate("k1")
	return i
}

// publish is an issuer's usual answer.
func (i *issuer) publish(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write(i.set())
}

func (i *issuer) set() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	var set jose.JSONWebKeySet
	for id, key := range i.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{KeyID: id, Key: key.Public()})
	}
	text, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return text
}

// rotate replaces the keys.
func (i *issuer) rotate(ids ...string) {
	i.t.Helper()
	keys := map[string]*ecdsa.PrivateKey{}
	for _, id := range ids {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			i.t.Fatal(err)
		}
		keys[id] = key
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

func (i *issuer) answers(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = h
}

// token is one that counts for an hour.
func (i *issuer) token(id string) string {
	i.t.Helper()
	i.mu.Lock()
	key := i.keys[id]
	i.mu.Unlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{KeyID: id, Key: key}}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := signer.Sign(fmt.Appendf(nil, `{"iss":"https://login.example.org","aud":"hanse","sub":"ann","exp":%d}`, i.clock.Now().Add(time.Hour).Unix()))
	if err != nil {
		i.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

func (i *issuer) provider() policy.IdentityProvider {
	return policy.IdentityProvider{Name: "corp", Spec: policy.IdentityProviderSpec{
		Issuer: "https://login.example.org", Audiences: []string{"hanse"}, JWKSURL: i.server.URL + "/keys",
	}}
}

func (i *issuer) check(text string) ([]jwt.Identity, error) {
	return i.checker.Check(context.Background(), text, []policy.IdentityProvider{i.provider()})
}

// good checks for an accepted token and how often the issuer was asked so far.
func (i *issuer) good(text string, fetches int32) {
	i.t.Helper()
	if ids, err := i.check(text); err != nil || len(ids) != 1 || ids[0].User != "ann" {
		i.t.Fatalf("%+v, %v", ids, err)
	}
	i.asked(fetches)
}

func (i *issuer) refused(text string, want error, fetches int32) {
	i.t.Helper()
	if ids, err := i.check(text); !errors.Is(err, want) {
		i.t.Fatalf("%+v, %v, want %v", ids, err, want)
	}
	i.asked(fetches)
}

func (i *issuer) asked(fetches int32) {
	i.t.Helper()
	if got := i.fetches.Load(); got != fetches {
		i.t.Fatalf("the issuer was asked %d times, want %d", got, fetches)
	}
}

func TestKeysAreFetchedOnceAndRenewedForAnUnknownOne(t *testing.T) {
	i := newIssuer(t)
	old := i.token("k1")
	i.good(old, 1)
	i.good(old, 1)
	i.rotate("k2")
	i.refused(i.token("k2"), jwt.ErrUnknownKey, 1)
	i.clock.Advance(FetchEvery)
	i.good(i.token("k2"), 2)
	i.refused(old, jwt.ErrUnknownKey, 2)
}

func TestAnIssuerIsNotAskedMoreThanOnceInTenSeconds(t *testing.T) {
	i := newIssuer(t)
	forged := func(id string) string {
		other := newIssuer(t)
		other.rotate(id)
		return other.token(id)
	}
	for n := range 20 {
		i.refused(forged(fmt.Sprint("guess", n)), jwt.ErrUnknownKey, 1)
	}
	i.clock.Advance(FetchEvery - 1)
	i.refused(forged("guess"), jwt.ErrUnknownKey, 1)
	i.clock.Advance(1)
	i.refused(forged("guess"), jwt.ErrUnknownKey, 2)
}

func TestTheLastGoodKeysStay(t *testing.T) {
	i := newIssuer(t)
	// Everything that is said here would be good, were it not said in this way.
	good := string(i.set())
	plain := httptest.NewServer(http.HandlerFunc(i.publish))
	t.Cleanup(plain.Close)
	first := i.token("k1")
	for name, answer := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, good)
		},
		"too much":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good+strings.Repeat(" ", maxSet)) },
		"a redirect off": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) },
		"many redirects": func(w http.ResponseWriter, r *http.Request) {
			if len(r.URL.Path) > len("/keys")+maxRedirects {
				i.publish(w, r)
				return
			}
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		},
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(good)+1))
			fmt.Fprint(w, good)
		},
		"a page":           func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no keys":          func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) },
		"a shared secret":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`) },
		"an empty success": func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			i.checker.sets = map[string]*set{}
			i.answers(answer)
			if _, err := i.check(first); !errors.Is(err, jwt.ErrNoKeys) {
				t.Fatalf("nothing was ever fetched: %v", err)
			}
			i.answers(nil)
			i.clock.Advance(FetchEvery)
			if _, err := i.check(first); err != nil {
				t.Fatal(err)
			}
			i.answers(answer)
			i.clock.Advance(FetchEvery)
			if _, err := i.check(i.tokenOfNoKey()); !errors.Is(err, jwt.ErrUnknownKey) {
				t.Fatalf("an unknown key: %v", err)
			}
			if _, err := i.check(first); err != nil {
				t.Fatalf("the known key counts no more: %v", err)
			}
		})
	}
}

// tokenOfNoKey is signed by a key that the issuer does not publish.
func (i *issuer) tokenOfNoKey() string {
	other := newIssuer(i.t)
	other.rotate("unknown")
	return other.token("unknown")
}

func TestAnIssuerThatHangsHoldsNobodyForLong(t *testing.T) {
	i := newIssuer(t)
	asked, released := make(chan struct{}), make(chan struct{})
	i.answers(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-released
		i.publish(w, r)
	})
	text := i.token("k1")
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error)
	go func() {
		_, err := i.checker.Check(ctx, text, []policy.IdentityProvider{i.provider()})
		gone <- err
	}()
	<-asked
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatalf("who has gone is told %v", err)
	}
	// The answer that comes after all is the one that the next waits for.
	next := make(chan error)
	go func() {
		_, err := i.check(text)
		next <- err
	}()
	close(released)
	if err := <-next; err != nil {
		t.Fatal(err)
	}
	i.asked(1)
}

// A key that its issuer has withdrawn counts until the set is old; nobody waits for the newer one.
func TestOldKeysAreRenewedBeside(t *testing.T) {
	i := newIssuer(t)
	old := i.token("k1")
	i.good(old, 1)
	i.rotate("k2")
	i.clock.Advance(MaxAge - 1)
	i.good(old, 1)
	i.clock.Advance(1)
	served := make(chan struct{})
	i.answers(func(w http.ResponseWriter, r *http.Request) {
		defer close(served)
		i.publish(w, r)
	})
	if _, err := i.check(old); err != nil {
		t.Fatalf("while newer keys are fetched: %v", err)
	}
	<-served
	i.checker.mu.Lock()
	busy := i.checker.sets[i.provider().Spec.JWKSURL].busy
	i.checker.mu.Unlock()
	if busy != nil {
		<-busy
	}
	i.refused(old, jwt.ErrUnknownKey, 2)
}

func TestKeysOfThePolicyItself(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	p.Spec.JWKSURL, p.Spec.JWKS = "", string(i.set())
	if ids, err := i.checker.Check(context.Background(), i.token("k1"), []policy.IdentityProvider{p}); err != nil || len(ids) != 1 {
		t.Errorf("%+v, %v", ids, err)
	}
	p.Spec.JWKS = `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`
	if ids, err := i.checker.Check(context.Background(), i.token("k1"), []policy.IdentityProvider{p}); err == nil {
		t.Errorf("a shared secret: %+v", ids)
	}
	i.asked(0)
}

func TestEveryProviderIsHeard(t *testing.T) {
	i := newIssuer(t)
	other := i.provider()
	other.Name, other.Spec.Audiences = "ci", []string{"ci"}
	hidden := i.provider()
	hidden.Name, hidden.Spec.JWKSURL = "away", "https://127.0.0.1:1/keys"
	elsewhere := i.provider()
	elsewhere.Name, elsewhere.Spec.Issuer = "else", "https://else.example.org"

	ids, err := i.checker.Check(context.Background(), i.token("k1"), []policy.IdentityProvider{other, hidden, elsewhere, i.provider()})
	if err != nil || len(ids) != 1 || ids[0].Provider != "corp" || ids[0].Issuer != "https://login.example.org" {
		t.Errorf("%+v, %v", ids, err)
	}
	_, err = i.checker.Check(context.Background(), i.token("k1"), []policy.IdentityProvider{other, hidden})
	if err == nil || !errors.Is(err, jwt.ErrNoKeys) || !strings.Contains(err.Error(), "identity provider ci does not accept") {
		t.Errorf("none accepts it: %v", err)
	}
	if strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("who asks is told of the node's network: %v", err)
	}
	if _, err = i.checker.Check(context.Background(), i.token("k1"), nil); err == nil || !strings.Contains(err.Error(), "no identity provider") {
		t.Errorf("without providers: %v", err)
	}
	if len(i.checker.sets) != 0 {
		t.Errorf("%d sets are held of no provider", len(i.checker.sets))
	}
}
