package sim

import "time"

const (
	// window is how many messages of a stream may be on their way or unread, in each direction: then its sender waits.
	window = 32
	// keepalive is how long a silent peer is waited for, as the connections' own keepalive does.
	keepalive = 5 * time.Second
	// leastRetransmission is TCP's least retransmission timeout.
	leastRetransmission = 200 * time.Millisecond
)

// network is who reaches whom, how fast, and how well.
type network struct {
	// latency is one way, between and within regions, by process index.
	latency [][]time.Duration
	// cuts counts the faults that stop what goes from one process to another.
	cuts [][]int16
	loss float64
	// slow is added to every latency while a fault says so.
	slow time.Duration
	// sent counts stream messages; batches and haves are those among them by which nodes tell each other of changes.
	sent, batches, haves int
}

func (n *network) open(from, to *process) bool { return n.cuts[from.index][to.index] == 0 }

// travel is how long one packet takes.
func (w *world) travel(from, to *process) time.Duration {
	base := w.net.latency[from.index][to.index]
	return base + w.net.slow + time.Duration(w.rng.Int64N(int64(base/8)+1))
}

// end is one side of a stream: messages arrive in order, late when packets are lost, and all those on their way are lost when it breaks.
type end struct {
	owner  *process
	life   int
	peer   *end
	closed bool
	// queue are the messages that this side has sent and the other has not read.
	queue []parcel
	// heardAt is when the path was last seen to work.
	heardAt time.Duration

	// receive takes a message, room is called when one more may be sent, ended when the stream is over. They are set by the owner.
	receive func(m any)
	room    func()
	ended   func()
}

// parcel is a message and when it is there at the earliest.
type parcel struct {
	at time.Duration
	m  any
}

// dial opens a stream; accepted is called at the other side when the handshake is there, result here with the stream or nil.
func (w *world) dial(from, to *process, accepted func(*end), result func(*end)) {
	travel, life := w.travel(from, to), from.life
	for w.chance(w.net.loss) {
		travel += time.Second
	}
	w.after(travel, func() {
		if from.life != life {
			return
		}
		if !w.net.open(from, to) || !w.net.open(to, from) || to.frozen {
			w.afterFor(from, keepalive, func() { result(nil) })
			return
		}
		if !to.up {
			w.afterFor(from, w.travel(to, from), func() { result(nil) })
			return
		}
		w.afterFor(from, w.travel(to, from), func() { w.connect(from, to, accepted, result) })
	})
}

func (w *world) connect(from, to *process, accepted, result func(*end)) {
	if !to.up || to.frozen {
		result(nil)
		return
	}
	a := &end{owner: from, life: from.life, heardAt: w.now}
	b := &end{owner: to, life: to.life, heardAt: w.now, peer: a}
	a.peer = b
	from.ends, to.ends = append(from.ends, a), append(to.ends, b)
	accepted(b)
	result(a)
	w.after(time.Second, func() { w.keepAlive(a, b) })
}

// keepAlive lets both sides notice that the other is silent.
func (w *world) keepAlive(a, b *end) {
	for _, e := range []*end{a, b} {
		o, p := e.owner, e.peer.owner
		if e.closed || o.frozen {
			continue
		}
		if w.net.open(o, p) && w.net.open(p, o) && p.up && p.life == e.peer.life && !p.frozen && !e.peer.closed {
			e.heardAt = w.now
		} else if w.now-e.heardAt >= keepalive {
			w.trace.add(w.now, "silent", o.name, p.name, 0, 0, 0)
			e.fail(w)
		}
	}
	if !a.closed || !b.closed {
		w.after(time.Second, func() { w.keepAlive(a, b) })
	}
}

// full reports whether the next message must wait.
func (e *end) full() bool { return len(e.queue) >= window }

// send puts a message on its way. The caller has looked at full; a message more is a fault of the plumbing.
func (e *end) send(w *world, m any) {
	if e.closed {
		return
	}
	w.net.sent++
	from, to := e.owner, e.peer.owner
	at := w.now + w.travel(from, to)
	for rto := max(leastRetransmission, 2*w.net.latency[from.index][to.index]); w.chance(w.net.loss); rto *= 2 {
		at += rto
	}
	if n := len(e.queue); n > 0 {
		at = max(at, e.queue[n-1].at)
	}
	e.queue = append(e.queue, parcel{at, m})
	if len(e.queue) > window+4 {
		w.violate("queues are bounded", "%s has %d messages on their way to %s", from.name, len(e.queue), to.name)
	}
	if len(e.queue) == 1 {
		e.arm(w, at-w.now)
	}
}

// arm has the first message arrive after d.
func (e *end) arm(w *world, d time.Duration) { w.afterFor(e.peer.owner, d, func() { e.arrive(w) }) }

func (e *end) arrive(w *world) {
	if e.closed || e.peer.closed || len(e.queue) == 0 {
		return
	}
	if !w.net.open(e.owner, e.peer.owner) {
		e.arm(w, w.between(leastRetransmission, 4*leastRetransmission))
		return
	}
	p := e.queue[0]
	e.queue = e.queue[1:]
	if len(e.queue) > 0 {
		e.arm(w, max(e.queue[0].at-w.now, e.peer.owner.readPause))
	}
	if len(e.queue) == window-1 && e.room != nil {
		w.afterFor(e.owner, 0, func() {
			if !e.closed {
				e.room()
			}
		})
	}
	e.peer.receive(p.m)
}

// fail ends the stream for its owner, who is told; the other side hears of it when the path lets it.
func (e *end) fail(w *world) {
	if e.closed {
		return
	}
	e.close(w)
	if e.ended != nil {
		e.ended()
	}
}

// close ends the stream by its owner's will.
func (e *end) close(w *world) {
	if e.closed {
		return
	}
	e.closed, e.queue = true, nil
	e.owner.forget(e)
	e.abandon(w)
}

// abandon tells the other side after a while, if the path is open then.
func (e *end) abandon(w *world) {
	e.closed, e.queue = true, nil
	peer := e.peer
	if peer.closed {
		return
	}
	w.after(w.travel(e.owner, peer.owner), func() {
		if w.net.open(e.owner, peer.owner) && peer.owner.up && peer.owner.life == peer.life {
			w.afterFor(peer.owner, 0, func() { peer.fail(w) })
		}
	})
}

func (p *process) forget(e *end) {
	for i, held := range p.ends {
		if held == e {
			p.ends = append(p.ends[:i], p.ends[i+1:]...)
			return
		}
	}
}
