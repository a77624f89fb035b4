package vm

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
)

// entry is a registered workload. It is guarded by Site.mu.
type entry struct {
	workload model.Workload
	// declared says that an operator has registered it: it stays without a proxy, until one attaches or an operator ends it.
	declared bool
	// stream is nil while the proxy is away.
	stream *attachment
	// expires is when an entry without a stream is removed; it is zero while a stream holds it, and before Run for one from disk.
	expires  time.Time
	report   report
	problems []string
}

// attachment is one Attach stream.
type attachment struct {
	id string
	// end takes the reason why the stream must end.
	end chan error
	// wake says that problems may have changed.
	wake chan struct{}
	// registered is set once the stream has held its entry; it is guarded by Site.mu.
	registered bool
	// sent are the problems that the proxy knows; they belong to the stream's own goroutine.
	sent []string
}

func newAttachment(id string) *attachment {
	return &attachment{id: id, end: make(chan error, 1), wake: make(chan struct{}, 1)}
}

func (a *attachment) stop(err error) {
	select {
	case a.end <- err:
	default:
	}
}

// register admits w for the caller and makes a the stream that holds it; an older stream of the same workload ends.
func (s *Site) register(who peer, a *attachment, w model.Workload) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.holder(who)
	if err != nil {
		return err
	}
	if id := e.spiffeID(s.cfg.TrustDomain); id != who.spiffeID {
		return status.Errorf(codes.PermissionDenied,
			"certificate is for %s but workload %q is enrolled as %s: renew it, or restart the proxy", who.spiffeID, who.id, id)
	}
	if err := e.admits(w, s.cfg.Pods); err != nil {
		return err
	}
	w.ID, w.ServiceAccount = e.Workload, e.ServiceAccount
	held, ok := s.entries[w.ID]
	if a.registered && (!ok || held.stream != a) {
		return replaced(w.ID)
	}
	if !ok {
		held = &entry{}
		s.entries[w.ID] = held
	}
	if held.stream != nil && held.stream != a {
		held.stream.stop(replaced(w.ID))
	}
	held.stream, held.expires, a.registered = a, time.Time{}, true
	wake(a.wake)
	if held.declared {
		s.cfg.Logger.Info("the proxy takes over a workload that an operator had registered", "workload", w.ID)
		held.declared = false
		s.versions.declared++
		s.touch(w.ID)
	}
	if !ok || !reflect.DeepEqual(held.workload, w) {
		held.workload = w
		s.touch(w.ID)
	}
	return nil
}

func replaced(id string) error {
	return status.Errorf(codes.Aborted, "another proxy with the same key has attached as workload %q: run one proxy per workload", id)
}

// holder returns the caller's enrolment; s.mu is held. Its errors are Unauthenticated, which tells a pod's proxy to enrol anew.
func (s *Site) holder(who peer) (enrolment, error) {
	e, ok := s.enrolments[who.id]
	if !ok {
		return enrolment{}, status.Errorf(codes.Unauthenticated,
			"workload %q is not enrolled with cluster %s of federation %s: enrol it with a token", who.id, s.cfg.Cluster, s.cfg.Federation)
	}
	if !slices.Equal(e.KeyHash, who.keyHash) {
		return enrolment{}, status.Errorf(codes.Unauthenticated,
			"workload %q is enrolled with another key: this machine's enrolment was replaced, enrol it with a token", who.id)
	}
	return e, nil
}

// update changes the entry that a still holds; messages of a stream that was replaced change nothing.
func (s *Site) update(a *attachment, change func(*entry)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[a.id]; e != nil && e.stream == a {
		change(e)
	}
}

func (s *Site) setHealth(a *attachment, h model.WorkloadHealth) {
	s.update(a, func(e *entry) {
		if e.workload.Health != h {
			e.workload.Health = h
			s.touch(a.id)
		}
	})
}

// withdraw removes the workload at once.
func (s *Site) withdraw(a *attachment) {
	s.update(a, func(*entry) { s.remove(a.id) })
}

// detach leaves the workload with its last health until its time is up.
func (s *Site) detach(a *attachment) {
	s.update(a, func(e *entry) {
		e.stream, e.expires = nil, s.cfg.Clock.Now().Add(s.cfg.WithdrawTTL)
		wake(s.changed)
	})
}

// remove forgets an entry; s.mu is held.
func (s *Site) remove(id string) {
	delete(s.entries, id)
	s.forgetPod(id)
	s.touch(id)
}

// touch notes that a workload changed; s.mu is held.
func (s *Site) touch(id string) {
	s.dirty[id] = struct{}{}
	s.versions.registrations++
	wake(s.changed)
	wake(s.unsaved)
}

// startGrace gives entries without a stream a time to be held again. It counts from Run, not from New: an agent that took long to
// come up must not withdraw workloads whose proxies had nowhere to attach.
func (s *Site) startGrace() {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := s.cfg.Clock.Now().Add(s.cfg.RestartGrace)
	for _, e := range s.entries {
		if !e.declared && e.stream == nil && e.expires.Before(until) {
			e.expires = until
		}
	}
}

// take removes what is due and returns what Run has not told yet, and when the next removal is due (zero for none).
func (s *Site) take(full bool) (source.Update, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.expire(s.cfg.Clock.Now())
	update := source.Update{Full: full}
	if full {
		update.Upserts = s.workloads(all)
	} else {
		for id := range s.dirty {
			if e, ok := s.entries[id]; ok {
				update.Upserts = append(update.Upserts, e.workload)
			} else {
				update.Removals = append(update.Removals, id)
			}
		}
		sortByID(update.Upserts)
		slices.Sort(update.Removals)
	}
	clear(s.dirty)
	return update, next
}

// expire removes what is due at now and returns when the next removal is due; s.mu is held.
func (s *Site) expire(now time.Time) time.Time {
	var next time.Time
	for id, e := range s.entries {
		switch {
		case e.stream != nil || e.expires.IsZero():
		case !e.expires.After(now):
			s.cfg.Logger.Warn("workload removed: its proxy did not come back", "workload", id)
			s.remove(id)
		case next.IsZero() || e.expires.Before(next):
			next = e.expires
		}
	}
	return next
}

// Which entries are asked for.
func all(*entry) bool          { return true }
func byProxy(e *entry) bool    { return !e.declared }
func byOperator(e *entry) bool { return e.declared }

// workloads returns those that are asked for, sorted; s.mu is held.
func (s *Site) workloads(wanted func(*entry) bool) []model.Workload {
	out := make([]model.Workload, 0, len(s.entries))
	for _, e := range s.entries {
		if wanted(e) {
			out = append(out, e.workload)
		}
	}
	sortByID(out)
	return out
}

func sortByID(ws []model.Workload) {
	slices.SortFunc(ws, func(a, b model.Workload) int { return cmp.Compare(a.ID, b.ID) })
}
