// Package bundle owns the rules by which one statement of a trust domain's roots may follow another.
//
// A bundle is signed by the CA keys of the trust domain that it speaks for. Who holds one accepts a next one only from a key that
// the held one names, so that those who carry bundles cannot forge them. The package is pure.
package bundle

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

// The bounds of a bundle.
const (
	maxRoots      = 8
	maxSignatures = 8
	maxSignature  = 256
)

// signatureDomain keeps a signature over a bundle from counting for anything else that the same key signs.
const signatureDomain = "hanse.v1 bundle statement\x00"

// Errors by which a next bundle is refused; Accept wraps them.
var (
	// ErrNotNewer means that the sequence is not higher than the held one's.
	ErrNotNewer = errors.New("bundle is not newer than the held one")
	// ErrBrokenChain means that no key of the held bundle vouches for the next one. Only an operator's word mends that.
	ErrBrokenChain = errors.New("no key of the held bundle has signed the next one")
)

// Sign makes a statement of b with a signature of each signer. Signatures are deterministic: the same bundle and keys give the same
// bytes. Signers must be ECDSA keys; one at least must belong to a root of b, and to replace roots that others hold, one to those.
func Sign(b model.Bundle, signers ...crypto.Signer) (model.SignedBundle, error) {
	if _, err := validate(b); err != nil {
		return model.SignedBundle{}, fmt.Errorf("sign bundle: %w", err)
	}
	if len(signers) == 0 || len(signers) > maxSignatures {
		return model.SignedBundle{}, fmt.Errorf("sign bundle of %s: give 1 to %d keys, not %d", b.TrustDomain, maxSignatures, len(signers))
	}
	statement, err := codec.MarshalBundle(b)
	if err != nil {
		return model.SignedBundle{}, fmt.Errorf("sign bundle: %w", err)
	}
	signed := model.SignedBundle{Statement: statement}
	digest := Digest(signed)
	for _, s := range signers {
		public, ok := s.Public().(*ecdsa.PublicKey)
		if !ok {
			return model.SignedBundle{}, fmt.Errorf("sign bundle of %s: key is %T, not ECDSA", b.TrustDomain, s.Public())
		}
		hash, err := keyHash(public)
		if err != nil {
			return model.SignedBundle{}, fmt.Errorf("sign bundle of %s: %w", b.TrustDomain, err)
		}
		// Without a random source ECDSA signs deterministically (RFC 6979).
		signature, err := s.Sign(nil, digest[:], crypto.SHA256)
		if err != nil {
			return model.SignedBundle{}, fmt.Errorf("sign bundle of %s: %w", b.TrustDomain, err)
		}
		signed.Signatures = append(signed.Signatures, model.BundleSignature{KeyHash: hash, Signature: signature})
	}
	return signed, nil
}

// Digest is the SHA-256 that signers sign and witnesses compare. It covers the statement, not who signed it.
func Digest(s model.SignedBundle) [32]byte {
	return sha256.Sum256(append([]byte(signatureDomain), s.Statement...))
}

// Parse reads and validates a bundle's content. It checks no signature: see Accept.
func Parse(s model.SignedBundle) (model.Bundle, error) {
	b, _, err := parse(s)
	return b, err
}

func parse(s model.SignedBundle) (model.Bundle, []*x509.Certificate, error) {
	if len(s.Signatures) > maxSignatures {
		return model.Bundle{}, nil, fmt.Errorf("bundle has %d signatures, more than %d", len(s.Signatures), maxSignatures)
	}
	b, err := codec.UnmarshalBundle(s.Statement)
	if err != nil {
		return model.Bundle{}, nil, err
	}
	roots, err := validate(b)
	if err != nil {
		return model.Bundle{}, nil, err
	}
	return b, roots, nil
}

// Accept decides whether next may take the place of held and returns its content. Without a held bundle any statement that one of
// its own roots has signed is accepted: whether a first sight is to be believed is the caller's decision.
//
// Errors wrap ErrNotNewer or ErrBrokenChain where these are the reason.
func Accept(held *model.SignedBundle, next model.SignedBundle) (model.Bundle, error) {
	b, roots, err := parse(next)
	if err != nil {
		return model.Bundle{}, fmt.Errorf("accept bundle: %w", err)
	}
	if !signedBy(next, roots) {
		return model.Bundle{}, fmt.Errorf("accept bundle of %s: none of its own roots has signed it", b.TrustDomain)
	}
	if held == nil {
		return b, nil
	}
	old, oldRoots, err := parse(*held)
	switch {
	case err != nil:
		return model.Bundle{}, fmt.Errorf("accept bundle of %s: the held one cannot be read: %w", b.TrustDomain, err)
	case old.TrustDomain != b.TrustDomain:
		return model.Bundle{}, fmt.Errorf("accept bundle: it is of trust domain %s, the held one of %s", b.TrustDomain, old.TrustDomain)
	case b.Sequence <= old.Sequence:
		return model.Bundle{}, fmt.Errorf("accept bundle of %s: %w: sequence %d, held %d", b.TrustDomain, ErrNotNewer, b.Sequence, old.Sequence)
	case !signedBy(next, oldRoots):
		return model.Bundle{}, fmt.Errorf("accept bundle of %s, sequence %d: %w: if its CA was replaced, an operator must confirm the new one",
			b.TrustDomain, b.Sequence, ErrBrokenChain)
	}
	return b, nil
}

// signedBy reports whether a key of the roots has signed s.
func signedBy(s model.SignedBundle, roots []*x509.Certificate) bool {
	digest := Digest(s)
	for _, root := range roots {
		// validate admits ECDSA roots only.
		public, ok := root.PublicKey.(*ecdsa.PublicKey)
		if !ok {
			continue
		}
		hash := sha256.Sum256(root.RawSubjectPublicKeyInfo)
		for _, sig := range s.Signatures {
			if bytes.Equal(sig.KeyHash, hash[:]) && len(sig.Signature) <= maxSignature && ecdsa.VerifyASN1(public, digest[:], sig.Signature) {
				return true
			}
		}
	}
	return false
}

func keyHash(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	hash := sha256.Sum256(der)
	return hash[:], nil
}

func validate(b model.Bundle) ([]*x509.Certificate, error) {
	td, err := spiffeid.TrustDomainFromString(b.TrustDomain)
	if err != nil || td.Name() != b.TrustDomain {
		return nil, fmt.Errorf("bundle's trust domain %q is not a plain SPIFFE trust domain name", clip(b.TrustDomain))
	}
	if len(b.Roots) == 0 || len(b.Roots) > maxRoots {
		return nil, fmt.Errorf("bundle of %s must have 1 to %d roots, not %d", td, maxRoots, len(b.Roots))
	}
	roots := make([]*x509.Certificate, 0, len(b.Roots))
	for i, der := range b.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("bundle of %s: root %d: %w", td, i, err)
		}
		if err := validateRoot(td, root); err != nil {
			return nil, fmt.Errorf("bundle of %s: root %d: %w", td, i, err)
		}
		roots = append(roots, root)
	}
	return roots, nil
}

// validateRoot checks a signing certificate by the X509-SVID standard; a SPIFFE ID in it must name the bundle's trust domain alone.
func validateRoot(td spiffeid.TrustDomain, root *x509.Certificate) error {
	if _, ok := root.PublicKey.(*ecdsa.PublicKey); !ok {
		return fmt.Errorf("its key is %T, not ECDSA", root.PublicKey)
	}
	switch {
	case !root.BasicConstraintsValid || !root.IsCA:
		return errors.New("it is not a CA certificate")
	case root.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("its key usage does not allow it to sign certificates")
	case len(root.URIs) > 1:
		return fmt.Errorf("it has %d URI names, at most one is allowed", len(root.URIs))
	case len(root.URIs) == 1 && root.URIs[0].String() != td.IDString():
		return fmt.Errorf("it is of %q, not of %s", clip(root.URIs[0].String()), td.IDString())
	}
	return nil
}

// clip bounds what an error repeats of foreign input.
func clip(s string) string {
	const limit = 100
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
