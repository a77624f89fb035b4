package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// Marshal returns everything held, for a disk cache. Of a record whose newest state is refused it is the state in force, if there is
// one: a session begins with full states, which bring the refused one again.
//
// Each origin is a full batch, followed by addenda that lead to the same version. One without records has ConfirmedAt as its time; one
// with records is a hold, with its end as its time. Who does not know addenda takes them for a confirmation and for a gap.
func (i *Imports) Marshal() ([]byte, error) {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(i.origins)) {
		for _, b := range i.origins[name].lasting(name) {
			if _, err := protodelim.MarshalTo(&out, codec.BatchToProto(b)); err != nil {
				return nil, fmt.Errorf("marshal imports: %w", err)
			}
		}
	}
	return out.Bytes(), nil
}

func (o *imported) lasting(name model.ClusterName) []model.Batch {
	full := model.Batch{Origin: name, To: o.version, Full: true, ProducedAt: o.producedAt, Instance: o.instance}
	for _, r := range o.records {
		full.Upserts = append(full.Upserts, r.lasting())
	}
	slices.SortFunc(full.Upserts, byKey)
	out := []model.Batch{full, o.addendum(name, o.confirmedAt)}
	if o.version.Seq == 0 {
		// Nobody publishes a seq of 0, and nothing could lead to it.
		return out
	}
	holds, keys := o.gone.byHold()
	for _, h := range holds {
		b := o.addendum(name, h.until)
		b.From.Seq = 0
		for _, key := range keys[h] {
			b.Upserts = append(b.Upserts, o.gone[key].entry.signed)
		}
		out = append(out, b)
	}
	return out
}

func (o *imported) addendum(name model.ClusterName, at time.Time) model.Batch {
	return model.Batch{Origin: name, From: o.version, To: o.version, ProducedAt: at, Instance: o.instance}
}

// Load takes in what Marshal returned. On an error, what stood before the damage is held.
func (i *Imports) Load(data []byte) error {
	in := bytes.NewReader(data)
	for in.Len() > 0 {
		var p hansev1.Batch
		if err := (protodelim.UnmarshalOptions{MaxSize: int64(in.Len())}).UnmarshalFrom(in, &p); err != nil {
			return fmt.Errorf("load imports: %w", err)
		}
		b, err := codec.BatchFromProto(&p)
		if err != nil {
			return fmt.Errorf("load imports: %w", err)
		}
		if err := i.loadBatch(b); err != nil {
			return fmt.Errorf("load imports: %w", err)
		}
	}
	return nil
}

func (i *Imports) loadBatch(b model.Batch) error {
	if b.Full {
		// Without an addendum nothing better is known than the origin's own clock.
		_, _, err := i.replace(b, nil, b.ProducedAt)
		return err
	}
	o := i.origins[b.Origin]
	if o == nil || b.To != o.version {
		return errors.New("a batch leads on from no full one")
	}
	if len(b.Upserts) == 0 {
		o.confirmedAt, o.exported = b.ProducedAt, nil
		return nil
	}
	h := &hold{since: b.ProducedAt.Add(-holdFor), until: b.ProducedAt}
	for _, r := range b.Upserts {
		if e := (entry{}).take(b.Origin, r, i.verify); i.holdable(b.Origin, e) || e.counts && r.Key == model.GatewaysKey {
			o.gone[r.Key] = vanished{entry: e, at: h.since, hold: h}
		}
	}
	h.of = i.services(b.Origin, o) + services(slices.Collect(maps.Keys(o.gone)))
	o.dropped, o.exported = !o.shown(), nil
	return nil
}

// shown reports whether a node told of the origin when it was saved: else there are at most its gateways.
func (o *imported) shown() bool {
	for key, e := range o.records {
		if !e.counts || key != model.GatewaysKey {
			return true
		}
	}
	return false
}
