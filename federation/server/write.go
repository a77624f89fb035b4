package server

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/feed"
	"github.com/hanse-mesh/hanse/federation/state"
)

// refreshEvery is how often a session looks for origins that have confirmed an unchanged state.
const refreshEvery = 5 * time.Second

// writer is what a session's writing goroutine knows.
type writer struct {
	*session
	imports *feed.Feed
	view    *state.View
	// recheck is set when any origin may have to be told anew.
	recheck  bool
	rules    []policy.ExportRule
	takes    []policy.ImportRule
	sees     map[model.ClusterName]bool
	revision int
	// told is the last word about the publisher; nil before the first.
	told *publisherWord
}

// write tells the agent what it should know until the session ends. Each round sends the newest of everything, so that an agent that
// is slow to read costs no memory here.
func (x *session) write(ctx context.Context, changes <-chan []model.ClusterName, ended <-chan error) error {
	w := &writer{session: x, imports: feed.New(x.server.cfg.Store)}
	var origins []model.ClusterName
	timer, silence := x.server.cfg.Clock.NewTimer(refreshEvery), x.server.cfg.Clock.NewTimer(publisherSilence)
	defer timer.Stop()
	defer silence.Stop()
	for {
		_, refusalsChanged := x.server.refusals.watch(x.cluster)
		view, viewChanged := x.server.cfg.Consensus.Watch()
		silent, err := w.round(view, origins)
		if err != nil {
			return err
		}
		if !silent.IsZero() {
			silence.Reset(silent.Sub(x.server.cfg.Clock.Now()))
		}
		origins = nil
		select {
		case <-viewChanged:
		case <-refusalsChanged:
			w.recheck = true
		case origins = <-changes:
		case <-timer.C():
			timer.Reset(refreshEvery)
			w.recheck = true
		case <-silence.C():
		case <-x.kick:
		case err := <-ended:
			return err
		case <-x.server.stopped:
			return errStopping
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// round sends what is new: who publishes, the state, imports, and answers to the agent. It returns when the publisher will count as
// silent; zero when it does.
func (w *writer) round(view *state.View, origins []model.ClusterName) (silent time.Time, err error) {
	own, err := member(view, w.cluster, w.key)
	if err != nil {
		return silent, err
	}
	out := w.takeOutbox()
	if silent, err = w.tellPublisher(out.publisher); err != nil {
		return silent, err
	}
	if view != w.view {
		if err := w.follow(view, own); err != nil {
			return silent, err
		}
		w.recheck = true
	}
	if w.recheck {
		origins = w.everyOrigin()
		w.recheck = false
	}
	if err := w.tell(origins, out.origins); err != nil {
		return silent, err
	}
	if err := w.answer(out); err != nil {
		return silent, err
	}
	return silent, w.tellQueries()
}

// follow sends the new state and judges by it anew what the agent has published.
func (w *writer) follow(view *state.View, own model.Cluster) error {
	if err := w.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_State{State: view.ProtoFor(w.protocol)}}); err != nil {
		return err
	}
	rules, takes := view.ExportList(), view.ImportList()
	sees := feed.Sees(rules, takes, view.Clusters, w.cluster)
	if w.revision == 0 || !reflect.DeepEqual(rules, w.rules) || !reflect.DeepEqual(takes, w.takes) || !maps.Equal(sees, w.sees) {
		w.rules, w.takes, w.sees = rules, takes, sees
		w.revision++
	}
	w.view = view
	w.rejudge(own, w.rules)
	return nil
}

func (w *writer) everyOrigin() []model.ClusterName {
	all := make([]model.ClusterName, 0, len(w.view.Clusters))
	for name := range w.view.Clusters {
		all = append(all, name)
	}
	for _, name := range w.imports.Told() {
		if _, member := w.view.Clusters[name]; !member {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// tell sends what has changed of the origins, and again those in again.
func (w *writer) tell(origins []model.ClusterName, again map[model.ClusterName]bool) error {
	if len(origins)+len(again) == 0 {
		return nil
	}
	confirmed := map[model.ClusterName]catalog.Origin{}
	for _, o := range w.server.cfg.Store.Origins() {
		confirmed[o.Name] = o
	}
	for _, origin := range origins {
		u := w.update(origin, false)
		if o, ok := confirmed[origin]; ok && u == (feed.Update{}) {
			u = w.imports.Refresh(origin, o.Version, o.ProducedAt, o.Instance)
		}
		if err := w.sendUpdate(origin, u); err != nil {
			return err
		}
	}
	for origin := range again {
		if err := w.sendUpdate(origin, w.update(origin, true)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) update(origin model.ClusterName, force bool) feed.Update {
	cluster, member := w.view.Clusters[origin]
	if !member || origin == w.cluster {
		return w.imports.Forget(origin, force)
	}
	refused, _ := w.server.refusals.watch(origin)
	f := feed.Filter{Origin: cluster, Importer: w.cluster, Rules: w.rules, Takes: w.takes, Sees: w.sees, Revision: w.revision, Refused: refused}
	if force {
		return w.imports.Restate(f, true)
	}
	return w.imports.Follow(f)
}

func (w *writer) sendUpdate(origin model.ClusterName, u feed.Update) error {
	if u.Batch != nil {
		if err := w.sendImport(origin, u); err != nil {
			return err
		}
	}
	if !u.Dropped {
		return nil
	}
	return w.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Dropped{Dropped: &hansev1.OriginDropped{Origin: string(origin)}}})
}

func (w *writer) sendImport(origin model.ClusterName, u feed.Update) error {
	m := &hansev1.SessionResponse{Message: &hansev1.SessionResponse_Import{Import: codec.BatchToProto(*u.Batch)}}
	if size := proto.Size(m); size > MaxMessage {
		// The agent would end the session: one origin must not cost it all others. It keeps what it has of this one.
		w.log.Error("an origin is too large to be sent", "origin", origin, "bytes", size, "limit", MaxMessage)
		w.imports.Lost(origin)
		return nil
	}
	return w.send(m)
}

// answer sends refusals and the request for a full state.
func (w *writer) answer(out outbox) error {
	if out.refused {
		p := &hansev1.Refusals{}
		for _, r := range w.server.Refusals(w.cluster) {
			p.Refusals = append(p.Refusals, &hansev1.Refusal{Key: r.Key, Reason: r.Reason})
		}
		if out.bundle != "" {
			p.Refusals = append(p.Refusals, &hansev1.Refusal{Key: bundleKey, Reason: out.bundle})
		}
		if err := w.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Refused{Refused: p}}); err != nil {
			return err
		}
	}
	if out.resync != "" {
		return w.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Resync{Resync: &hansev1.PublishResync{Reason: out.resync}}})
	}
	return nil
}

// takeOutbox empties the outbox. What is refused of the bundle stays until the bundle is accepted.
func (w *writer) takeOutbox() outbox {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.outbox
	w.outbox = outbox{bundle: out.bundle}
	return out
}

func (w *writer) send(m *hansev1.SessionResponse) error {
	if err := w.stream.Send(m); err != nil {
		return status.Errorf(codes.Unavailable, "send to cluster %s: %v", w.cluster, err)
	}
	return nil
}
