package server

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

// tellsPublisher is the first protocol in which an agent is told who publishes; older ones learn it by the end of their sessions.
const tellsPublisher = 2

// publisherWord is what an agent was last told of who publishes as its cluster.
type publisherWord struct {
	instance string
	fresh    bool
}

// tellPublisher tells the agent who publishes as its cluster: at first, when that is another process, when that one falls silent or
// speaks again, and when the agent has published in vain. It returns when the publisher will count as silent; zero when it does.
func (w *writer) tellPublisher(inVain bool) (time.Time, error) {
	if w.protocol < tellsPublisher {
		return time.Time{}, nil
	}
	now, held := w.server.cfg.Clock.Now(), w.held()
	word := publisherWord{instance: held.Instance}
	var until time.Time
	if held.Instance != "" {
		if word.fresh, until = w.server.feeds.note(held, now).fresh(now); !word.fresh {
			until = time.Time{}
		}
	}
	if w.told != nil && *w.told == word && !inVain {
		return until, nil
	}
	w.told = &word
	return until, w.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Publisher{Publisher: &hansev1.Publisher{
		Instance: held.Instance, Held: codec.VersionToProto(held.Version), Fresh: word.fresh,
	}}})
}

// outrun reports whether another process has published what the batch would have to lead on from or replace.
func (x *session) outrun(b model.Batch) (held catalog.Origin, yes bool) {
	held = x.held()
	other := held.Instance != "" && held.Instance != x.instance
	return held, other && (held.Version.SameEpoch(b.To) || held.Version.Compare(b.To) > 0)
}

// superseded leaves a batch aside because another process publishes, and has both the agent and the operator told so. An agent that cannot
// be told loses its session.
func (x *session) superseded(b model.Batch, held catalog.Origin) error {
	if x.server.sessions.supersede(x, held.Instance) {
		x.log.Error("two agents publish as one cluster: they run on copies of one data folder; stop one of them",
			"publisher", held.Instance, "version", held.Version, "refused", b.To)
	}
	x.wait(true)
	switch {
	case x.protocol >= tellsPublisher:
		return x.note(func(o *outbox) error { o.publisher = true; return nil })
	case held.Version.SameEpoch(b.To):
		return status.Errorf(codes.Aborted,
			"epoch %d of cluster %s is published by another instance too (%s, this one is %s): two agents run on copies of one state; stop one, or start this one anew",
			b.To.Epoch, x.cluster, held.Instance, x.instance)
	default:
		return status.Errorf(codes.Aborted, "another instance of cluster %s's agent publishes with a newer epoch (%v, this one's is %v): it has taken over", x.cluster, held.Version, b.To)
	}
}
