package gossip

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

func TestASubscriptionTellsEachOriginOnce(t *testing.T) {
	w := newWorld(t)
	s := NewStore(catalog.Limits{}, w.logger())
	s.Offer(full("before", at(1, 1)))
	sub := s.Subscribe()
	for seq := uint64(1); seq < 100; seq++ {
		s.Offer(full("south", at(1, seq)))
		s.Offer(full("north", at(1, seq)))
	}
	s.Offer(full("south", at(1, 1)))
	next := func() []model.ClusterName {
		t.Helper()
		names, err := sub.Next(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got := next(); !slices.Equal(got, []model.ClusterName{"north", "south"}) {
		t.Errorf("changed: %v", got)
	}
	// What changes nothing is not told; a confirmation is.
	s.Offer(full("north", at(1, 5)))
	s.Offer(delta("north", at(1, 200)))
	alive := delta("south", at(1, 99))
	alive.From, alive.ProducedAt = alive.To, alive.ProducedAt.Add(1)
	s.Offer(alive)
	if got := next(); !slices.Equal(got, []model.ClusterName{"south"}) {
		t.Errorf("changed: %v", got)
	}
	sub.Close()
	s.Offer(full("north", at(2, 1)))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if got, err := sub.Next(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("after Close: %v, %v", got, err)
	}
}

func TestNextWaitsForAChange(t *testing.T) {
	w := newWorld(t)
	s := NewStore(catalog.Limits{}, w.logger())
	sub := s.Subscribe()
	defer sub.Close()
	got := make(chan []model.ClusterName)
	go func() {
		names, _ := sub.Next(w.ctx)
		got <- names
	}()
	s.Offer(full("north", at(1, 1)))
	if names := <-got; !slices.Equal(names, []model.ClusterName{"north"}) {
		t.Errorf("changed: %v", names)
	}
}

func TestStoreReportsClonesAndLimits(t *testing.T) {
	w := newWorld(t)
	s := NewStore(catalog.Limits{Records: 1}, w.logger())
	s.Offer(full("north", at(1, 1), record("k", "1")))
	clone := full("north", at(1, 2), record("k", "2"))
	clone.Instance = "other-process"
	if s.Offer(clone); !w.hasLogged("level=ERROR", "two processes publish", "north", "other-process") {
		t.Errorf("a clone is not reported: %v", w.logged())
	}
	if s.Offer(full("south", at(1, 1), record("k", "1"), record("l", "1"))); !w.hasLogged("level=WARN", "south", "limit of 1") {
		t.Errorf("a refusal is not reported: %v", w.logged())
	}
	s.Forget("north")
	if _, held := s.Records("north"); held || len(s.Origins()) != 0 {
		t.Error("a forgotten origin is held")
	}
}

func TestAStoreIsSharedByMany(t *testing.T) {
	w := newWorld(t)
	s := NewStore(catalog.Limits{}, w.logger())
	sub := s.Subscribe()
	defer sub.Close()
	const writers, batches = 4, 200
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			name := fmt.Sprint("origin-", i)
			for seq := uint64(1); seq <= batches; seq++ {
				s.Offer(full(name, at(1, seq), record("k", fmt.Sprint(seq))))
				s.Records(model.ClusterName(name))
				s.Since(model.ClusterName(name), at(1, seq-1))
			}
		})
	}
	// Whatever is told last of an origin is followed by no change.
	newest := map[model.ClusterName]model.Version{}
	for done := 0; done < writers; {
		names, err := sub.Next(w.ctx)
		if err != nil {
			t.Fatalf("the last changes were not told: %v", newest)
		}
		for _, name := range names {
			o, _ := s.Origin(name)
			if newest[name] != o.Version && o.Version == at(1, batches) {
				done++
			}
			newest[name] = o.Version
		}
	}
	all.Wait()
}
