package sim

import (
	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/trust/records"
)

// memo remembers what signing and verifying gave: both are functions of their bytes, and slow.
type memo struct {
	results map[memoKey]verified
	// genuine are the contents that some agent has signed, by the record's own memory.
	genuine map[any]model.ClusterName
	signed  int
}

type memoKey struct{ member, origin, key, record, signature string }

type verified struct {
	record model.Record
	err    error
}

func (m *memo) sign(by signer, r model.Record) (model.SignedRecord, error) {
	signed, err := records.Sign(by.key, r)
	if err != nil {
		return signed, err
	}
	key := keyOf(by.public, r.Cluster, signed)
	if _, known := m.results[key]; !known && m.signed%verifyEvery != 0 {
		held, err := codec.UnmarshalRecord(signed.Record)
		m.results[key] = verified{held, err}
	}
	m.signed++
	held, err := m.verify(by.public, r.Cluster, signed)
	if err == nil && identity(held) != nil {
		m.genuine[identity(held)] = r.Cluster
	}
	return signed, err
}

// verifyEvery is how often a signature made here is verified, too: whatever else comes is verified each time that it is new.
const verifyEvery = 16

func keyOf(member []byte, origin model.ClusterName, s model.SignedRecord) memoKey {
	return memoKey{string(member), string(origin), s.Key, string(s.Record), string(s.Signature)}
}

func (m *memo) verify(member []byte, origin model.ClusterName, s model.SignedRecord) (model.Record, error) {
	key := keyOf(member, origin, s)
	if v, ok := m.results[key]; ok {
		return v.record, v.err
	}
	r, err := records.Verify(member, origin, s)
	m.results[key] = verified{r, err}
	return r, err
}

// identity tells decoded records apart by the memory that they share with the memo.
func identity(r model.Record) any {
	switch {
	case r.Service != nil:
		return r.Service
	case r.Status != nil:
		return r.Status
	case r.Verdicts != nil:
		return r.Verdicts
	case len(r.Gateways) > 0:
		return &r.Gateways[0]
	default:
		return nil
	}
}
