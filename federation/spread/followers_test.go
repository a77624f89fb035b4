package spread

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

// asking is a node that follows the streams a, b and c.
type asking struct {
	*testing.T
	*Followers
	held *catalog.Catalog
	now  time.Time
}

func newAsking(t *testing.T, l catalog.Limits) *asking {
	c := catalog.New(l)
	a := &asking{t, NewFollowers(c, DefaultTiming()), c, start}
	for _, stream := range []string{"a", "b", "c"} {
		a.Opened(stream, 2)
	}
	return a
}

func (a *asking) take(stream string, b model.Batch) []string {
	return lines(a.Took(stream, b, a.held.Merge(b), a.now))
}

func (a *asking) hear(stream string, v model.Version) []string {
	return lines(a.Heard(stream, []Have{{Origin: "x", Version: v, ProducedAt: start}}, a.now))
}

// wait lets time pass and returns what is asked for meanwhile.
func (a *asking) wait(d time.Duration) (out []string) {
	for until := a.now.Add(d); ; {
		due, ok := a.Due()
		if !ok || due.After(until) {
			a.now = until
			return out
		}
		a.now = due
		out = append(out, lines(a.Tick(a.now))...)
	}
}

func lines(requests []Request) []string {
	var out []string
	for _, r := range requests {
		if r.Prune {
			out = append(out, fmt.Sprintf("%s: prune %s", r.Stream, r.Origin))
		} else {
			out = append(out, fmt.Sprintf("%s: pull %s from %d.%d", r.Stream, r.Origin, r.Version.Epoch, r.Version.Seq))
		}
	}
	return out
}

func TestTheSecondToBringABatchIsPruned(t *testing.T) {
	a := newAsking(t, catalog.Limits{})
	b := fullState("x", version(1, 1), "1")
	expect(t, "the first", a.take("a", b))
	expect(t, "the second", a.take("b", b), "b: prune x")
	expect(t, "what was under way", a.take("b", b))
	a.wait(a.timing.Patience)
	expect(t, "one that goes on is told again", a.take("b", b), "b: prune x")
	if got := a.eagerStreams("x"); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("eager: %v", got)
	}
}

// TestTheLastEagerLinkStays has an origin's writer be at this node: all streams tell only what is held.
func TestTheLastEagerLinkStays(t *testing.T) {
	a := newAsking(t, catalog.Limits{})
	b := fullState("x", version(1, 1), "1")
	a.held.Merge(b)
	expect(t, "first echo", a.take("a", b))
	expect(t, "second echo", a.take("b", b), "b: prune x")
	expect(t, "third echo", a.take("c", b), "c: prune x")
	expect(t, "first again", a.take("a", b))
	if got := a.eagerStreams("x"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("eager: %v", got)
	}
}

func TestNewsAreWaitedForThenPulled(t *testing.T) {
	a := newAsking(t, catalog.Limits{})
	expect(t, "nobody has brought anything", a.hear("b", version(1, 1)), "b: pull x from 0.0")
	expect(t, "the pull is under way", a.hear("c", version(1, 1)))
	a.take("b", fullState("x", version(1, 1), "1"))
	expect(t, "the answer has come", a.wait(a.timing.Patience))

	expect(t, "b pushes", a.hear("c", version(1, 2)))
	expect(t, "for a grace", a.wait(a.timing.Grace-1))
	expect(t, "then c is asked", a.wait(1), "c: pull x from 1.1")
	expect(t, "a has the same", a.hear("a", version(1, 2)))
	expect(t, "c is given time", a.wait(a.timing.Patience-1))
	expect(t, "then a is asked", a.wait(time.Millisecond), "a: pull x from 1.1")
	expect(t, "and nobody else", a.wait(a.timing.Again/2))
	expect(t, "who was asked is not asked again", a.hear("c", version(1, 3)))
	expect(t, "until much later", a.wait(a.timing.Grace))
	a.wait(a.timing.Again)
	a.hear("c", version(1, 3))
	expect(t, "then", a.wait(a.timing.Grace), "c: pull x from 1.1")
}

// TestManyDeadlinesAreLookedAtTogether has more deadlines than there are times to look at all that is waited for.
func TestManyDeadlinesAreLookedAtTogether(t *testing.T) {
	a := newAsking(t, catalog.Limits{})
	const origins = 100
	for i := range origins {
		a.Heard("a", []Have{{Origin: model.ClusterName(fmt.Sprint("x", i)), Version: version(1, 1)}}, a.now)
		a.now = a.now.Add(time.Millisecond)
	}
	looks := 0
	for due, ok := a.Due(); ok; due, ok = a.Due() {
		a.Tick(due)
		looks++
	}
	if looks > 2*origins/10 {
		t.Errorf("%d deadlines within %d ms were looked at %d times", origins, origins, looks)
	}
}

func TestOldNewsAreNotPulled(t *testing.T) {
	a := newAsking(t, catalog.Limits{})
	a.take("a", fullState("x", version(2, 5), "1"))
	expect(t, "older", a.hear("b", version(2, 4)))
	expect(t, "equal", a.hear("b", version(2, 5)))
	expect(t, "nothing", lines(a.Heard("b", []Have{{Origin: "y"}}, a.now)))
	if due, ok := a.Due(); ok {
		t.Errorf("something is due at %v", due)
	}
	// A later confirmation is waited for longer than a change.
	expect(t, "confirmed", lines(a.Heard("b", []Have{{Origin: "x", Version: version(2, 5), ProducedAt: start.Add(time.Second)}}, a.now)))
	expect(t, "for long", a.wait(a.timing.Stale-1))
	expect(t, "not for ever", a.wait(1), "b: pull x from 2.5")
}

func TestGapsArePulledOnce(t *testing.T) {
	a := newAsking(t, catalog.Limits{})
	a.take("a", fullState("x", version(1, 1), "1"))
	expect(t, "gap", a.take("a", delta("x", version(1, 2), version(1, 3), "3")), "a: pull x from 1.1")
	expect(t, "under way", a.take("a", delta("x", version(1, 3), version(1, 4), "4")))
	// The answer, a delta from what was held, does not get the link pruned though b was faster.
	a.take("b", delta("x", version(1, 1), version(1, 4), "4"))
	expect(t, "answered", a.take("a", delta("x", version(1, 1), version(1, 4), "4")))
	expect(t, "the next", a.take("a", delta("x", version(1, 4), version(1, 5), "5")))

	clone := delta("x", version(1, 5), version(1, 6), "6")
	clone.Instance = "another"
	expect(t, "another writer's", a.take("c", clone), "c: pull x from 0.0")
	expect(t, "another content", lines(a.Heard("b", []Have{{Origin: "y", Version: version(1, 1), Digest: []byte("12345678")}}, a.now)), "b: pull y from 0.0")
	a.take("b", fullState("y", version(1, 1), "1"))
	expect(t, "of one version", lines(a.Heard("c", []Have{{Origin: "y", Version: version(1, 1), Digest: []byte("12345678")}}, a.now)), "c: pull y from 0.0")
}

// The answer to a pull can be another writer's change: that its answer is under way brings nothing then.
func TestAnotherWritersAnswerIsPulledInFull(t *testing.T) {
	a := newAsking(t, catalog.Limits{})
	a.take("a", fullState("x", version(1, 5), "1"))
	expect(t, "news", a.hear("b", version(1, 6)))
	expect(t, "are pulled", a.wait(a.timing.Grace), "b: pull x from 1.5")
	clone := delta("x", version(1, 5), version(1, 6), "6")
	clone.Instance = "another"
	expect(t, "nothing leads on from what is held", a.take("b", clone), "b: pull x from 0.0")
	expect(t, "once", a.take("b", clone))
	whole := fullState("x", version(1, 6), "6")
	whole.Instance = "another"
	a.take("b", whole)
	if held, _ := a.held.Origin("x"); held.Version != version(1, 6) || held.Instance != "another" {
		t.Errorf("held is %+v", held)
	}
}

// TestWhatIsRefusedIsNotPulledAgainAndAgain has an origin exceed a limit of this node's.
func TestWhatIsRefusedIsNotPulledAgainAndAgain(t *testing.T) {
	a := newAsking(t, catalog.Limits{Records: 1})
	large := fullState("x", version(1, 1), "1", "2")
	expect(t, "refused", a.take("a", large))
	expect(t, "a gap of it", a.take("a", delta("x", version(1, 1), version(1, 2), "3")))
	expect(t, "news of it", a.hear("a", version(1, 3)))
	expect(t, "later", a.wait(a.timing.Again-1))
	expect(t, "much later", a.hear("a", version(1, 4)))
	a.wait(time.Millisecond)
	expect(t, "in the end", a.hear("a", version(1, 5)), "a: pull x from 0.0")
}

func TestTheEndOfAStream(t *testing.T) {
	a := newAsking(t, catalog.Limits{})
	b := fullState("x", version(1, 1), "1")
	a.take("a", b)
	a.take("b", b)
	a.take("c", b)
	a.hear("c", version(1, 2))
	expect(t, "of a pruned link", lines(a.Closed("b", a.now)))
	expect(t, "of the eager one", lines(a.Closed("a", a.now)), "c: pull x from 1.1")
	expect(t, "of the last", lines(a.Closed("c", a.now)))
	if len(a.origins) != 0 || len(a.waiting) != 0 {
		t.Errorf("remembered: %v, %v", a.origins, a.waiting)
	}
	expect(t, "a stream that has ended", a.take("a", b))
}

// TestAFloodOfMadeUpOriginsIsBounded has one stream tell of more origins than are remembered; the others are heard.
func TestAFloodOfMadeUpOriginsIsBounded(t *testing.T) {
	a := newAsking(t, catalog.Limits{})
	flood := make([]Have, 3*maxOrigins)
	for i := range flood {
		flood[i] = Have{Origin: model.ClusterName(fmt.Sprint("made-up-", i)), Version: version(1, 1)}
	}
	if got := a.Heard("a", flood, a.now); len(got) > maxOrigins {
		t.Errorf("%d pulls", len(got))
	}
	a.wait(a.timing.Again)
	a.Heard("a", flood, a.now)
	if n := len(a.origins); n > maxOrigins {
		t.Errorf("%d origins are remembered", n)
	}
	if n := len(a.waiting); n > maxOrigins {
		t.Errorf("%d origins are waited for", n)
	}
	expect(t, "b", a.hear("b", version(1, 1)), "b: pull x from 0.0")
	// What has not come makes room after a while.
	a.wait(a.timing.Patience + 1)
	expect(t, "a", lines(a.Heard("a", []Have{{Origin: "y", Version: version(1, 1)}}, a.now)), "a: pull y from 0.0")
	if a.Counts().Dropped == 0 {
		t.Error("nothing was counted as dropped")
	}
}
