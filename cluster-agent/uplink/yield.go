package uplink

import (
	"context"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/tenure"
)

// tellsPublisher is the first protocol in which a node tells who publishes.
const tellsPublisher = 2

// waitsForWord is until when a session publishes nothing unless its node has told who does; zero is no time. A process that has published
// before may have been cut off for long, or frozen, and another one may have taken over; one that has just started takes over itself.
func (s *session) waitsForWord() time.Time {
	if s.up.tenure.Published().IsZero() || s.welcome.GetProtocol() < tellsPublisher {
		return time.Time{}
	}
	return s.up.cfg.Clock.Now().Add(heartbeat)
}

// hear takes what the node has told of the publisher. A word about another membership of the cluster's name says nothing about this one.
func (s *sender) hear() error {
	now := s.up.cfg.Clock.Now()
	w := s.requests.takeWord()
	if w == nil {
		if s.welcome.GetProtocol() < tellsPublisher {
			s.up.tenure = s.up.tenure.Untold(now)
		}
		return nil
	}
	s.unheard = time.Time{}
	if w.Held.Incarnation != s.welcome.GetIncarnation() {
		w = &tenure.Word{}
	}
	epoch, err := s.up.cfg.Epochs.LoadEpoch()
	if err == nil {
		if err := s.believable(w.Held, epoch); err != nil {
			return err
		}
	}
	s.up.tenure = s.up.tenure.Told(*w, now)
	if _, superseded := s.up.tenure.Superseded(); superseded && !s.version.IsZero() {
		// What is published next is published over what another one has said.
		s.version = model.Version{}
		s.up.want.unfollow()
	}
	return nil
}

// yield leaves publishing to the process that has taken over, until it is silent; the session goes on for what is imported. Signs of
// life of what this process last published let nodes see that there are two.
func (s *sender) yield(ctx context.Context, now, until time.Time) (next time.Time, err error) {
	by, _ := s.up.tenure.Superseded()
	if s.up.supersededBy(by) {
		s.up.cfg.Logger.Error("another agent publishes as this cluster, with a newer epoch; this one imports only, and publishes again once the other is silent for "+
			tenure.Silence.String()+". Two agents on copies of one data folder? Stop one of them", "cluster", s.up.cfg.Cluster, "other", by, "instance", s.up.cfg.Instance)
	}
	if s.welcome.GetProtocol() >= tellsPublisher && !now.Before(s.beat) {
		last := s.up.tenure.Published()
		if err := s.state(ctx, model.Batch{From: last, To: last}, now); err != nil {
			return next, err
		}
	}
	next = now.Add(heartbeat)
	if !until.IsZero() && until.Before(next) {
		next = until
	}
	return next, nil
}

// leads notes that this process publishes.
func (s *sender) leads() {
	if s.up.supersededBy("") {
		s.up.cfg.Logger.Warn("this agent publishes again: the other one was silent", "cluster", s.up.cfg.Cluster)
	}
}

// supersededBy notes who publishes instead of this process and reports whether that is news.
func (u *Uplink) supersededBy(instance string) (news bool) {
	u.note(func(st *Stats) {
		news = st.SupersededBy != instance
		st.SupersededBy = instance
	})
	return news
}
