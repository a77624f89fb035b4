package wan

import (
	"sync"
	"sync/atomic"
	"time"
)

// Conditions are how it is to travel from one region to another.
type Conditions struct {
	// Delay is how long a frame travels, Jitter what is added at most by chance. Frames do not overtake each other.
	Delay, Jitter time.Duration
	// Loss is the share of frames that are lost, from 0 to 1.
	Loss float64
	// Rate is how many bits pass in a second, without bound if it is 0. What would wait longer than maxWait for its turn is lost.
	Rate int64
	// Cut loses everything, what is under way included.
	Cut bool
}

// maxWait is how long a frame queues at most where the rate is limited.
const maxWait = 200 * time.Millisecond

// departure is when a frame that is sent now is on its way, or false when the queue is too long. free is when the frame before it is.
func (c Conditions) departure(now, free time.Time, size int) (time.Time, bool) {
	if c.Rate <= 0 {
		return now, true
	}
	if free.Before(now) {
		free = now
	}
	if free.Sub(now) > maxWait {
		return time.Time{}, false
	}
	return free.Add(time.Duration(int64(size) * 8 * int64(time.Second) / c.Rate)), true
}

// arrival is when a frame that is sent now arrives, or false when it is lost. last is when the frame before it arrives; chance are two
// random numbers from 0 to 1.
func (c Conditions) arrival(now, last time.Time, chance [2]float64) (time.Time, bool) {
	if c.Cut || chance[0] < c.Loss {
		return time.Time{}, false
	}
	at := now.Add(c.Delay + time.Duration(chance[1]*float64(c.Jitter)))
	if at.Before(last) {
		at = last
	}
	return at, true
}

// maxUnderWay bounds the frames under way on one path: beyond it, frames are lost as in a router whose queue is full.
const maxUnderWay = 20_000

// path carries frames from one region to another.
type path struct {
	deliver func(frame []byte)
	random  func() float64
	// wake holds a token when there is a frame under way that the courier does not know of.
	wake     chan struct{}
	overflow atomic.Int64

	mu         sync.Mutex
	conditions Conditions
	last, free time.Time
	underWay   []parcel
}

type parcel struct {
	frame []byte
	at    time.Time
}

func newPath(deliver func([]byte), random func() float64) *path {
	return &path{deliver: deliver, random: random, wake: make(chan struct{}, 1)}
}

// set changes the conditions for frames that are sent from now on; a cut also loses those under way.
func (p *path) set(c Conditions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conditions = c
	if c.Cut {
		p.underWay = nil
	}
}

// send takes over a frame.
func (p *path) send(frame []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	departure, ok := p.conditions.departure(time.Now(), p.free, len(frame))
	if !ok {
		p.overflow.Add(1)
		return
	}
	p.free = departure
	at, ok := p.conditions.arrival(departure, p.last, [2]float64{p.random(), p.random()})
	if !ok {
		return
	}
	if len(p.underWay) >= maxUnderWay {
		p.overflow.Add(1)
		return
	}
	p.last = at
	p.underWay = append(p.underWay, parcel{frame, at})
	if len(p.underWay) == 1 {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// courier delivers what is due until done is closed.
func (p *path) courier(done <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, next := p.due(time.Now())
		for _, parcel := range due {
			p.deliver(parcel.frame)
		}
		timer.Reset(next)
		select {
		case <-done:
			return
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// due takes what has arrived, and says when to look again.
func (p *path) due(now time.Time) ([]parcel, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.underWay) && !p.underWay[n].at.After(now) {
		n++
	}
	due := p.underWay[:n:n]
	p.underWay = p.underWay[n:]
	if len(p.underWay) == 0 {
		p.underWay = nil
		return due, time.Hour
	}
	return due, p.underWay[0].at.Sub(now)
}
