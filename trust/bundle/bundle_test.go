package bundle

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

const domain = "alpha.acme"

type authority struct {
	key  *ecdsa.PrivateKey
	root []byte
}

func newAuthority(t *testing.T, mutate func(*x509.Certificate)) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(4e9, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		URIs: []*url.URL{{Scheme: "spiffe", Host: domain}},
	}
	if mutate != nil {
		mutate(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return authority{key, der}
}

func roots(as ...authority) [][]byte {
	var out [][]byte
	for _, a := range as {
		out = append(out, a.root)
	}
	return out
}

func sign(t *testing.T, sequence uint64, rs [][]byte, keys ...crypto.Signer) model.SignedBundle {
	t.Helper()
	s, err := Sign(model.Bundle{TrustDomain: domain, Sequence: sequence, Roots: rs}, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignIsDeterministicAndParses(t *testing.T) {
	a := newAuthority(t, nil)
	first, again := sign(t, 7, roots(a), a.key), sign(t, 7, roots(a), a.key)
	if !bytes.Equal(first.Statement, again.Statement) || !bytes.Equal(first.Signatures[0].Signature, again.Signatures[0].Signature) {
		t.Fatal("the same bundle and key gave different bytes")
	}
	b, err := Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	if b.TrustDomain != domain || b.Sequence != 7 || len(b.Roots) != 1 || !bytes.Equal(b.Roots[0], a.root) {
		t.Fatalf("parsed %+v", b)
	}
	if Digest(first) == Digest(sign(t, 8, roots(a), a.key)) {
		t.Fatal("two statements have one digest")
	}
}

func TestAccept(t *testing.T) {
	a, b := newAuthority(t, nil), newAuthority(t, nil)
	held := sign(t, 5, roots(a), a.key)
	tampered := sign(t, 6, roots(a), a.key)
	tampered.Statement = sign(t, 7, roots(a), a.key).Statement
	claimed := sign(t, 6, roots(b), b.key)
	claimed.Signatures[0].KeyHash = held.Signatures[0].KeyHash
	for name, c := range map[string]struct {
		held *model.SignedBundle
		next model.SignedBundle
		ok   bool
		want error
	}{
		"first sight":                   {nil, held, true, nil},
		"first sight, unsigned":         {nil, model.SignedBundle{Statement: held.Statement}, false, nil},
		"first sight, another's key":    {nil, sign(t, 1, roots(a), b.key), false, nil},
		"next sequence":                 {&held, sign(t, 6, roots(a), a.key), true, nil},
		"a root is added":               {&held, sign(t, 6, roots(a, b), a.key), true, nil},
		"a root is replaced, both sign": {&held, sign(t, 9, roots(b), a.key, b.key), true, nil},
		"replaced, new key alone":       {&held, sign(t, 6, roots(b), b.key), false, ErrBrokenChain},
		"added, new key alone":          {&held, sign(t, 6, roots(a, b), b.key), false, ErrBrokenChain},
		"replaced, old key alone":       {&held, sign(t, 6, roots(b), a.key), false, nil},
		"same sequence":                 {&held, sign(t, 5, roots(a, b), a.key), false, ErrNotNewer},
		"older":                         {&held, sign(t, 4, roots(a), a.key), false, ErrNotNewer},
		"signature of another text":     {&held, tampered, false, nil},
		"claims a key it has not":       {&held, claimed, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Accept(c.held, c.next)
			if (err == nil) != c.ok {
				t.Fatalf("err = %v, accepted should be %v", err, c.ok)
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("err = %v, want %v", err, c.want)
			}
			if c.ok && got.TrustDomain != domain {
				t.Fatalf("returned %+v", got)
			}
		})
	}
}

func TestAcceptRefusesAnotherDomain(t *testing.T) {
	a := newAuthority(t, func(c *x509.Certificate) { c.URIs = nil })
	held := sign(t, 1, roots(a), a.key)
	next, err := Sign(model.Bundle{TrustDomain: "beta.acme", Sequence: 2, Roots: roots(a)}, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Accept(&held, next); err == nil {
		t.Fatal("a bundle of another trust domain took the place of the held one")
	}
}

// Law: whatever order a carrier delivers statements of one chain in, the held sequence only grows, and the newest is accepted last.
func TestSequenceOnlyGrows(t *testing.T) {
	a := newAuthority(t, nil)
	var chain []model.SignedBundle
	for i := range 6 {
		chain = append(chain, sign(t, uint64(i+1), roots(a), a.key))
	}
	rapid.Check(t, func(t *rapid.T) {
		var held *model.SignedBundle
		var sequence uint64
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, 5), 1, 12).Draw(t, "order") {
			b, err := Accept(held, chain[i])
			if newer := uint64(i+1) > sequence; newer != (err == nil) {
				t.Fatalf("held %d, offered %d: %v", sequence, i+1, err)
			}
			if err == nil {
				held, sequence = &chain[i], b.Sequence
			}
		}
	})
}

func TestRootsAreValidated(t *testing.T) {
	good := newAuthority(t, nil)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]model.Bundle{
		"leaf":         {TrustDomain: domain, Roots: roots(newAuthority(t, func(c *x509.Certificate) { c.IsCA = false }))},
		"no cert sign": {TrustDomain: domain, Roots: roots(newAuthority(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }))},
		"other domain": {TrustDomain: "beta.acme", Roots: roots(good)},
		"with path": {TrustDomain: domain, Roots: roots(newAuthority(t, func(c *x509.Certificate) {
			c.URIs = []*url.URL{{Scheme: "spiffe", Host: domain, Path: "/ca"}}
		}))},
		"two names": {TrustDomain: domain, Roots: roots(newAuthority(t, func(c *x509.Certificate) {
			c.URIs = append(c.URIs, &url.URL{Scheme: "spiffe", Host: "beta.acme"})
		}))},
		"no roots":  {TrustDomain: domain},
		"too many":  {TrustDomain: domain, Roots: slices.Repeat(roots(good), maxRoots+1)},
		"garbage":   {TrustDomain: domain, Roots: [][]byte{{1, 2, 3}}},
		"bad name":  {TrustDomain: "Not A Domain", Roots: roots(good)},
		"full ID":   {TrustDomain: "spiffe://" + domain, Roots: roots(good)},
		"no domain": {Roots: roots(good)},
	} {
		if _, err := Sign(b, good.key); err == nil {
			t.Errorf("%s: signed", name)
		}
		statement, err := codec.MarshalBundle(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(model.SignedBundle{Statement: statement}); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	if _, err := Sign(model.Bundle{TrustDomain: domain, Roots: roots(good)}, ed); err == nil {
		t.Error("signed with a key that is not ECDSA")
	}
	if _, err := Sign(model.Bundle{TrustDomain: domain, Roots: roots(good)}); err == nil {
		t.Error("signed without a key")
	}
}

func TestGarbageNeverPanics(t *testing.T) {
	a := newAuthority(t, nil)
	good := sign(t, 1, roots(a), a.key)
	rapid.Check(t, func(t *rapid.T) {
		s := model.SignedBundle{Statement: slices.Clone(good.Statement), Signatures: []model.BundleSignature{{
			KeyHash:   good.Signatures[0].KeyHash,
			Signature: rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "signature"),
		}}}
		for range rapid.IntRange(0, 4).Draw(t, "flips") {
			s.Statement[rapid.IntRange(0, len(s.Statement)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		if _, err := Accept(&good, s); err == nil {
			t.Fatal("a forged bundle was accepted")
		}
		if _, err := Accept(nil, model.SignedBundle{Statement: rapid.SliceOf(rapid.Byte()).Draw(t, "statement")}); err == nil {
			t.Fatal("noise was accepted")
		}
	})
}
