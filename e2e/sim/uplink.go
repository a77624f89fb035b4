package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/tenure"
)

const (
	heartbeat   = 2 * time.Second
	epochPause  = time.Second
	openTimeout = 5 * time.Second
	sendTimeout = 10 * time.Second
	minPause    = 100 * time.Millisecond
	maxPause    = 2 * time.Second
	deniedPause = 10 * time.Second
	maxLeap     = 1 << 32
)

// uplink is an agent's session with the federation: cluster-agent/uplink, without its goroutines.
type uplink struct {
	a        *agent
	end      *end
	node     *node
	welcomed bool
	held     model.Version
	member   uint64

	// version is the last one sent in this session, sent what the node was told by it.
	version   model.Version
	sent      map[string]model.SignedRecord
	beat      time.Duration
	epochAt   time.Duration
	republish bool
	asked     map[model.ClusterName]bool
	unasked   names
	// unheard is until when the node's first word about the publisher is waited for.
	unheard time.Duration
	// stuckAt is since when the stream takes nothing; negative while it does.
	stuckAt time.Duration
	timer   int
}

// desired is what the agent wants to be known, and what of it has changed since the sender looked.
type desired struct {
	records  map[string]model.Record
	changed  map[string]bool
	complete bool
}

func (d *desired) change(upserts []model.Record, removals []string) {
	for _, key := range removals {
		delete(d.records, key)
		d.changed[key] = true
	}
	for _, r := range upserts {
		d.records[r.Key()] = r
		d.changed[r.Key()] = true
	}
}

func (d *desired) all() []model.Record {
	clear(d.changed)
	out := make([]model.Record, 0, len(d.records))
	for _, key := range slices.Sorted(maps.Keys(d.records)) {
		out = append(out, d.records[key])
	}
	return out
}

func (d *desired) delta() (upserts []model.Record, removals []string) {
	for _, key := range slices.Sorted(maps.Keys(d.changed)) {
		if r, ok := d.records[key]; ok {
			upserts = append(upserts, r)
		} else {
			removals = append(removals, key)
		}
	}
	clear(d.changed)
	return upserts, removals
}

// dialNext tries the next node: those of the own region first, the last good one again after its neighbour.
func (a *agent) dialNext() {
	w := a.w
	if len(a.round) == 0 {
		a.round = a.attempts()
	}
	to := a.round[0]
	a.round = a.round[1:]
	u := &uplink{a: a, node: to, sent: map[string]model.SignedRecord{}, asked: map[model.ClusterName]bool{}, stuckAt: -1}
	a.link = u
	w.dial(&a.process, &to.process,
		func(e *end) { to.serve(e, a.cluster, a.signer.public) },
		func(e *end) { u.begin(e) })
}

func (a *agent) attempts() []*node {
	var near, far []*node
	for _, n := range a.w.nodes {
		if n.region == a.region {
			near = append(near, n)
		} else {
			far = append(far, n)
		}
	}
	servers := slices.Concat(near, far)
	i := slices.Index(servers, a.lastGood)
	if a.only != nil {
		return []*node{a.only}
	}
	if i < 0 {
		return servers
	}
	round := slices.Concat(servers[i+1:], servers[:i])
	return slices.Insert(round, min(1, len(round)), a.lastGood)
}

func (u *uplink) begin(e *end) {
	w := u.a.w
	if u.a.link != u {
		if e != nil {
			e.close(w)
		}
		return
	}
	if e == nil {
		u.a.retry(false)
		return
	}
	u.end = e
	e.receive, e.room = u.receive, u.step
	e.ended = func() { u.over(false) }
	e.send(w, hello{u.a.instance})
	w.afterFor(&u.a.process, openTimeout, func() {
		if !u.welcomed {
			u.over(false)
		}
	})
}

// over ends the session, whoever ended it.
func (u *uplink) over(denied bool) {
	a := u.a
	if a.link != u {
		return
	}
	u.end.close(a.w)
	if u.welcomed {
		a.lastGood, a.round = u.node, nil
		a.connected(false)
	}
	a.desired.changed = map[string]bool{}
	a.retry(denied)
}

func (a *agent) retry(denied bool) {
	w := a.w
	a.link = nil
	pause := w.between(minPause, maxPause)
	if denied {
		if a.denied++; a.denied >= len(w.nodes) {
			pause = deniedPause
		}
	} else {
		a.denied = 0
	}
	w.afterFor(&a.process, pause, a.dialNext)
}

func (u *uplink) receive(m any) {
	a := u.a
	if a.link != u {
		return
	}
	switch m := m.(type) {
	case welcome:
		u.welcomed, u.held, u.member = true, m.held, m.incarnation
		if !a.tenure.Published().IsZero() {
			u.unheard = a.w.now + heartbeat
		}
		a.connected(true)
		a.w.trace.add(a.w.now, "session", a.name, m.node, m.held.Incarnation, m.held.Epoch, m.held.Seq)
		u.step()
	case viewed:
		a.learn(m.view)
	case imported:
		if m.batch.Full {
			delete(u.asked, m.batch.Origin)
		}
		if a.take(m.batch) {
			u.resync(m.batch.Origin)
		}
	case dropped:
		delete(u.asked, m.origin)
		a.drop(m.origin)
	case resync:
		u.republish = true
		u.step()
	case round:
		a.w.oracle.round(a, u.node, m)
	case tenure.Word:
		u.hear(m)
	case denied:
		u.over(true)
	}
}

// resync asks for an origin in full unless that has been done.
func (u *uplink) resync(origin model.ClusterName) {
	if u.asked[origin] {
		return
	}
	u.asked[origin] = true
	u.unasked.add(origin)
	u.step()
}

// step sends what is due.
func (u *uplink) step() {
	w := u.a.w
	if u.a.link != u || !u.welcomed || u.end.closed {
		return
	}
	for !u.unasked.empty() && !u.end.full() {
		u.end.send(w, again{u.unasked.next()})
	}
	if u.end.full() {
		u.stuck()
		return
	}
	u.stuckAt = -1
	u.timer++
	timer := u.timer
	w.afterFor(&u.a.process, u.publish()-w.now, func() {
		if u.timer == timer {
			u.step()
		}
	})
}

// stuck gives a node up that has taken nothing for too long.
func (u *uplink) stuck() {
	w := u.a.w
	if u.stuckAt < 0 {
		u.stuckAt = w.now
		w.afterFor(&u.a.process, sendTimeout, func() {
			if u.stuckAt >= 0 && w.now-u.stuckAt >= sendTimeout {
				u.over(false)
			}
		})
	}
}

// publish sends the batch that is due, if one is, and returns when to look again.
func (u *uplink) publish() time.Duration {
	w, d := u.a.w, &u.a.desired
	now := u.a.clock(w.now)
	may, at := u.a.tenure.May(now)
	switch {
	case !d.complete:
		return w.now + heartbeat
	case w.now < u.unheard:
		return u.unheard
	case !may:
		return u.yield(now, at)
	case u.version.IsZero() || u.republish:
		if w.now < u.epochAt {
			return u.epochAt
		}
		u.full()
		return w.now + heartbeat
	}
	upserts, removals := d.delta()
	b := model.Batch{From: u.version, To: u.version}
	b.To.Seq++
	b.Upserts, b.Removals = u.sign(upserts, b.To), u.known(removals)
	if len(b.Upserts)+len(b.Removals) == 0 {
		if w.now < u.beat {
			return u.beat
		}
		b.To = b.From
	}
	u.batch(b)
	return w.now + heartbeat
}

// hear takes a node's word on who publishes as this cluster.
func (u *uplink) hear(word tenure.Word) {
	u.unheard = 0
	if word.Held.Incarnation != u.member {
		word = tenure.Word{}
	}
	u.a.tenure = u.a.tenure.Told(word, u.a.clock(u.a.w.now))
	if _, superseded := u.a.tenure.Superseded(); superseded {
		u.version = model.Version{}
	}
	u.step()
}

// yield leaves publishing to the process that has taken over, but for signs of life.
func (u *uplink) yield(now, until time.Time) time.Duration {
	w := u.a.w
	if w.now >= u.beat {
		last := u.a.tenure.Published()
		u.beat = w.now + heartbeat
		u.end.send(w, model.Batch{Origin: u.a.cluster, From: last, To: last, Instance: u.a.instance, ProducedAt: now})
	}
	if !until.IsZero() {
		return w.now + min(heartbeat, until.Sub(now))
	}
	return w.now + heartbeat
}

// full begins an epoch with the whole state; its number is on the disk before it is used.
func (u *uplink) full() {
	a := u.a
	u.epochAt = a.w.now + epochPause
	e := a.disk.epoch
	for _, known := range []model.Version{u.held, a.tenure.Newest()} {
		if known.Incarnation != u.member {
			continue
		}
		if known.Epoch > a.disk.epoch+maxLeap {
			u.over(false)
			return
		}
		e = max(e, known.Epoch)
	}
	e++
	a.disk.epoch = e
	u.republish = false
	to := model.Version{Incarnation: u.member, Epoch: e, Seq: 1}
	clear(u.sent)
	u.batch(model.Batch{To: to, Full: true, Upserts: u.sign(a.desired.all(), to)})
}

func (u *uplink) batch(b model.Batch) {
	a := u.a
	b.Origin, b.Instance, b.ProducedAt = a.cluster, a.instance, a.wall()
	u.version, u.beat = b.To, a.w.now+heartbeat
	a.tenure = a.tenure.Publish(b.To)
	if b.Full || b.From != b.To {
		a.w.trace.add(a.w.now, "publish", a.name, fmt.Sprint(len(b.Upserts), " ", len(b.Removals)), b.To.Incarnation, b.To.Epoch, b.To.Seq)
		a.w.oracle.publish(a, b, u.sent)
		if a.w.published != nil {
			a.w.published(a, b)
		}
	} else {
		a.w.oracle.confirm(a, b)
	}
	u.end.send(a.w, b)
}

// sign signs records for the version that carries them first.
func (u *uplink) sign(list []model.Record, version model.Version) []model.SignedRecord {
	out := make([]model.SignedRecord, 0, len(list))
	for _, r := range list {
		r.Version = version
		signed, err := u.a.w.memo.sign(u.a.signer, r)
		if err != nil {
			u.a.w.violate("records can be signed", "%s: %v", r.Key(), err)
			continue
		}
		u.sent[signed.Key] = signed
		out = append(out, signed)
	}
	return out
}

func (u *uplink) known(removals []string) (known []string) {
	for _, key := range removals {
		if _, ok := u.sent[key]; ok {
			delete(u.sent, key)
			known = append(known, key)
		}
	}
	return known
}
