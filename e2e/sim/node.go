package sim

import (
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
)

// node is a federation node: the replicated state as far as it has applied it, the catalog, and those that it speaks with.
type node struct {
	process
	w *world
	// state and view survive a crash, the catalog does not.
	state   *state.State
	view    *state.View
	catalog *catalog.Catalog
	// board holds which records of a cluster do not count, as the session that published them found.
	board    map[model.ClusterName]refusal
	sessions []*session
	links    *links
	// heardAt is when each origin last gave a sign of life here.
	heardAt map[model.ClusterName]time.Duration
	// versions are the newest ones seen in this life, for the oracle.
	versions map[model.ClusterName]model.Version
}

type refusal struct {
	by      *session
	reasons map[string]string
}

func newNode(w *world, name, region string) *node {
	n := &node{process: process{name: name, region: region}, w: w, state: state.New(noBundles)}
	n.view = n.state.View()
	return n
}

// boot begins a life: the state goes on from its disk, everything else is empty.
func (n *node) boot() {
	if n.up {
		return
	}
	n.start()
	if n.view.Index > 0 {
		data, err := n.view.Snapshot()
		if err == nil {
			n.view, err = state.FromSnapshot(data)
		}
		if err != nil {
			n.w.violate("a node's state survives its crash", "%s: %v", n.name, err)
			return
		}
		n.state = state.Restore(n.view, noBundles)
	}
	n.catalog = catalog.New(n.w.limits)
	n.board = map[model.ClusterName]refusal{}
	n.versions = map[model.ClusterName]model.Version{}
	n.heardAt = map[model.ClusterName]time.Duration{}
	n.sessions = nil
	n.links = newLinks(n)
	n.w.trace.add(n.w.now, "boot", n.name, "", n.view.Index, 0, 0)
	n.catchUp()
	n.links.begin()
}

// catchUp applies what is agreed, as long as a majority of the nodes is in reach.
func (n *node) catchUp() {
	w := n.w
	index := uint64(len(w.raft.log))
	if n.view.Index >= index {
		return
	}
	if !n.quorum() {
		w.afterFor(&n.process, w.between(sessionTick/2, sessionTick), n.catchUp)
		return
	}
	for i := n.view.Index; i < index; i++ {
		if r := n.state.Apply(i+1, w.raft.log[i]); r.Fatal != nil {
			w.violate("every node applies the log", "%s: %v", n.name, r.Fatal)
			return
		}
	}
	n.view = n.state.View()
	w.trace.add(w.now, "applied", n.name, "", index, 0, 0)
	for _, s := range n.sessions {
		s.wake()
	}
}

func (n *node) quorum() bool {
	reached := 0
	for _, o := range n.w.nodes {
		if o == n || o.up && !o.frozen && n.w.net.open(&n.process, &o.process) && n.w.net.open(&o.process, &n.process) {
			reached++
		}
	}
	return reached > len(n.w.nodes)/2
}

// offer merges a batch and tells everybody who listens.
func (n *node) offer(b model.Batch) catalog.Outcome {
	w := n.w
	tie := w.oracle.tie(n, b)
	out := w.seams.merge(n.catalog, b)
	if tie != nil {
		tie()
	}
	if out.Changed {
		w.trace.add(w.now, "merged", n.name, string(b.Origin), out.Held.Incarnation, out.Held.Epoch, out.Held.Seq)
		w.oracle.nodeHolds(n, b.Origin)
		if w.merged != nil {
			w.merged(n, b.Origin, out.Held)
		}
	}
	if out.Changed || out.Refreshed {
		n.heardAt[b.Origin] = w.now
		for _, s := range n.sessions {
			s.dirty(b.Origin)
		}
		n.links.changed(b.Origin)
	}
	return out
}

// Heartbeat, Origin, Origins and Digest are the catalog's, for spread.
func (n *node) Heartbeat(origin model.ClusterName) (model.Batch, bool) {
	return n.catalog.Heartbeat(origin)
}

// Origin is the catalog's.
func (n *node) Origin(name model.ClusterName) (catalog.Origin, bool) { return n.catalog.Origin(name) }

// Origins are the catalog's.
func (n *node) Origins() []catalog.Origin { return n.catalog.Origins() }

// Digest is the catalog's.
func (n *node) Digest(origin model.ClusterName) []byte { return n.catalog.Digest(origin) }

// Since is what feeds and peers are told from.
func (n *node) Since(origin model.ClusterName, have model.Version) (model.Batch, bool) {
	return n.w.seams.since(n.catalog, origin, have)
}

func (n *node) end(s *session) {
	n.sessions = slices.DeleteFunc(n.sessions, func(o *session) bool { return o == s })
	if held, ok := n.board[s.cluster]; ok && held.by == s {
		delete(n.board, s.cluster)
		n.refusalsChanged()
	}
}

func (n *node) refusalsChanged() {
	for _, s := range n.sessions {
		s.recheck = true
		s.wake()
	}
}

// names is a set of origins in the order in which they came.
type names struct {
	list []model.ClusterName
	in   map[model.ClusterName]bool
}

func (s *names) add(name model.ClusterName) {
	if s.in[name] {
		return
	}
	if s.in == nil {
		s.in = map[model.ClusterName]bool{}
	}
	s.in[name] = true
	s.list = append(s.list, name)
}

func (s *names) next() model.ClusterName {
	name := s.list[0]
	s.list = s.list[1:]
	delete(s.in, name)
	return name
}

func (s *names) empty() bool { return len(s.list) == 0 }
