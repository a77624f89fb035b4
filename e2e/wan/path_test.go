package wan

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the conditions are and however they change, frames do not overtake each other, take no longer than delay and jitter unless
// they queue behind one that does, and are lost by chance and by cuts alone.
func TestArrival(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, last := time.Unix(0, 0), time.Time{}
		for range rapid.IntRange(1, 30).Draw(t, "frames") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "pause")) * time.Millisecond)
			c := Conditions{
				Delay: time.Duration(rapid.IntRange(0, 300).Draw(t, "delay")) * time.Millisecond, Jitter: time.Duration(rapid.IntRange(0, 50).Draw(t, "jitter")) * time.Millisecond,
				Loss: rapid.SampledFrom([]float64{0, 0.05, 0.5, 1}).Draw(t, "loss"), Cut: rapid.Bool().Draw(t, "cut"),
			}
			chance := [2]float64{rapid.Float64Range(0, 0.999).Draw(t, "chance of loss"), rapid.Float64Range(0, 0.999).Draw(t, "chance of jitter")}
			at, ok := c.arrival(now, last, chance)
			if lost := c.Cut || chance[0] < c.Loss; ok == lost {
				t.Fatalf("%+v with %v: arrives %v", c, chance, ok)
			}
			if !ok {
				continue
			}
			if at.Before(now.Add(c.Delay)) && !at.Equal(last) || at.Before(last) || at.After(now.Add(c.Delay+c.Jitter)) && !at.Equal(last) {
				t.Fatalf("%+v: sent at %v, arrives at %v, the one before at %v", c, now, at, last)
			}
			last = at
		}
	})
}

// A limited path carries no more than its rate, whatever is offered, and loses what would wait too long.
func TestRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Conditions{Rate: rapid.Int64Range(100_000, 1_000_000_000).Draw(t, "rate")}
		start := time.Unix(0, 0)
		now, free := start, start
		var bits int64
		for range rapid.IntRange(1, 100).Draw(t, "frames") {
			now = now.Add(time.Duration(rapid.IntRange(0, 10_000).Draw(t, "pause")) * time.Microsecond)
			size := rapid.IntRange(60, maxFrame).Draw(t, "size")
			at, ok := c.departure(now, free, size)
			if !ok {
				if free.Sub(now) <= maxWait {
					t.Fatalf("lost after a wait of %v", free.Sub(now))
				}
				continue
			}
			bits, free = bits+int64(size)*8, at
			if room := int64(at.Sub(start).Seconds()*float64(c.Rate)) + 100; bits > room {
				t.Fatalf("%d bits left within %v at %d bit/s", bits, at.Sub(start), c.Rate)
			}
		}
	})
}

func TestACutLosesWhatIsUnderWay(t *testing.T) {
	p := newPath(func([]byte) {}, func() float64 { return 0.5 })
	p.set(Conditions{Delay: time.Hour})
	p.send([]byte{1})
	if due, _ := p.due(time.Now().Add(2 * time.Hour)); len(due) != 1 {
		t.Fatalf("%d frames arrive, want 1", len(due))
	}
	p.send([]byte{2})
	p.set(Conditions{Cut: true})
	p.send([]byte{3})
	if due, _ := p.due(time.Now().Add(2 * time.Hour)); len(due) != 0 {
		t.Errorf("%d frames arrive through a cut", len(due))
	}
}

func TestAFullPathLosesFrames(t *testing.T) {
	p := newPath(func([]byte) {}, func() float64 { return 0.5 })
	p.set(Conditions{Delay: time.Hour})
	for range maxUnderWay + 3 {
		p.send(nil)
	}
	if due, _ := p.due(time.Now().Add(2 * time.Hour)); len(due) != maxUnderWay || p.overflow.Load() != 3 {
		t.Errorf("%d frames arrive and %d are counted as lost, want %d and 3", len(due), p.overflow.Load(), maxUnderWay)
	}
}
