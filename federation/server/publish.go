package server

import (
	"bytes"
	"fmt"
	"maps"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/trust/authz"
	"github.com/hanse-mesh/hanse/trust/records"
)

// accepted is what a session has published: each record as it was signed, and read. The catalog bounds how much it is.
type accepted struct {
	records map[string]read
	// refused are the keys that do not count, with the reason; catalogKey is among them when a whole batch did not.
	refused map[string]string
	// waiting is set from a batch that could not be taken until a full state comes: deltas in between make no sense.
	waiting bool
}

type read struct {
	signed model.SignedRecord
	record model.Record
	// err is why the record does not count whatever the policy is.
	err error
}

// publish takes a batch of the agent's own cluster into the catalog. An error ends the session.
func (x *session) publish(p *hansev1.Batch) error {
	b, err := codec.BatchFromProto(p)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "batch: %v", err)
	}
	own, err := member(x.server.view(), x.cluster, x.key)
	if err != nil {
		return err
	}
	switch {
	case b.Origin != x.cluster:
		return status.Errorf(codes.PermissionDenied, "cluster %s may not publish for %s", x.cluster, b.Origin)
	case b.Instance != x.instance:
		return status.Errorf(codes.InvalidArgument, "the batch is of instance %.80q, the session of %s", b.Instance, x.instance)
	case b.To.Incarnation != own.Incarnation:
		return status.Errorf(codes.FailedPrecondition, "the batch is of incarnation %d, but cluster %s is a member since incarnation %d: connect again",
			b.To.Incarnation, x.cluster, own.Incarnation)
	}
	if held, yes := x.outrun(b); yes {
		return x.superseded(b, held)
	}
	x.mu.Lock()
	skip := x.accepted.waiting && !b.Full
	x.mu.Unlock()
	if skip {
		return nil
	}
	if b.Full || len(b.Upserts)+len(b.Removals) > 0 {
		// Records are judged before the catalog has them, so that no importer's session sees one that is refused.
		x.judge(own, x.server.view().ExportList(), b)
	}
	return x.offered(b, x.server.cfg.Store.Offer(b))
}

func (x *session) offered(b model.Batch, out catalog.Outcome) error {
	held, outrun := x.outrun(b)
	switch {
	case out.Clone || outrun:
		return x.superseded(b, held)
	case out.Err != nil:
		// Deltas are left aside until the agent has less to say; its imports go on.
		x.wait(true)
		x.log.Warn("catalog refused a batch", "err", out.Err)
		x.mu.Lock()
		if x.accepted.refused == nil {
			x.accepted.refused = map[string]string{}
		}
		x.accepted.refused[catalogKey] = out.Err.Error()
		x.mu.Unlock()
		x.postRefusals(true)
		return nil
	case out.Gap:
		x.wait(true)
		return x.note(func(o *outbox) error {
			o.resync = fmt.Sprintf("node %s holds version %v of %s, the batch leads on from %v", x.server.cfg.Node.Name, out.Held, x.cluster, b.From)
			return nil
		})
	case out.Held.Compare(b.To) > 0:
		return status.Errorf(codes.Aborted, "the batch is of version %v, and this process has published %v: connect again", b.To, out.Held)
	}
	x.server.sessions.supersede(x, "")
	x.wait(false)
	return nil
}

func (x *session) wait(waiting bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.accepted.waiting = waiting
}

// held is what the catalog holds of the agent's own cluster.
func (x *session) held() catalog.Origin {
	o, _ := x.server.cfg.Store.Origin(x.cluster)
	return o
}

// The keys under which refusals stand that are not a record's.
const (
	catalogKey = "catalog"
	bundleKey  = "bundle"
)

// judge reads the batch's records, verifies their signatures and what they claim, and publishes which do not count. The bytes stay in
// the catalog as they are: importers' sessions leave refused ones out, and every importer judges again.
func (x *session) judge(own model.Cluster, rules []policy.ExportRule, b model.Batch) {
	x.mu.Lock()
	old := x.accepted.records
	if b.Full || old == nil {
		x.accepted.records, x.accepted.refused = map[string]read{}, map[string]string{}
	}
	for _, key := range b.Removals {
		delete(x.accepted.records, key)
		delete(x.accepted.refused, key)
	}
	for _, signed := range b.Upserts {
		r, same := old[signed.Key]
		if !same || !bytes.Equal(r.signed.Record, signed.Record) || !bytes.Equal(r.signed.Signature, signed.Signature) {
			r = readRecord(own, signed, b.To)
		}
		x.accepted.records[signed.Key] = r
		x.accepted.decide(own, rules, signed.Key)
	}
	told := len(x.accepted.records)
	x.mu.Unlock()
	if b.Full {
		// It is told in full in any case, and has been paid for.
		told = 0
	}
	x.caused = consequence{refusals: x.postRefusals(true), records: told}
}

// rejudge decides anew which of the published records count under changed rules or membership.
func (x *session) rejudge(own model.Cluster, rules []policy.ExportRule) {
	x.mu.Lock()
	published := x.accepted.records != nil
	for key := range x.accepted.records {
		x.accepted.decide(own, rules, key)
	}
	x.mu.Unlock()
	if published {
		x.postRefusals(false)
	}
}

// decide judges one published record.
func (a *accepted) decide(own model.Cluster, rules []policy.ExportRule, key string) {
	r := a.records[key]
	err := r.err
	if err == nil {
		err = authz.CheckRecord(own, rules, r.record)
	}
	if err != nil {
		a.refused[key] = err.Error()
	} else {
		delete(a.refused, key)
	}
}

func readRecord(own model.Cluster, signed model.SignedRecord, to model.Version) read {
	r := read{signed: signed}
	r.record, r.err = records.Verify(own.AgentKey, own.Name, signed)
	if v := r.record.Version; r.err == nil && (v.Incarnation != own.Incarnation || v.Compare(to) > 0) {
		r.err = fmt.Errorf("record is of version %v, which is not one of this membership up to %v", v, to)
	}
	return r
}

// postRefusals publishes the refusals of the session, has the agent told when they have changed, and reports whether they have.
func (x *session) postRefusals(publishes bool) bool {
	x.mu.Lock()
	reasons := maps.Clone(x.accepted.refused)
	x.mu.Unlock()
	if !x.server.refusals.set(x, reasons, publishes) {
		return false
	}
	x.log.Info("refused records changed", "count", len(reasons))
	// The outbox's own change cannot fail.
	_ = x.note(func(o *outbox) error { o.refused = true; return nil })
	return true
}
