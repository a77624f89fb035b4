package server

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
)

// Session is an agent that is connected to this node.
type Session struct {
	Cluster model.ClusterName
	// Since is when the session began.
	Since time.Time
	// Instance is the agent's process, AgentVersion its build.
	Instance     string
	AgentVersion string
	Protocol     uint32
	// SupersededBy is the process that publishes as the cluster although this one would; empty when there is none.
	SupersededBy string
}

// Refusal is one record that does not count, and why.
type Refusal struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// Sessions lists the connected agents, sorted by cluster and age. A cluster may have several: replicas that follow but do not publish.
func (s *Server) Sessions() []Session {
	s.sessions.mu.Lock()
	out := slices.Collect(maps.Values(s.sessions.open))
	s.sessions.mu.Unlock()
	slices.SortFunc(out, func(a, b Session) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), a.Since.Compare(b.Since), cmp.Compare(a.Instance, b.Instance))
	})
	return out
}

// Refusals lists the records of a cluster that do not count, sorted by key, as long as its agent is connected here.
func (s *Server) Refusals(cluster model.ClusterName) []Refusal {
	reasons, _ := s.refusals.watch(cluster)
	out := make([]Refusal, 0, len(reasons))
	for _, key := range slices.Sorted(maps.Keys(reasons)) {
		out = append(out, Refusal{Key: key, Reason: reasons[key]})
	}
	return out
}

// sessions are the open sessions.
type sessions struct {
	mu   sync.Mutex
	open map[*session]Session
}

// add takes a session in unless the cluster has too many.
func (r *sessions) add(x *session, info Session) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, other := range r.open {
		if other.Cluster == info.Cluster {
			n++
		}
	}
	if n >= maxSessions {
		return status.Errorf(codes.ResourceExhausted, "cluster %s has %d sessions at node %s, which is as many as one may have: does its agent run more than once? "+
			"Connections that were cut off end by themselves within a minute", info.Cluster, n, x.server.cfg.Node.Name)
	}
	r.open[x] = info
	return nil
}

// supersede notes which process publishes instead of a session's, none when it is empty, and reports whether there is a new one.
func (r *sessions) supersede(x *session, by string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, ok := r.open[x]
	if !ok || info.SupersededBy == by {
		return false
	}
	info.SupersededBy = by
	r.open[x] = info
	return by != ""
}

// rivals are the processes of a cluster that would publish, but for another one; sorted.
func (r *sessions) rivals(cluster model.ClusterName) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, info := range r.open {
		if info.Cluster == cluster && info.SupersededBy != "" {
			out = append(out, info.Instance)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r *sessions) remove(x *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, x)
}

// refusalBoard holds what the sessions refuse of their agents' records, for the sessions of importers and for operators. An entry ends
// with the session that made it: another node may judge the agent's records from then on. It is bounded by the open sessions and the
// records that each may publish.
type refusalBoard struct {
	mu        sync.Mutex
	byCluster map[model.ClusterName]refused
	changed   chan struct{}
}

type refused struct {
	by *session
	// reasons are by record key and never changed once set.
	reasons map[string]string
}

// watch returns a cluster's refusals by key, and a channel that closes when those of any cluster change.
func (b *refusalBoard) watch(cluster model.ClusterName) (map[string]string, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byCluster[cluster].reasons, b.changed
}

// set replaces a cluster's refusals and reports whether they are others than before. Those of another session are replaced only when
// the caller publishes: then it is the one that counts.
func (b *refusalBoard) set(by *session, reasons map[string]string, publishes bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, ok := b.byCluster[by.cluster]
	if ok && before.by != by && !publishes {
		return false
	}
	b.byCluster[by.cluster] = refused{by, reasons}
	if maps.Equal(before.reasons, reasons) {
		return false
	}
	b.wake()
	return true
}

// end forgets the refusals that a session made.
func (b *refusalBoard) end(by *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := b.byCluster[by.cluster]
	if held.by != by {
		return
	}
	delete(b.byCluster, by.cluster)
	if len(held.reasons) > 0 {
		b.wake()
	}
}

// wake tells the watchers; b.mu is held.
func (b *refusalBoard) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}
