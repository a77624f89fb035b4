package records

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

func newKey(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func record(name string) model.Record {
	return model.Record{
		Cluster: "alpha",
		Version: model.Version{Incarnation: 3, Epoch: 2, Seq: 1},
		Service: &model.ServiceRecord{
			Service:    model.ServiceKey{Namespace: "payments", Name: name},
			Ports:      []model.Port{{Name: "http", Number: 80, Protocol: model.ProtocolHTTP}},
			Identities: []string{model.WorkloadID("alpha.acme", "payments", name)},
			Capacity:   []model.Capacity{{Locality: model.Locality{Region: "eu", Zone: "a"}, Ready: 2, Total: 3}},
		},
	}
}

func sign(t *testing.T, key *ecdsa.PrivateKey, rec model.Record) model.SignedRecord {
	t.Helper()
	s, err := Sign(key, rec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignThenVerify(t *testing.T) {
	key, public := newKey(t)
	for _, rec := range []model.Record{
		record("shop"),
		{Cluster: "alpha", Gateways: []model.Gateway{{Name: "gw", Address: "10.0.0.1", Port: 15443, Locality: model.Locality{Region: "eu"}}}},
		{Cluster: "alpha", Status: &model.SiteStatus{AgentVersion: "1"}},
	} {
		s := sign(t, key, rec)
		again := sign(t, key, rec)
		if !bytes.Equal(s.Signature, again.Signature) || !bytes.Equal(s.Record, again.Record) {
			t.Fatalf("%s: signing twice gave different bytes", s.Key)
		}
		got, err := Verify(public, "alpha", s)
		if err != nil {
			t.Fatal(err)
		}
		if got.Key() != rec.Key() || got.Cluster != rec.Cluster || got.Version != rec.Version {
			t.Fatalf("got %+v, want %+v", got, rec)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	key, public := newKey(t)
	other, otherPublic := newKey(t)
	good := sign(t, key, record("shop"))

	moved := good
	moved.Key = "service/payments/vault"
	// A dishonest agent may sign any bytes: the record's own key must still be the one that it stands under.
	lying := model.SignedRecord{Key: "service/payments/vault", Record: good.Record}
	lying.Signature = rawSign(t, key, digest(lying))
	garbage := model.SignedRecord{Key: good.Key, Record: []byte{0xff, 0xff}}
	garbage.Signature = rawSign(t, key, digest(garbage))
	plain := good
	sum := sha256.Sum256(good.Record)
	plain.Signature = rawSign(t, key, sum[:])
	edPublic, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edDER, err := x509.MarshalPKIXPublicKey(edPublic)
	if err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		key    []byte
		origin model.ClusterName
		record model.SignedRecord
		want   error
	}{
		"another key":                {otherPublic, "alpha", good, ErrSignature},
		"signed by another":          {public, "alpha", sign(t, other, record("shop")), ErrSignature},
		"another origin":             {public, "beta", good, ErrMisplaced},
		"moved to another key":       {public, "alpha", moved, ErrSignature},
		"signed under another key":   {public, "alpha", lying, ErrMisplaced},
		"signed without the purpose": {public, "alpha", plain, ErrSignature},
		"no signature":               {public, "alpha", model.SignedRecord{Key: good.Key, Record: good.Record}, ErrSignature},
		"signed garbage":             {public, "alpha", garbage, nil},
		"member without a key":       {nil, "alpha", good, nil},
		"member with another kind":   {edDER, "alpha", good, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Verify(c.key, c.origin, c.record)
			if err == nil {
				t.Fatal("accepted")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestAnyFlippedBitIsFound(t *testing.T) {
	key, public := newKey(t)
	good := sign(t, key, record("shop"))
	rapid.Check(t, func(t *rapid.T) {
		s := model.SignedRecord{Key: good.Key, Record: slices.Clone(good.Record), Signature: slices.Clone(good.Signature)}
		part := rapid.SampledFrom([][]byte{s.Record, s.Signature}).Draw(t, "part")
		part[rapid.IntRange(0, len(part)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := Verify(public, "alpha", s); err == nil {
			t.Fatal("a changed record was accepted")
		}
	})
}

func TestSignRefusesOtherKeys(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(ed, record("shop")); err == nil {
		t.Fatal("signed with a key that is not ECDSA")
	}
}

func rawSign(t *testing.T, key *ecdsa.PrivateKey, digest []byte) []byte {
	t.Helper()
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}
