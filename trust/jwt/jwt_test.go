package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/policy"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issuer is one that signs with a key of each kind; making RSA keys takes long, so that all tests share it.
type issuer struct {
	rsa, short *rsa.PrivateKey
	ec, other  *ecdsa.PrivateKey
	wide       *ecdsa.PrivateKey
	ed         ed25519.PrivateKey
}

var corp = sync.OnceValue(func() issuer {
	var i issuer
	var err [6]error
	i.rsa, err[0] = rsa.GenerateKey(rand.Reader, 2048)
	i.short, err[1] = rsa.GenerateKey(rand.Reader, 1024)
	i.ec, err[2] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	i.other, err[3] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	i.wide, err[4] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, i.ed, err[5] = ed25519.GenerateKey(rand.Reader)
	if e := errors.Join(err[:]...); e != nil {
		panic(e)
	}
	return i
})

// published are the keys as the issuer shows them to the world.
func published(t *testing.T, keys ...jose.JSONWebKey) Keys {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	out, err := ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func allKeys(t *testing.T) Keys {
	i := corp()
	return published(t, jose.JSONWebKey{KeyID: "r", Key: i.rsa.Public()}, jose.JSONWebKey{KeyID: "e", Key: i.ec.Public()}, jose.JSONWebKey{KeyID: "o", Key: i.ed.Public()})
}

// sign makes a token with the claims; extra headers may be nil.
func sign(t *testing.T, algorithm jose.SignatureAlgorithm, id string, key any, claims map[string]any, options *jose.SignerOptions) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{KeyID: id, Key: key}}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// unsigned is a token of a header as it is given, with an arbitrary signature.
func unsigned(t *testing.T, header string, claims map[string]any, signature string) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode(payload) + "." + encode([]byte(signature))
}

func provider(change ...func(*policy.IdentityProviderSpec)) policy.IdentityProvider {
	p := policy.IdentityProvider{Name: "corp", Spec: policy.IdentityProviderSpec{Issuer: "https://login.example.org", Audiences: []string{"hanse", "hanse-cli"}}}
	for _, c := range change {
		c(&p.Spec)
	}
	return p
}

// claims are good ones, changed; a nil value takes a claim away.
func claims(changes map[string]any) map[string]any {
	out := map[string]any{
		"iss": "https://login.example.org", "aud": "hanse", "sub": "ann", "exp": now.Add(time.Hour).Unix(), "groups": []string{"platform", "oncall"},
	}
	for k, v := range changes {
		if out[k] = v; v == nil {
			delete(out, k)
		}
	}
	return out
}

// decide runs a token through all that decides about it.
func decide(text string, providers []policy.IdentityProvider, keys Keys) ([]Identity, error) {
	token, err := Read(text)
	if err != nil {
		return nil, err
	}
	issuers, err := token.Providers(providers)
	if err != nil {
		return nil, err
	}
	var out []Identity
	var why []error
	for _, p := range issuers {
		id, err := token.Judge(p, keys, now)
		if err != nil {
			why = append(why, err)
			continue
		}
		out = append(out, id)
	}
	return out, errors.Join(why...)
}

func TestEveryAlgorithmThatCounts(t *testing.T) {
	i := corp()
	for algorithm, key := range map[jose.SignatureAlgorithm]struct {
		id  string
		key any
	}{jose.RS256: {"r", i.rsa}, jose.PS256: {"r", i.rsa}, jose.ES256: {"e", i.ec}, jose.EdDSA: {"o", i.ed}} {
		for _, id := range []string{key.id, ""} {
			got, err := decide(sign(t, algorithm, id, key.key, claims(nil), nil), []policy.IdentityProvider{provider()}, allKeys(t))
			if err != nil || len(got) != 1 || got[0].User != "ann" || got[0].Provider != "corp" || !slices.Equal(got[0].Groups, []string{"platform", "oncall"}) {
				t.Errorf("%s with key %q: %+v, %v", algorithm, id, got, err)
			}
		}
	}
}

func TestClaims(t *testing.T) {
	email := func(s *policy.IdentityProviderSpec) { s.UserClaim = "email" }
	roles := func(s *policy.IdentityProviderSpec) { s.GroupsClaim = "roles" }
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for name, c := range map[string]struct {
		claims  map[string]any
		change  func(*policy.IdentityProviderSpec)
		user    string
		groups  []string
		refusal string
	}{
		"good":                      {user: "ann", groups: []string{"platform", "oncall"}},
		"the second audience":       {claims: map[string]any{"aud": []string{"else", "hanse-cli"}}, user: "ann", groups: []string{"platform", "oncall"}},
		"another audience":          {claims: map[string]any{"aud": "else"}, refusal: `the audience "else"`},
		"no audience":               {claims: map[string]any{"aud": nil}, refusal: "audience"},
		"another issuer":            {claims: map[string]any{"iss": "https://evil.example.org"}, refusal: "no identity provider"},
		"an issuer with a slash":    {claims: map[string]any{"iss": "https://login.example.org/"}, refusal: "no identity provider"},
		"no issuer":                 {claims: map[string]any{"iss": nil}, refusal: `no claim "iss"`},
		"an issuer that is a list":  {claims: map[string]any{"iss": []string{"https://login.example.org"}}, refusal: `no claim "iss"`},
		"expired":                   {claims: map[string]any{"exp": at(-61 * time.Second)}, refusal: "expired at"},
		"expired within the leeway": {claims: map[string]any{"exp": at(-59 * time.Second)}, user: "ann", groups: []string{"platform", "oncall"}},
		"no end":                    {claims: map[string]any{"exp": nil}, refusal: `"exp" is missing`},
		"an end of text":            {claims: map[string]any{"exp": "never"}, refusal: "cannot be read"},
		"an end beyond all time":    {claims: map[string]any{"exp": 1e300}, refusal: "cannot be read"},
		"not yet valid":             {claims: map[string]any{"nbf": at(61 * time.Second)}, refusal: "not valid before"},
		"valid within the leeway":   {claims: map[string]any{"nbf": at(59 * time.Second)}, user: "ann", groups: []string{"platform", "oncall"}},
		"issued in the future":      {claims: map[string]any{"iat": at(time.Hour)}, refusal: "issued in the future"},
		"no user":                   {claims: map[string]any{"sub": nil}, refusal: `no claim "sub" that names the user`},
		"an empty user":             {claims: map[string]any{"sub": ""}, refusal: `no claim "sub"`},
		"a user that is a number":   {claims: map[string]any{"sub": 7}, refusal: "cannot be read"},
		"a user in another case":    {claims: map[string]any{"sub": nil, "Sub": "ann"}, refusal: `no claim "sub"`},
		"a user of two lines":       {claims: map[string]any{"sub": "ann\nadmin"}, refusal: "not text"},
		"a user without end":        {claims: map[string]any{"sub": strings.Repeat("a", 257)}, refusal: "at most 256"},
		"another claim":             {claims: map[string]any{"email": "ann@example.org"}, change: email, user: "ann@example.org", groups: []string{"platform", "oncall"}},
		"that is missing":           {change: email, refusal: `no claim "email"`},
		"that is verified":          {claims: map[string]any{"email": "a@b", "email_verified": true}, change: email, user: "a@b", groups: []string{"platform", "oncall"}},
		"that is not verified":      {claims: map[string]any{"email": "a@b", "email_verified": false}, change: email, refusal: "not verified"},
		"that may be verified":      {claims: map[string]any{"email": "a@b", "email_verified": "true"}, change: email, refusal: "not verified"},
		"no groups":                 {claims: map[string]any{"groups": nil}, user: "ann"},
		"groups as text":            {claims: map[string]any{"groups": "platform"}, user: "ann", groups: []string{"platform"}},
		"an empty list of groups":   {claims: map[string]any{"groups": []string{}}, user: "ann"},
		"groups of another claim":   {claims: map[string]any{"roles": []string{"x"}}, change: roles, user: "ann", groups: []string{"x"}},
		"groups by number":          {claims: map[string]any{"groups": []any{"x", 7}}, refusal: "something else than names"},
		"groups that are an object": {claims: map[string]any{"groups": map[string]any{"x": 1}}, refusal: "neither a name nor a list"},
		"a group of two lines":      {claims: map[string]any{"groups": []string{"a\nb"}}, refusal: "not text"},
	} {
		p := provider()
		if c.change != nil {
			p = provider(c.change)
		}
		got, err := decide(sign(t, jose.ES256, "e", corp().ec, claims(c.claims), nil), []policy.IdentityProvider{p}, allKeys(t))
		switch {
		case c.refusal == "" && (err != nil || len(got) != 1 || got[0].User != c.user || !slices.Equal(got[0].Groups, c.groups)):
			t.Errorf("%s: %+v, %v", name, got, err)
		case c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)):
			t.Errorf("%s: %+v, %v, want %q", name, got, err, c.refusal)
		}
	}
}

func TestForgeries(t *testing.T) {
	i := corp()
	public, err := x509.MarshalPKIXPublicKey(i.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, jose.RS256, "r", i.rsa, claims(nil), nil)
	parts := strings.Split(good, ".")
	another := strings.Split(sign(t, jose.RS256, "r", i.rsa, claims(map[string]any{"sub": "root"}), nil), ".")
	embedded := &jose.SignerOptions{EmbedJWK: true}
	critical := (&jose.SignerOptions{}).WithHeader("crit", []string{"exp"})
	for name, c := range map[string]struct{ text, refusal string }{
		"no algorithm":                      {unsigned(t, `{"alg":"none"}`, claims(nil), ""), `algorithm "none"`},
		"no algorithm, in capitals":         {unsigned(t, `{"alg":"NONE"}`, claims(nil), "x"), `algorithm "NONE"`},
		"no header":                         {unsigned(t, `{}`, claims(nil), "x"), `algorithm ""`},
		"the public key as shared secret":   {sign(t, jose.HS256, "r", public, claims(nil), nil), `algorithm "HS256"`},
		"an algorithm that is not listed":   {sign(t, jose.ES384, "e", i.wide, claims(nil), nil), `algorithm "ES384"`},
		"an unknown key's name":             {sign(t, jose.ES256, "x", i.ec, claims(nil), nil), ErrUnknownKey.Error()},
		"a known name with another key":     {sign(t, jose.ES256, "e", i.other, claims(nil), nil), "signature is wrong"},
		"no name with another key":          {sign(t, jose.ES256, "", i.other, claims(nil), nil), "signature is wrong"},
		"its own key in the header":         {sign(t, jose.ES256, "e", i.other, claims(nil), embedded), "signature is wrong"},
		"a key of another kind":             {sign(t, jose.ES256, "r", i.ec, claims(nil), nil), ErrUnknownKey.Error()},
		"what must be understood and isn't": {sign(t, jose.ES256, "e", i.ec, claims(nil), critical), "signature is wrong"},
		"another's claims":                  {parts[0] + "." + another[1] + "." + parts[2], "signature is wrong"},
		"no signature":                      {parts[0] + "." + parts[1] + ".", "signature is wrong"},
		"claims that are no object":         {sign(t, jose.ES256, "e", i.ec, nil, nil), "iss"},
		"two parts":                         {parts[0] + "." + parts[1], "cannot be read"},
		"nothing":                           {"..", `algorithm ""`},
		"stray bits at the end":             {strayBits(sign(t, jose.EdDSA, "o", crypto.Signer(i.ed), claims(nil), nil)), "cannot be read"},
		"too long":                          {good + strings.Repeat("A", 16<<10), "more than 16384 bytes"},
	} {
		if got, err := decide(c.text, []policy.IdentityProvider{provider()}, allKeys(t)); err == nil || !strings.Contains(err.Error(), c.refusal) {
			t.Errorf("%s: %+v, %v, want %q", name, got, err, c.refusal)
		}
	}
	if _, err := decide(good, []policy.IdentityProvider{provider()}, allKeys(t)); err != nil {
		t.Errorf("the one that they are made from: %v", err)
	}
}

// A name that stands twice would mean one thing to the issuer and another here.
func TestRepeatedClaims(t *testing.T) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: corp().ec}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(`{"iss":"https://login.example.org","aud":"hanse","exp":99999999999,"sub":"ann","sub":"root"}`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decide(text, []policy.IdentityProvider{provider()}, allKeys(t)); err == nil {
		t.Errorf("accepted as %+v", got)
	}
}

func TestTwoProvidersOfOneIssuer(t *testing.T) {
	people, machines := provider(), provider(func(s *policy.IdentityProviderSpec) { s.Audiences, s.UserClaim = []string{"ci"}, "pipeline" })
	machines.Name = "ci"
	list := []policy.IdentityProvider{machines, people}
	for name, c := range map[string]struct {
		claims map[string]any
		want   []string
	}{
		"a person":  {nil, []string{"corp/ann"}},
		"a machine": {map[string]any{"aud": "ci", "pipeline": "deploy"}, []string{"ci/deploy"}},
		"both":      {map[string]any{"aud": []string{"ci", "hanse"}, "pipeline": "deploy"}, []string{"ci/deploy", "corp/ann"}},
		"neither":   {map[string]any{"aud": "else"}, nil},
	} {
		got, _ := decide(sign(t, jose.ES256, "e", corp().ec, claims(c.claims), nil), list, allKeys(t))
		var names []string
		for _, id := range got {
			names = append(names, id.Provider+"/"+id.User)
		}
		if !slices.Equal(names, c.want) {
			t.Errorf("%s: %v, want %v", name, names, c.want)
		}
	}
}

func TestKeySets(t *testing.T) {
	i := corp()
	keyText := func(k jose.JSONWebKey) string {
		text, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	good := keyText(jose.JSONWebKey{KeyID: "e", Key: i.ec.Public(), Use: "sig"})
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	for name, c := range map[string]struct {
		text    string
		refusal string
	}{
		"one":                       {set(good), ""},
		"beside what is not known":  {set(good, `{"kty":"future"}`, `7`, `{"kty":"EC"}`), ""},
		"beside one of no use here": {set(good, keyText(jose.JSONWebKey{Key: i.ec.Public(), Use: "enc"})), ""},
		"no text":                   {"", "not a set of keys"},
		"a page":                    {"<html>", "not a set of keys"},
		"no keys":                   {`{}`, "none of its 0 keys"},
		"a shared secret":           {set(`{"kty":"oct","k":"c2VjcmV0"}`), "none of its 1 keys"},
		"a private key":             {set(keyText(jose.JSONWebKey{Key: i.ec})), "none of its 1 keys"},
		"a short key":               {set(keyText(jose.JSONWebKey{Key: i.short.Public()})), "none of its 1 keys"},
		"another curve":             {set(keyText(jose.JSONWebKey{Key: i.wide.Public()})), "none of its 1 keys"},
		"another algorithm":         {set(keyText(jose.JSONWebKey{Key: i.ec.Public(), Algorithm: "ES384"})), "none of its 1 keys"},
		"for encryption":            {set(keyText(jose.JSONWebKey{Key: i.ec.Public(), Use: "enc"})), "none of its 1 keys"},
		"too many":                  {set(slices.Repeat([]string{good}, 65)...), "more than 64"},
	} {
		keys, err := ParseKeys([]byte(c.text))
		switch {
		case c.refusal == "" && (err != nil || len(keys.keys) != 1 || !keys.Has("e") || keys.Has("x")):
			t.Errorf("%s: %v, %v", name, keys, err)
		case c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)):
			t.Errorf("%s: %v, %v, want %q", name, keys, err, c.refusal)
		}
	}
}

// strayBits sets a bit behind the 512 of a token's signature: the library decodes it to the same bytes.
func strayBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])|1])
}

// A key that says for which algorithm it is counts for no other.
func TestAKeyIsForItsAlgorithm(t *testing.T) {
	keys := published(t, jose.JSONWebKey{KeyID: "r", Key: corp().rsa.Public(), Algorithm: "PS256"})
	for algorithm, good := range map[jose.SignatureAlgorithm]bool{jose.PS256: true, jose.RS256: false} {
		_, err := decide(sign(t, algorithm, "r", corp().rsa, claims(nil), nil), []policy.IdentityProvider{provider()}, keys)
		if (err == nil) != good {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

// Law: nothing from outside makes it panic, and no change to a signed token leaves it good.
func TestLawChangedTokensDoNotCount(t *testing.T) {
	good := sign(t, jose.EdDSA, "o", crypto.Signer(corp().ed), claims(nil), nil)
	keys, list := allKeys(t), []policy.IdentityProvider{provider()}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(good)-1).Draw(t, "at")
		text := good[:at] + rapid.StringN(0, 3, -1).Draw(t, "instead") + good[min(len(good), at+rapid.IntRange(0, 3).Draw(t, "cut")):]
		if strings.TrimSpace(text) == good {
			return
		}
		if got, err := decide(text, list, keys); err == nil {
			t.Fatalf("%q counts as %+v", text, got)
		}
	})
}
