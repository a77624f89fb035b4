package sim

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/cluster-agent/tenure"
	"github.com/hanse-mesh/hanse/federation/feed"
	"github.com/hanse-mesh/hanse/federation/state"
)

const (
	sessionTick = time.Second
	// refreshEvery is how often a session looks for origins that have confirmed an unchanged state.
	refreshEvery = 5 * time.Second
	// memberWait is how long a session waits for a membership that the node has perhaps not heard of yet.
	memberWait = 3 * time.Second
)

// What an agent and a node say to each other.
type (
	hello   struct{ instance string }
	welcome struct {
		node        string
		held        model.Version
		incarnation uint64
	}
	viewed   struct{ view *state.View }
	imported struct{ batch model.Batch }
	dropped  struct{ origin model.ClusterName }
	resync   struct{}
	again    struct{ origin model.ClusterName }
	denied   struct{}
	// round is no message of the protocol: it tells the oracle that the agent now holds all that the node meant it to.
	round struct {
		index uint64
		// versions are what the node has told of each origin, refused the records that it leaves out.
		versions map[model.ClusterName]model.Version
		refused  map[model.ClusterName]map[string]string
	}
)

// session is a node's side of an agent's stream: federation/server's Session, without its goroutines.
type session struct {
	n        *node
	end      *end
	cluster  model.ClusterName
	key      []byte
	instance string
	open     bool

	feed     *feed.Feed
	view     *state.View
	rules    []policy.ExportRule
	sees     map[model.ClusterName]bool
	revision int
	recheck  bool
	todo     names
	resyncs  names
	resync   bool
	told     bool
	woken    bool
	// stated are the versions that the agent was told of last.
	stated map[model.ClusterName]model.Version
	// word is what the agent was told last of who publishes as its cluster; inVain that it has published although another one does.
	word   *tenure.Word
	inVain bool

	records map[string]judged
	refused map[string]string
	waiting bool
	// rulesOnce is for a planted defect.
	rulesOnce []policy.ExportRule
}

type judged struct {
	signed model.SignedRecord
	record model.Record
	err    error
}

// serve accepts an agent's stream; TLS has told who it is.
func (n *node) serve(e *end, cluster model.ClusterName, key []byte) {
	s := &session{n: n, end: e, cluster: cluster, key: key, feed: feed.New(n), stated: map[model.ClusterName]model.Version{}}
	e.receive, e.room = s.receive, s.wake
	e.ended = func() { n.end(s) }
}

func (s *session) receive(m any) {
	switch m := m.(type) {
	case hello:
		s.instance = m.instance
		s.greet(s.n.w.now + memberWait)
	case model.Batch:
		s.publish(m)
	case again:
		s.resyncs.add(m.origin)
		s.wake()
	}
}

// greet begins the session once the node knows the member.
func (s *session) greet(until time.Duration) {
	w := s.n.w
	if s.end.closed {
		return
	}
	own, ok := s.member()
	if !ok && w.now < until {
		w.afterFor(&s.n.process, memberWait/6, func() { s.greet(until) })
		return
	}
	if !ok {
		s.deny()
		return
	}
	held, _ := s.n.catalog.Origin(s.cluster)
	s.end.send(w, welcome{node: s.n.name, held: held.Version, incarnation: own.Incarnation})
	s.open = true
	s.n.sessions = append(s.n.sessions, s)
	s.wake()
	s.tick()
}

func (s *session) tick() {
	s.n.w.afterFor(&s.n.process, refreshEvery, func() {
		if !s.end.closed {
			s.recheck = true
			s.wake()
			s.tick()
		}
	})
}

func (s *session) member() (model.Cluster, bool) {
	c, ok := s.n.view.Clusters[s.cluster]
	return c, ok && bytes.Equal(c.AgentKey, s.key)
}

// deny ends the session with a reason.
func (s *session) deny() {
	w := s.n.w
	w.trace.add(w.now, "denied", s.n.name, string(s.cluster), 0, 0, 0)
	s.end.send(w, denied{})
	s.open = false
	// The reason is to arrive before the end does.
	w.afterFor(&s.n.process, time.Second, func() { s.end.fail(w) })
	s.n.end(s)
}

func (s *session) dirty(origin model.ClusterName) {
	s.todo.add(origin)
	s.wake()
}

func (s *session) wake() {
	if s.woken || !s.open || s.end.closed {
		return
	}
	s.woken = true
	s.n.w.afterFor(&s.n.process, 0, s.write)
}

// write sends what is new for as long as the stream takes it.
func (s *session) write() {
	s.woken = false
	if !s.open || s.end.closed {
		return
	}
	own, ok := s.member()
	if !ok {
		s.deny()
		return
	}
	if s.end.full() {
		return
	}
	s.tellPublisher()
	if s.view != s.n.view {
		s.follow(own)
	}
	if s.recheck {
		s.everyOrigin()
		s.recheck = false
	}
	for !s.end.full() && s.next() {
		s.told = true
	}
	if s.told && s.todo.empty() && s.resyncs.empty() && !s.end.full() {
		s.told = false
		s.end.send(s.n.w, s.mark())
	}
}

// mark tells the oracle what the agent is to hold by now.
func (s *session) mark() round {
	r := round{
		index: s.view.Index, versions: map[model.ClusterName]model.Version{}, refused: map[model.ClusterName]map[string]string{},
	}
	maps.Copy(r.versions, s.stated)
	for name, held := range s.n.board {
		if len(held.reasons) > 0 {
			r.refused[name] = held.reasons
		}
	}
	return r
}

func (s *session) follow(own model.Cluster) {
	s.view = s.n.view
	s.end.send(s.n.w, viewed{s.view})
	rules := s.view.ExportList()
	sees := feed.Sees(rules, s.view.ImportList(), s.view.Clusters, s.cluster)
	if s.revision == 0 || !reflect.DeepEqual(rules, s.rules) || !maps.Equal(sees, s.sees) {
		s.rules, s.sees = rules, sees
		s.revision++
	}
	s.told, s.recheck = true, true
	published := s.records != nil
	for _, key := range slices.Sorted(maps.Keys(s.records)) {
		s.decide(own, key)
	}
	if published {
		s.post(false)
	}
}

func (s *session) everyOrigin() {
	for _, name := range slices.Sorted(maps.Keys(s.view.Clusters)) {
		s.todo.add(name)
	}
	for _, name := range slices.Sorted(slices.Values(s.feed.Told())) {
		s.todo.add(name)
	}
}

// next does one thing of what there is to do.
func (s *session) next() bool {
	w := s.n.w
	switch {
	case !s.todo.empty():
		origin := s.todo.next()
		u := s.update(origin, false)
		if o, ok := s.n.catalog.Origin(origin); ok && u == (feed.Update{}) {
			u = s.feed.Refresh(origin, o.Version, o.ProducedAt, o.Instance)
		}
		s.tell(origin, u)
	case !s.resyncs.empty():
		origin := s.resyncs.next()
		s.tell(origin, s.update(origin, true))
	case s.resync:
		s.resync = false
		s.end.send(w, resync{})
	default:
		return false
	}
	return true
}

func (s *session) update(origin model.ClusterName, force bool) feed.Update {
	cluster, member := s.view.Clusters[origin]
	if !member || origin == s.cluster {
		return s.feed.Forget(origin, force)
	}
	f := feed.Filter{
		Origin: cluster, Importer: s.cluster, Rules: s.rules, Sees: s.sees, Revision: s.revision, Refused: s.n.board[origin].reasons,
	}
	f = s.n.w.seams.filter(s, f)
	if force {
		return s.feed.Restate(f, true)
	}
	return s.feed.Follow(f)
}

func (s *session) tell(origin model.ClusterName, u feed.Update) {
	if u.Batch != nil {
		s.stated[origin] = u.Batch.To
		s.end.send(s.n.w, imported{*u.Batch})
	}
	if u.Dropped {
		s.end.send(s.n.w, dropped{origin})
	}
}
