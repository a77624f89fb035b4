package catalog

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// Marshal returns everything held, for a disk cache. Of a record whose newest state is refused it is the state in force, if there is
// one: a session begins with full states, which bring the refused one again.
func (i *Imports) Marshal() ([]byte, error) {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(i.origins)) {
		o := i.origins[name]
		b := model.Batch{Origin: name, To: o.version, Full: true, ProducedAt: o.producedAt, Instance: o.instance}
		for _, r := range o.records {
			b.Upserts = append(b.Upserts, r.lasting())
		}
		slices.SortFunc(b.Upserts, byKey)
		if _, err := protodelim.MarshalTo(&out, codec.BatchToProto(b)); err != nil {
			return nil, fmt.Errorf("marshal imports: %w", err)
		}
	}
	return out.Bytes(), nil
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
		if _, _, err := i.Apply(b); err != nil {
			return fmt.Errorf("load imports: %w", err)
		}
	}
	return nil
}
