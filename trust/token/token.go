// Package token owns the text that operators copy to let a cluster, node, operator or workload in: "hanse-KIND-1.DATA".
//
// DATA is base64url of a length, a JSON payload and a checksum over kind and payload, so that a text that was cut short, mistyped or
// relabelled is told apart before anything is sent. The package is pure; randomness is passed in. No error repeats a secret.
package token

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// Workload is the kind of the tokens that a site's agent mints; the replicated state holds none of them.
const Workload model.TokenKind = "workload"

// Kinds lists what a token can be for.
var Kinds = []model.TokenKind{model.TokenCluster, model.TokenNode, model.TokenOperator, Workload}

// The bounds of a token's parts, in bytes and pieces.
const (
	pinSize      = sha256.Size
	maxAddresses = 32
	maxName      = 255
	maxText      = 16 << 10
)

// Token is a credential in the hands of its user, with all that is needed to find and recognise the one who redeems it.
type Token struct {
	Kind model.TokenKind
	// ID is public: it names the token in lists and errors.
	ID string
	// Secret is known to the token's holder only; whoever redeems it holds its Hash.
	Secret string
	// Issuer is the federation's name, for a workload token the cluster's.
	Issuer string
	// Pin is the SHA-256 of the issuer's root certificate, DER.
	Pin []byte
	// Addresses are host:port, in order of preference.
	Addresses []string
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// New makes a token with a fresh ID (50 bits) and secret (256 bits) read from rand.
func New(kind model.TokenKind, rand io.Reader, issuer string, pin []byte, addresses []string) (Token, error) {
	var entropy [39]byte
	if _, err := io.ReadFull(rand, entropy[:]); err != nil {
		return Token{}, fmt.Errorf("make %s token: read random bytes: %w", kind, err)
	}
	t := Token{
		Kind:      kind,
		ID:        idEncoding.EncodeToString(entropy[:7])[:10],
		Secret:    base64.RawURLEncoding.EncodeToString(entropy[7:]),
		Issuer:    issuer,
		Pin:       slices.Clone(pin),
		Addresses: slices.Clone(addresses),
	}
	if err := t.validate(); err != nil {
		return Token{}, fmt.Errorf("make %s token: %w", kind, err)
	}
	return t, nil
}

// Hash is what the redeeming side keeps of a secret: its SHA-256. Secrets have 256 random bits, so no slow hash is needed.
func Hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// Require returns an error that names both kinds unless the token is of the kind that is wanted.
func (t Token) Require(kind model.TokenKind) error {
	if t.Kind == kind {
		return nil
	}
	return fmt.Errorf("the %s token given is not the %s token needed here: make one with 'hanse token create %s'", t.Kind, kind, kind)
}

func (t Token) validate() error {
	switch {
	case !slices.Contains(Kinds, t.Kind):
		return fmt.Errorf("token kind %q is not one of cluster, node, operator, workload", t.Kind)
	case t.ID == "" || len(t.ID) > maxName:
		return fmt.Errorf("token id must have 1 to %d characters", maxName)
	case t.Secret == "" || len(t.Secret) > maxName:
		return fmt.Errorf("token secret must have 1 to %d characters", maxName)
	case t.Issuer == "" || len(t.Issuer) > maxName:
		return fmt.Errorf("token issuer must have 1 to %d characters", maxName)
	case len(t.Pin) != pinSize:
		return fmt.Errorf("token pin has %d bytes, not the %d of a SHA-256", len(t.Pin), pinSize)
	case len(t.Addresses) == 0 || len(t.Addresses) > maxAddresses:
		return fmt.Errorf("token must name 1 to %d addresses, not %d", maxAddresses, len(t.Addresses))
	}
	for _, a := range t.Addresses {
		if err := validateAddress(a); err != nil {
			return err
		}
	}
	return nil
}

func validateAddress(a string) error {
	if len(a) > maxName || strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("token address is not host:port in at most %d printable characters", maxName)
	}
	colon := strings.LastIndexByte(a, ':')
	if colon < 0 {
		return fmt.Errorf("token address %q is not host:port", a)
	}
	host := a[:colon]
	if bare, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(bare, "]")
	} else if strings.Contains(host, ":") {
		return fmt.Errorf("token address %q is not host:port: put brackets around an IPv6 address", a)
	}
	if port, err := strconv.ParseUint(a[colon+1:], 10, 16); err != nil || port == 0 || host == "" {
		return fmt.Errorf("token address %q is not host:port", a)
	}
	return nil
}
