package main

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/gossip"
	"github.com/hanse-mesh/hanse/federation/spread"
)

func TestGossipIsMeasured(t *testing.T) {
	store := gossip.NewStore(catalog.Limits{Records: 1}, slog.New(slog.DiscardHandler))
	one := model.SignedRecord{Key: "k", Record: []byte("12"), Signature: []byte("345")}
	other := one
	other.Key = "l"
	store.Offer(model.Batch{Origin: "north", Full: true, To: model.Version{Incarnation: 1, Epoch: 1, Seq: 1}, Upserts: []model.SignedRecord{one}})
	store.Offer(model.Batch{Origin: "north", Full: true, To: model.Version{Incarnation: 1, Epoch: 2, Seq: 1}, Upserts: []model.SignedRecord{one, other}})
	r := prometheus.NewRegistry()
	r.MustRegister(gossipMetrics{
		stats: func() gossip.Stats { return gossip.Stats{BatchesIn: 3, Asked: spread.Counts{Prunes: 2}} },
		peers: func() []gossip.Peer {
			return []gossip.Peer{{Name: "b", Alive: true, Connected: true}, {Name: "c", Alive: true}, {Name: "d"}}
		},
		charges: store.Charges,
	})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"hanse_gossip_batches_in_total": 3, "hanse_gossip_prunes_out_total": 2, "hanse_gossip_followed_nodes": 1, "hanse_gossip_alive_nodes": 2,
		"hanse_catalog_batches_total north": 2, "hanse_catalog_bytes_total north": 18, "hanse_catalog_refused_total north": 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
}
