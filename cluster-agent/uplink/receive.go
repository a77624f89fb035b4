package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/tenure"
)

const (
	// maxOrigins bounds the origins that are asked for again at a time.
	maxOrigins = 4096
	// maxRefusals bounds the refusals taken from one message.
	maxRefusals = 1000
)

// requests is what the receiver asks of the sender.
type requests struct {
	mu sync.Mutex
	// unsent are origins to ask for in full; open those of which the full state has not come yet.
	unsent map[model.ClusterName]struct{}
	open   map[model.ClusterName]struct{}
	// republish is set when the node wants this cluster's own full state.
	republish bool
	// word is the newest that the node has told of this cluster's publisher, and the sender has not heard.
	word *tenure.Word
}

// resync asks for an origin unless that has been done; it reports whether there is room.
func (r *requests) resync(origin model.ClusterName) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, asked := r.open[origin]; asked {
		return true
	}
	if len(r.open) >= maxOrigins {
		return false
	}
	if r.open == nil {
		r.open, r.unsent = map[model.ClusterName]struct{}{}, map[model.ClusterName]struct{}{}
	}
	r.open[origin], r.unsent[origin] = struct{}{}, struct{}{}
	return true
}

// answered notes that the origin came in full or is gone.
func (r *requests) answered(origin model.ClusterName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, origin)
	delete(r.unsent, origin)
}

func (r *requests) setRepublish(wanted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.republish = wanted
}

func (r *requests) setWord(w tenure.Word) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.word = &w
}

// takeWord returns what the node has told of the publisher since the last call; nil when nothing.
func (r *requests) takeWord() *tenure.Word {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.word
	r.word = nil
	return w
}

// take returns the origins to ask for now, sorted, and whether the full state is wanted; the latter stays until setRepublish.
func (r *requests) take() (origins []model.ClusterName, republish bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	origins = slices.Sorted(maps.Keys(r.unsent))
	clear(r.unsent)
	return origins, r.republish
}

// receive hands messages to the handler until the stream ends.
func (s *session) receive(ctx context.Context) error {
	complained := false
	for {
		m, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return errHungUp
		}
		if err != nil {
			return err
		}
		ignored, err := s.dispatch(ctx, m)
		if err != nil {
			return err
		}
		// One complaint per session: a node that sends nonsense must not fill the log.
		if ignored != nil && !complained {
			complained = true
			s.up.cfg.Logger.Warn("ignored a message of the node; further ones are not logged", "error", ignored)
		}
	}
}

// dispatch handles one message. A message that makes no sense is ignored, with the reason: the next may be good, and what is held
// stays.
func (s *session) dispatch(ctx context.Context, m *hansev1.SessionResponse) (ignored, fatal error) {
	handler := s.up.cfg.Handler
	switch m := m.GetMessage().(type) {
	case *hansev1.SessionResponse_State:
		if m.State != nil {
			handler.State(m.State)
		}
	case *hansev1.SessionResponse_Import:
		return s.importBatch(m.Import)
	case *hansev1.SessionResponse_Dropped:
		origin, err := model.ParseClusterName(m.Dropped.GetOrigin())
		if err != nil {
			return err, nil
		}
		s.requests.answered(origin)
		handler.OriginDropped(origin)
	case *hansev1.SessionResponse_Refused:
		handler.Refused(refusals(m.Refused))
	case *hansev1.SessionResponse_Resync:
		s.up.cfg.Logger.Info("the node asks for this cluster's full state", "reason", bounded(m.Resync.GetReason()))
		s.requests.setRepublish(true)
		s.up.want.poke()
	case *hansev1.SessionResponse_Publisher:
		s.requests.setWord(tenure.Word{
			Instance: bounded(m.Publisher.GetInstance()), Held: codec.VersionFromProto(m.Publisher.GetHeld()), Fresh: m.Publisher.GetFresh(),
		})
		s.up.want.poke()
	case *hansev1.SessionResponse_Query:
		return s.asked(ctx, m.Query), nil
	default:
		return fmt.Errorf("unexpected message %T", m), nil
	}
	return nil, nil
}

func (s *session) importBatch(m *hansev1.Batch) (ignored, fatal error) {
	batch, err := codec.BatchFromProto(m)
	if err != nil {
		return fmt.Errorf("import: %w", err), nil
	}
	if batch.Full {
		s.requests.answered(batch.Origin)
	}
	if !s.up.cfg.Handler.Import(batch) {
		return nil, nil
	}
	if !s.requests.resync(batch.Origin) {
		return nil, fmt.Errorf("more than %d origins have gaps", maxOrigins)
	}
	s.up.want.poke()
	return nil, nil
}

func refusals(m *hansev1.Refusals) []Refusal {
	list := m.GetRefusals()
	list = list[:min(len(list), maxRefusals)]
	out := make([]Refusal, len(list))
	for i, r := range list {
		out[i] = Refusal{Key: bounded(r.GetKey()), Reason: bounded(r.GetReason())}
	}
	return out
}
