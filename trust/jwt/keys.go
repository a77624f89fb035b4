package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxKeys bounds a set: a token that names no key is tried with each.
	maxKeys = 64
	// Shorter RSA keys can be broken; longer ones cost whoever verifies too much.
	minRSABits, maxRSABits = 2048, 8192
)

// Keys are the public keys by which an issuer's tokens are verified.
type Keys struct{ keys []jose.JSONWebKey }

// ParseKeys reads a JSON Web Key Set (RFC 7517). Keys that are not for signatures that count are left out; without any other the set is
// an error.
func ParseKeys(text []byte) (Keys, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return Keys{}, errors.New(`it is not a set of keys: {"keys": […]} as RFC 7517 says`)
	}
	if len(set.Keys) > maxKeys {
		return Keys{}, fmt.Errorf("it has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	var out Keys
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) == nil && usable(k) {
			out.keys = append(out.keys, k)
		}
	}
	if len(out.keys) == 0 {
		return Keys{}, fmt.Errorf("none of its %d keys is a public one for signatures by %v", len(set.Keys), algorithms)
	}
	return out, nil
}

// Has reports whether a key has that name.
func (k Keys) Has(id string) bool {
	return slices.ContainsFunc(k.keys, func(key jose.JSONWebKey) bool { return key.KeyID == id })
}

// candidates are the keys that may have signed: by the name that the token gives, or all when it gives none.
func (k Keys) candidates(id, algorithm string) []jose.JSONWebKey {
	var out []jose.JSONWebKey
	for _, key := range k.keys {
		if (id == "" || key.KeyID == id) && fits(key, jose.SignatureAlgorithm(algorithm)) {
			out = append(out, key)
		}
	}
	return out
}

func usable(k jose.JSONWebKey) bool {
	return (k.Use == "" || k.Use == "sig") && slices.ContainsFunc(algorithms, func(a jose.SignatureAlgorithm) bool { return fits(k, a) })
}

// fits ties the algorithm to the key: what the token says of its algorithm never decides alone. Private and shared keys fit none.
func fits(k jose.JSONWebKey, algorithm jose.SignatureAlgorithm) bool {
	if k.Algorithm != "" && k.Algorithm != string(algorithm) {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		return (algorithm == jose.RS256 || algorithm == jose.PS256) && minRSABits <= bits && bits <= maxRSABits
	case *ecdsa.PublicKey:
		return algorithm == jose.ES256 && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return algorithm == jose.EdDSA
	}
	return false
}
