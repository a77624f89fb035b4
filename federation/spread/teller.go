package spread

import (
	"bytes"
	"maps"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// maxHaves is how many haves one message carries.
const maxHaves = 1000

// Teller is what one follower is told. It belongs to one goroutine.
//
// Its owner calls Hello, then Changed, Pull and Prune as they come, and sends what Next returns whenever the stream takes more.
type Teller struct {
	source   Source
	protocol uint32
	timing   Timing
	origins  map[model.ClusterName]*told
	// queue are the origins of which a batch may have to be sent, each once.
	queue []model.ClusterName
	// news and confirms are those of which haves are due, at the times given.
	news, confirms     map[model.ClusterName]bool
	newsAt, confirmsAt time.Time
	// sweepAt is how many origins are remembered before those that are not held are dropped.
	sweepAt int
}

// told is what the follower knows of an origin once it has read what was sent.
type told struct {
	version    model.Version
	producedAt time.Time
	// known and confirmed are what the follower was told of, by batch or by have.
	known     model.Version
	confirmed time.Time
	pruned    bool
	// asked is true once the follower has pulled: it wants changes however large they are.
	asked  bool
	queued bool
	// answer is true while a pull is to be answered, be it by a confirmation.
	answer bool
}

// NewTeller returns one for a follower that speaks the protocol version.
func NewTeller(s Source, protocol uint32, t Timing) *Teller {
	return &Teller{
		source: s, protocol: protocol, timing: t, origins: map[model.ClusterName]*told{}, sweepAt: 2 * maxOrigins,
		news: map[model.ClusterName]bool{}, confirms: map[model.ClusterName]bool{},
	}
}

// Hello takes what the follower holds. It is called first. What the follower lacks is offered to it, so that it can choose whom of
// those it follows to ask; one that knows of no offers is sent everything.
func (t *Teller) Hello(haves []Have, now time.Time) {
	for _, h := range haves[:min(len(haves), maxOrigins)] {
		o := &told{version: h.Version, producedAt: h.ProducedAt, known: h.Version, confirmed: h.ProducedAt}
		t.origins[h.Origin] = o
		if held, ok := t.source.Origin(h.Origin); ok && held.Version == h.Version && differ(t.source, h) {
			// The same version with other content: two writers. The follower is told everything and decides by digest, as everybody does.
			o.version, o.answer = model.Version{}, true
		}
	}
	for _, held := range t.source.Origins() {
		o := t.of(held.Name)
		if t.protocol >= lazyProtocol && !o.answer && held.Version.Compare(o.version) > 0 {
			t.news[held.Name], t.newsAt = true, now
			continue
		}
		t.enqueue(held.Name, o)
	}
}

// differ reports whether a have tells of other content than what is held. One without a digest does not.
func differ(s Source, h Have) bool {
	return len(h.Digest) > 0 && !bytes.HasPrefix(s.Digest(h.Origin), h.Digest)
}

// Changed notes that an origin changed or was confirmed.
func (t *Teller) Changed(origin model.ClusterName, now time.Time) {
	if o := t.of(origin); o.pruned && !o.queued {
		t.note(origin, o, now)
	} else {
		t.enqueue(origin, o)
	}
}

// Pull notes that the follower asks for an origin from the version that it holds on, and for its changes.
func (t *Teller) Pull(origin model.ClusterName, have model.Version) {
	if _, held := t.source.Origin(origin); !held {
		return
	}
	o := t.of(origin)
	*o = told{version: have, known: have, asked: true, answer: true, queued: o.queued}
	t.enqueue(origin, o)
}

// Prune notes that the follower receives an origin's changes elsewhere.
func (t *Teller) Prune(origin model.ClusterName) {
	if _, held := t.source.Origin(origin); !held || t.protocol < lazyProtocol {
		return
	}
	o := t.of(origin)
	o.pruned, o.asked, o.answer = true, false, false
}

// Next returns what is to be sent now, the newest state of what it tells, or false when there is nothing until Due or a call.
func (t *Teller) Next(now time.Time) (Message, bool) {
	if haves := t.haves(now); len(haves) > 0 {
		return Message{Haves: haves}, true
	}
	for len(t.queue) > 0 {
		origin := t.queue[0]
		t.queue = t.queue[1:]
		if b, ok := t.tell(origin, now); ok {
			return Message{Batch: &b}, true
		}
	}
	return Message{}, false
}

// Due is when Next has haves to send, if any are gathered.
func (t *Teller) Due() (time.Time, bool) {
	switch {
	case len(t.news) > 0 && (len(t.confirms) == 0 || t.newsAt.Before(t.confirmsAt)):
		return t.newsAt, true
	case len(t.confirms) > 0:
		return t.confirmsAt, true
	}
	return time.Time{}, false
}

func (t *Teller) of(origin model.ClusterName) *told {
	o := t.origins[origin]
	if o == nil {
		if len(t.origins) >= t.sweepAt {
			t.sweep()
		}
		o = &told{}
		t.origins[origin] = o
	}
	return o
}

// sweep drops what is known of origins that are not held, or not any more.
func (t *Teller) sweep() {
	maps.DeleteFunc(t.origins, func(name model.ClusterName, _ *told) bool {
		_, held := t.source.Origin(name)
		return !held
	})
	t.sweepAt = 2 * max(len(t.origins), maxOrigins)
}

func (t *Teller) enqueue(origin model.ClusterName, o *told) {
	if !o.queued {
		o.queued = true
		t.queue = append(t.queue, origin)
	}
}

// tell returns the batch that leads the follower from what it was told to what is held; when that is the same, one that only confirms.
// What the follower did not ask for is noted for a have instead.
func (t *Teller) tell(origin model.ClusterName, now time.Time) (model.Batch, bool) {
	o := t.of(origin)
	answer := o.answer
	o.queued, o.answer = false, false
	if o.pruned {
		t.note(origin, o, now)
		return model.Batch{}, false
	}
	b, newer := t.source.Since(origin, o.version)
	switch {
	case newer:
		if !answer && !o.asked && t.protocol >= lazyProtocol && Size(b) > t.timing.Unasked {
			t.note(origin, o, now)
			return model.Batch{}, false
		}
	default:
		b, newer = t.source.Heartbeat(origin)
		if !newer || b.To != o.version || !answer && !b.ProducedAt.After(o.producedAt) {
			return model.Batch{}, false
		}
	}
	o.version, o.producedAt, o.known, o.confirmed = b.To, b.ProducedAt, b.To, b.ProducedAt
	return b, true
}
