package codec

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// Bounds on what the catalog takes from outside.
const (
	// MaxRecordKey is the longest record key, in bytes.
	MaxRecordKey = 512
	// MaxRecord is the largest marshalled record, in bytes.
	MaxRecord = 64 << 10
	// MaxBatchRecords is how many records one batch may change.
	MaxBatchRecords = 50_000
	// MaxInstance is the longest process instance id, in bytes.
	MaxInstance = 128
)

// VersionToProto encodes a version.
func VersionToProto(v model.Version) *hansev1.Version {
	return &hansev1.Version{Incarnation: v.Incarnation, Epoch: v.Epoch, Seq: v.Seq}
}

// VersionFromProto decodes a version; a missing one is zero.
func VersionFromProto(p *hansev1.Version) model.Version {
	return model.Version{Incarnation: p.GetIncarnation(), Epoch: p.GetEpoch(), Seq: p.GetSeq()}
}

// BatchToProto encodes a batch. Records are carried as the bytes that they are.
func BatchToProto(b model.Batch) *hansev1.Batch {
	out := &hansev1.Batch{
		Origin: string(b.Origin), To: VersionToProto(b.To), Full: b.Full, Removals: b.Removals,
		ProducedAt: timestamppb.New(b.ProducedAt), Instance: b.Instance, RemovalsConfirmed: b.Confirmed,
	}
	if !b.Full {
		out.From = VersionToProto(b.From)
	}
	for _, r := range b.Upserts {
		out.Upserts = append(out.Upserts, &hansev1.SignedRecord{Key: r.Key, Record: r.Record, Signature: r.Signature})
	}
	return out
}

// BatchFromProto decodes a batch from outside: names are valid, sizes are bounded, no key stands twice.
func BatchFromProto(p *hansev1.Batch) (model.Batch, error) {
	origin, err := model.ParseClusterName(p.GetOrigin())
	if err != nil {
		return model.Batch{}, fmt.Errorf("batch: origin: %w", err)
	}
	b := model.Batch{
		Origin: origin, From: VersionFromProto(p.GetFrom()), To: VersionFromProto(p.GetTo()), Full: p.GetFull(),
		ProducedAt: lenientTime(p.GetProducedAt()), Instance: p.GetInstance(), Confirmed: p.GetRemovalsConfirmed(),
	}
	switch {
	case b.To.IsZero():
		return model.Batch{}, fmt.Errorf("batch of %s: it has no version", origin)
	case len(b.Instance) > MaxInstance:
		return model.Batch{}, fmt.Errorf("batch of %s: instance id is longer than %d bytes", origin, MaxInstance)
	case len(p.GetUpserts())+len(p.GetRemovals()) > MaxBatchRecords:
		return model.Batch{}, fmt.Errorf("batch of %s: more than %d records", origin, MaxBatchRecords)
	case b.Full && len(p.GetRemovals()) > 0:
		return model.Batch{}, fmt.Errorf("batch of %s: a full state has no removals", origin)
	case !b.Full && !b.From.SameEpoch(b.To):
		return model.Batch{}, fmt.Errorf("batch of %s: it leads from one epoch into another", origin)
	case !b.Full && b.From.Compare(b.To) > 0:
		return model.Batch{}, fmt.Errorf("batch of %s: it leads backwards", origin)
	case !b.Full && b.From == b.To && len(p.GetUpserts())+len(p.GetRemovals()) > 0:
		return model.Batch{}, fmt.Errorf("batch of %s: it changes records without changing the version", origin)
	}
	if err := cmp.Or(b.From.Validate(), b.To.Validate()); err != nil {
		return model.Batch{}, fmt.Errorf("batch of %s: %w", origin, err)
	}
	if err := batchRecords(&b, p); err != nil {
		return model.Batch{}, fmt.Errorf("batch of %s: %w", origin, err)
	}
	return b, nil
}

func batchRecords(b *model.Batch, p *hansev1.Batch) error {
	seen := make(map[string]bool, len(p.GetUpserts())+len(p.GetRemovals()))
	claim := func(key string) error {
		switch {
		case key == "" || len(key) > MaxRecordKey:
			return fmt.Errorf("a record key has %d bytes, not 1 to %d", len(key), MaxRecordKey)
		case seen[key]:
			return fmt.Errorf("record %q stands twice", key)
		}
		seen[key] = true
		return nil
	}
	for _, r := range p.GetUpserts() {
		if err := claim(r.GetKey()); err != nil {
			return err
		}
		if len(r.GetRecord()) > MaxRecord || len(r.GetSignature()) > MaxSignature {
			return fmt.Errorf("record %q has %d bytes and a signature of %d, more than %d and %d", r.GetKey(),
				len(r.GetRecord()), len(r.GetSignature()), MaxRecord, MaxSignature)
		}
		b.Upserts = append(b.Upserts, model.SignedRecord{Key: r.GetKey(), Record: r.GetRecord(), Signature: r.GetSignature()})
	}
	for _, key := range p.GetRemovals() {
		if err := claim(key); err != nil {
			return err
		}
		b.Removals = append(b.Removals, key)
	}
	return nil
}

// MarshalRecord encodes a record; the same record always gives the same bytes. A status record is cut to fit; any other that has more
// than MaxRecord bytes is an error, because whoever receives it refuses the whole batch.
func MarshalRecord(r model.Record) ([]byte, error) {
	out := &hansev1.Record{Cluster: string(r.Cluster), Version: VersionToProto(r.Version)}
	switch {
	case r.Service != nil:
		out.Content = &hansev1.Record_Service{Service: serviceToProto(*r.Service)}
	case r.Status != nil:
		out.Content = &hansev1.Record_Status{Status: statusToProto(*r.Status)}
	case r.Verdicts != nil:
		out.Content = &hansev1.Record_Verdicts{Verdicts: verdictsToProto(*r.Verdicts)}
	default:
		out.Content = &hansev1.Record_Gateways{Gateways: gatewaysToProto(r.Gateways)}
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("marshal record %s: %w", r.Key(), err)
	}
	if len(data) > MaxRecord {
		return nil, fmt.Errorf("marshal record %s: it has %d bytes, more than the %d allowed", r.Key(), len(data), MaxRecord)
	}
	return data, nil
}

// UnmarshalRecord decodes a record from outside and validates what it says.
func UnmarshalRecord(data []byte) (model.Record, error) {
	if len(data) > MaxRecord {
		return model.Record{}, fmt.Errorf("record is larger than %d bytes", MaxRecord)
	}
	var p hansev1.Record
	if err := proto.Unmarshal(data, &p); err != nil {
		return model.Record{}, fmt.Errorf("record is malformed: %w", err)
	}
	cluster, err := model.ParseClusterName(p.GetCluster())
	if err != nil {
		return model.Record{}, fmt.Errorf("record: %w", err)
	}
	r := model.Record{Cluster: cluster, Version: VersionFromProto(p.GetVersion())}
	switch c := p.GetContent().(type) {
	case *hansev1.Record_Service:
		s, err := serviceFromProto(c.Service)
		if err != nil {
			return model.Record{}, fmt.Errorf("service record of %s: %w", cluster, err)
		}
		r.Service = &s
	case *hansev1.Record_Gateways:
		if r.Gateways, err = gatewaysFromProto(c.Gateways); err != nil {
			return model.Record{}, fmt.Errorf("gateways record of %s: %w", cluster, err)
		}
	case *hansev1.Record_Status:
		s := statusFromProto(c.Status)
		r.Status = &s
	case *hansev1.Record_Verdicts:
		v, err := verdictsFromProto(c.Verdicts)
		if err != nil {
			return model.Record{}, fmt.Errorf("verdicts record of %s: %w", cluster, err)
		}
		r.Verdicts = &v
	default:
		// A newer kind of record: it is kept and forwarded as bytes, and means nothing here.
		return model.Record{}, errors.New("record is of a kind that this version does not know")
	}
	return r, nil
}

// lenientTime decodes a time that nothing depends on: a missing or impossible one is zero.
func lenientTime(p *timestamppb.Timestamp) time.Time {
	if p == nil || p.CheckValid() != nil {
		return time.Time{}
	}
	return p.AsTime()
}
