// Package jwt owns which JSON Web Tokens (RFC 7519) of identity providers prove who an operator is.
//
// A token counts when a provider of the federation names its issuer and one of its audiences, when it is valid now, and when a key of
// the provider has signed it by an algorithm with public keys. The package is pure: keys and time are arguments. No error repeats a token.
package jwt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	josejwt "github.com/go-jose/go-jose/v4/jwt"

	"github.com/hanse-mesh/hanse/api/policy"
)

// Leeway is by how much the clocks of an issuer and of a node may differ.
const Leeway = time.Minute

const (
	// maxToken bounds a token's text, in bytes.
	maxToken = 16 << 10
	// maxShown bounds what an error repeats of a claim, in characters.
	maxShown = 80
)

// algorithms are the signatures that count (RFC 7518, RFC 8037): none whose key is a shared secret, because an issuer's keys are public.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.PS256, jose.EdDSA}

var (
	// ErrUnknownKey means that no held key is the one that the token names: the issuer may have a newer one.
	ErrUnknownKey = errors.New("it is signed with a key that the provider does not publish")
	// ErrNoKeys means that nothing could be judged, because a provider's keys have never been got.
	ErrNoKeys = errors.New("the provider's keys are not known yet")
)

// Identity is whom a token names.
type Identity struct {
	// Provider is the name of the IdentityProvider that accepts the token, Issuer its issuer.
	Provider, Issuer string
	User             string
	Groups           []string
}

// Token is a token that was read and not judged: nothing that it says may be believed yet.
type Token struct {
	signed *jose.JSONWebSignature
	issuer string
}

// Looks reports whether a text has the form of a token: three parts with points between them.
func Looks(text string) bool { return strings.Count(text, ".") == 2 }

var errUnreadable = errors.New("the JWT cannot be read: copy it whole")

// Read takes a token's text apart; white space around it does not count. Errors say what is wrong with its form or its algorithm.
func Read(text string) (Token, error) {
	if len(text) > maxToken {
		return Token{}, fmt.Errorf("the JWT has more than %d bytes", maxToken)
	}
	text = strings.TrimSpace(text)
	if !canonical(text) {
		return Token{}, errUnreadable
	}
	signed, err := jose.ParseSignedCompact(text, algorithms)
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &algorithm):
		return Token{}, fmt.Errorf("the JWT is signed by algorithm %.20q: only %v count", algorithm.Got, algorithms)
	case err != nil:
		return Token{}, errUnreadable
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil || claims.Issuer == "" {
		return Token{}, errors.New(`the JWT has no claim "iss" that names its issuer`)
	}
	return Token{signed: signed, issuer: claims.Issuer}, nil
}

// canonical reports whether each part is base64url as RFC 7515 writes it: without padding, white space or stray bits at its end. The library
// decodes more than that, and a token that can be written in several ways has several names wherever its text is one.
func canonical(text string) bool {
	for part := range strings.SplitSeq(text, ".") {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || base64.RawURLEncoding.EncodeToString(data) != part {
			return false
		}
	}
	return true
}

// KeyID is the name of the key that signed, as the token says; empty when it names none.
func (t Token) KeyID() string { return t.signed.Signatures[0].Header.KeyID }

// Providers are those of the list whose issuer the token names. Without any the error says so.
func (t Token) Providers(list []policy.IdentityProvider) ([]policy.IdentityProvider, error) {
	var out []policy.IdentityProvider
	for _, p := range list {
		if p.Spec.Issuer == t.issuer {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the JWT's issuer %q is no identity provider of this federation: see 'hanse get identity-providers'", shown(t.issuer))
	}
	return out, nil
}

// Judge returns whom the token names by a provider, or why it does not count. It is ErrUnknownKey when none of the keys is the token's.
func (t Token) Judge(p policy.IdentityProvider, keys Keys, now time.Time) (Identity, error) {
	payload, err := t.verify(keys)
	if err != nil {
		return Identity{}, err
	}
	var registered josejwt.Claims
	var all map[string]any
	// The library's own decoder refuses repeated names and takes none for another that differs in case.
	if json.Unmarshal(payload, &registered) != nil || json.Unmarshal(payload, &all) != nil {
		return Identity{}, errors.New("its claims cannot be read")
	}
	if err := judge(registered, p.Spec, now); err != nil {
		return Identity{}, err
	}
	id := Identity{Provider: p.Name, Issuer: registered.Issuer}
	if id.User, err = userOf(all, claimName(p.Spec.UserClaim, "sub")); err != nil {
		return Identity{}, err
	}
	if id.Groups, err = groupsOf(all, claimName(p.Spec.GroupsClaim, "groups")); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// verify returns the content once a key has been found that signed it.
func (t Token) verify(keys Keys) ([]byte, error) {
	header := t.signed.Signatures[0].Header
	signers := keys.candidates(header.KeyID, header.Algorithm)
	if len(signers) == 0 {
		return nil, ErrUnknownKey
	}
	for _, k := range signers {
		if payload, err := t.signed.Verify(k.Key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("its signature is wrong")
}

// judge checks the registered claims.
func judge(c josejwt.Claims, spec policy.IdentityProviderSpec, now time.Time) error {
	if c.Expiry == nil {
		return errors.New(`it has no end: the claim "exp" is missing`)
	}
	err := c.ValidateWithLeeway(josejwt.Expected{Issuer: spec.Issuer, AnyAudience: spec.Audiences, Time: now}, Leeway)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, josejwt.ErrInvalidIssuer):
		return fmt.Errorf("its issuer is %q, not the provider's", shown(c.Issuer))
	case errors.Is(err, josejwt.ErrInvalidAudience):
		return fmt.Errorf("it is for the audience %q, which is none that the provider's policy names", shown(strings.Join(c.Audience, " ")))
	case errors.Is(err, josejwt.ErrExpired):
		return fmt.Errorf("it expired at %s, and the clock here says %s: get a new one", stamp(c.Expiry.Time()), stamp(now))
	case errors.Is(err, josejwt.ErrNotValidYet):
		return fmt.Errorf("it is not valid before %s, and the clock here says %s: clocks may differ", stamp(c.NotBefore.Time()), stamp(now))
	default:
		return fmt.Errorf("it was issued in the future, and the clock here says %s: clocks may differ", stamp(now))
	}
}

func claimName(given, usual string) string {
	if given != "" {
		return given
	}
	return usual
}

// maxUser bounds the name of a user or group, in bytes; role bindings have the same bound.
const maxUser = 256

func userOf(claims map[string]any, name string) (string, error) {
	user, ok := claims[name].(string)
	if !ok || user == "" {
		return "", fmt.Errorf("it has no claim %q that names the user: see userClaim of the provider", shown(name))
	}
	// An address that its owner has not proven may be anybody's choice.
	if verified, said := claims["email_verified"]; name == "email" && said && verified != true {
		return "", errors.New(`its claim "email" is not verified by the issuer`)
	}
	return user, checkName(name, user)
}

// groupsOf takes one name or a list of them; no claim is no group.
func groupsOf(claims map[string]any, name string) ([]string, error) {
	var out []string
	switch v := claims[name].(type) {
	case nil:
	case string:
		out = []string{v}
	case []any:
		for _, e := range v {
			group, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("its claim %q holds something else than names of groups", shown(name))
			}
			out = append(out, group)
		}
	default:
		return nil, fmt.Errorf("its claim %q is neither a name nor a list of names", shown(name))
	}
	for _, group := range out {
		if err := checkName(name, group); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// checkName keeps out what could not be shown in one line.
func checkName(claim, name string) error {
	if len(name) > maxUser || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("its claim %q is not text of at most %d bytes", shown(claim), maxUser)
	}
	return nil
}

func shown(text string) string {
	if runes := []rune(text); len(runes) > maxShown {
		return string(slices.Clip(runes[:maxShown])) + "…"
	}
	return text
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
