// Package records owns the signature under which a cluster's agent states a record, and its verification by importers.
//
// The signed bytes name their purpose and the record's key, so that a signature counts for nothing else that the agent signs and
// a record cannot be moved to another key. The package is pure.
package records

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

const signatureDomain = "hanse.v1 record\x00"

// Errors by which a record is refused; Verify wraps them.
var (
	// ErrSignature means that the bytes were not signed by the agent's key: a forgery, a damage or a replaced key.
	ErrSignature = errors.New("signature is not by the member's key")
	// ErrMisplaced means that the record was signed for another cluster or key.
	ErrMisplaced = errors.New("record belongs elsewhere")
)

// Sign marshals rec and signs it with the agent's ECDSA key. The same record and key give the same bytes, so that an unchanged
// record never looks new.
func Sign(key crypto.Signer, rec model.Record) (model.SignedRecord, error) {
	if _, ok := key.Public().(*ecdsa.PublicKey); !ok {
		return model.SignedRecord{}, fmt.Errorf("sign record %s: key is %T, not ECDSA", rec.Key(), key.Public())
	}
	body, err := codec.MarshalRecord(rec)
	if err != nil {
		return model.SignedRecord{}, fmt.Errorf("sign record %s: %w", rec.Key(), err)
	}
	signed := model.SignedRecord{Key: rec.Key(), Record: body}
	// Without a random source ECDSA signs deterministically (RFC 6979).
	signed.Signature, err = key.Sign(nil, digest(signed), crypto.SHA256)
	if err != nil {
		return model.SignedRecord{}, fmt.Errorf("sign record %s: %w", rec.Key(), err)
	}
	return signed, nil
}

// Verify checks that the member's agent key (PKIX DER) signed s, and that s speaks of the origin and stands under its own key, and
// returns its content. Errors wrap ErrSignature or ErrMisplaced where these are the reason.
func Verify(agentKey []byte, origin model.ClusterName, s model.SignedRecord) (model.Record, error) {
	if len(s.Key) > codec.MaxRecordKey || len(s.Signature) > codec.MaxSignature {
		return model.Record{}, fmt.Errorf("verify record of %s: key of %d and signature of %d bytes: %w", origin, len(s.Key), len(s.Signature), ErrSignature)
	}
	parsed, err := x509.ParsePKIXPublicKey(agentKey)
	if err != nil {
		return model.Record{}, fmt.Errorf("verify record %q of %s: member's key: %w", s.Key, origin, err)
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return model.Record{}, fmt.Errorf("verify record %q of %s: member's key is %T, not ECDSA", s.Key, origin, parsed)
	}
	if !ecdsa.VerifyASN1(public, digest(s), s.Signature) {
		return model.Record{}, fmt.Errorf("verify record %q of %s: %w", s.Key, origin, ErrSignature)
	}
	rec, err := codec.UnmarshalRecord(s.Record)
	switch {
	case err != nil:
		return model.Record{}, fmt.Errorf("verify record %q of %s: %w", s.Key, origin, err)
	case rec.Cluster != origin:
		return model.Record{}, fmt.Errorf("verify record %q of %s: %w: it is of cluster %s", s.Key, origin, ErrMisplaced, rec.Cluster)
	case rec.Key() != s.Key:
		return model.Record{}, fmt.Errorf("verify record %q of %s: %w: its content is %s", s.Key, origin, ErrMisplaced, rec.Key())
	}
	return rec, nil
}

// digest is injective in (key, record): the key's length comes first.
func digest(s model.SignedRecord) []byte {
	h := sha256.New()
	h.Write([]byte(signatureDomain))
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s.Key))))
	h.Write([]byte(s.Key))
	h.Write(s.Record)
	return h.Sum(nil)
}
