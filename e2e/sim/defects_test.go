package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/feed"
	"github.com/hanse-mesh/hanse/federation/spread"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// defects are faults as they could slip into the code under test, each a wrapper around one of the world's seams.
var defects = []struct {
	name  string
	plant func(*seams)
}{
	{"a tie is decided by arrival", func(s *seams) {
		sound := s.merge
		s.merge = func(c *catalog.Catalog, b model.Batch) catalog.Outcome {
			if held, ok := c.Origin(b.Origin); ok && b.Full && held.Version == b.To && held.Instance != b.Instance {
				return catalog.Outcome{Held: held.Version}
			}
			return sound(c, b)
		}
	}},
	{"a batch is applied over a gap", func(s *seams) {
		sound := s.merge
		s.merge = func(c *catalog.Catalog, b model.Batch) catalog.Outcome {
			out := sound(c, b)
			if out.Gap && !out.Clone && out.Held.SameEpoch(b.To) {
				b.From = out.Held
				out = sound(c, b)
			}
			return out
		}
	}},
	{"an old epoch is accepted", func(s *seams) {
		sound := s.merge
		s.merge = func(c *catalog.Catalog, b model.Batch) catalog.Outcome {
			if held, ok := c.Origin(b.Origin); ok && b.Full && held.Version.Incarnation == b.To.Incarnation && b.To.Epoch < held.Version.Epoch {
				c.Forget(b.Origin)
			}
			return sound(c, b)
		}
	}},
	{"a mass removal is not held", func(s *seams) {
		sound := s.apply
		s.apply = func(i *catalog.Imports, b model.Batch, now time.Time) (bool, bool, error) {
			b.Confirmed = true
			return sound(i, b, now)
		}
	}},
	{"a verdict does not expire", func(s *seams) {
		s.heard = func(a *agent, h verdict.Heard) verdict.Heard {
			h.ConfirmedAt = a.wall()
			return h
		}
	}},
	{"an incarnation is ignored", func(s *seams) {
		s.incarnation = func(model.Cluster, model.Version) bool { return true }
		s.filter = func(x *session, f feed.Filter) feed.Filter {
			if held, ok := x.n.catalog.Origin(f.Origin.Name); ok {
				f.Origin.Incarnation = held.Version.Incarnation
			}
			return f
		}
	}},
	{"an export rule's deletion is not applied", func(s *seams) {
		type seen struct {
			a       *agent
			origin  model.ClusterName
			service model.ServiceKey
		}
		sound, opened := s.opens, map[seen]bool{}
		s.opens = func(a *agent, origin model.ClusterName, service model.ServiceKey) bool {
			key := seen{a, origin, service}
			opened[key] = opened[key] || sound(a, origin, service)
			return opened[key]
		}
		s.filter = func(x *session, f feed.Filter) feed.Filter {
			f.Rules = slices.Concat(f.Rules, x.rulesOnce)
			x.rulesOnce = f.Rules
			return f
		}
	}},
	{"a removal is forgotten in a delta", func(s *seams) {
		sound := s.since
		s.since = func(c *catalog.Catalog, origin model.ClusterName, have model.Version) (model.Batch, bool) {
			b, ok := sound(c, origin, have)
			b.Removals = nil
			return b, ok
		}
	}},
	{"what is missing is never pulled", func(s *seams) {
		s.request = func(r spread.Request) bool { return r.Prune }
	}},
	{"a failback skips its ramp", func(s *seams) {
		s.ramps = func(map[route.RampKey]uint32) map[route.RampKey]uint32 { return nil }
	}},
	{"a signature is not checked", func(s *seams) {
		sound := s.verify
		s.verify = func(w *world, key []byte, origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
			if rec, err := sound(w, key, origin, r); err == nil {
				return rec, nil
			}
			return codec.UnmarshalRecord(r.Record)
		}
	}},
}

// TestDefectsAreFound plants each defect and looks for a seed that shows it; the same seed must be clean without it.
func TestDefectsAreFound(t *testing.T) {
	for _, d := range defects {
		t.Run(d.name, func(t *testing.T) {
			var found Result
			n := search(1, seedsByDefault, func(seed uint64) Result {
				return Run(Options{Seed: seed, Troubled: troubled, Quiet: quiet, wrap: d.plant})
			}, func(r Result) bool {
				if r.Violation != "" && (found.Violation == "" || r.Seed < found.Seed) {
					found = r
				}
				return found.Violation == ""
			})
			if found.Violation == "" {
				t.Fatalf("not found in %d seeds", n)
			}
			t.Logf("found after %d seeds, in seed %d at %v: %s: %s", n, found.Seed, found.At, found.Violation, found.Detail)
			if r := run(found.Seed); r.Violation != "" {
				t.Errorf("seed %d fails without the defect, too: %s: %s", r.Seed, r.Violation, r.Detail)
			}
		})
	}
}

// TestASeedReplays lives through some seeds twice: everything must happen again, to the last event.
func TestASeedReplays(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(3) {
		first, second := run(seed+1), run(seed+1)
		if first.Digest != second.Digest || first.Events != second.Events {
			t.Errorf("seed %d: %016x after %d events, then %016x after %d", seed+1, first.Digest, first.Events, second.Digest, second.Events)
		}
		seen[first.Digest] = true
	}
	if len(seen) != 3 {
		t.Error("different seeds live through the same")
	}
}
