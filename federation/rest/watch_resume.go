package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/federation/state"
)

const (
	// aheadPatience is how long a watch waits for a node whose state is older than what the client has seen: some heartbeats.
	aheadPatience = 3 * time.Second
	// inTouch is how lately a node that does not lag has heard from its leader. A leader that the others have left stops within that time.
	inTouch = time.Second
)

// canResume waits until this node has seen what the client has, and refuses when it does not remember what came next.
func (s *service) canResume(ctx context.Context, w *watcher) error {
	if !w.resumes {
		return nil
	}
	v, err := s.await(ctx, w.at.index)
	if err != nil {
		return err
	}
	if _, _, ok := s.changes.after(v, w.at, 0); !ok {
		return errGone(w.at)
	}
	return nil
}

func errGone(at position) error {
	return newProblem(http.StatusGone, "", &Fault{
		Location: "query.after", Message: "this node does not remember all changes after " + at.String(), Remedy: "watch without it, which lists the objects first",
	})
}

// await returns a view that is not older than the index.
func (s *service) await(ctx context.Context, index uint64) (*state.View, error) {
	if leader, _, ok := s.Consensus.Leader(); ok && leader == s.Node && s.Consensus.View().Index < index {
		if err := s.Consensus.Barrier(ctx); err != nil {
			return nil, asProblem(err)
		}
		if v := s.Consensus.View(); v.Index < index {
			// No node can have told of it: the client's federation was another one, or this one was made anew.
			return nil, errGone(whole(index))
		}
	}
	patience := s.Clock.NewTimer(aheadPatience)
	defer patience.Stop()
	for {
		v, changed := s.Consensus.Watch()
		if v.Index >= index {
			return v, nil
		}
		select {
		case <-changed:
		case <-patience.C():
			if age, known := s.Live.Age(); known && age <= inTouch {
				// It has heard from its leader until now and not of that index: there is none.
				return nil, errGone(whole(index))
			}
			return nil, unavailable("this node has not seen what you have seen yet; try again, or ask another node")
		case <-s.stopping:
			return nil, unavailable("this node is stopping; ask another node")
		case <-ctx.Done():
			return nil, unavailable(ctx.Err().Error())
		}
	}
}

func unavailable(detail string) error {
	return huma.ErrorWithHeaders(huma.Error503ServiceUnavailable(detail), http.Header{"Retry-After": {retryAfter}})
}
