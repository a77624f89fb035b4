package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// Ask puts a question to a cluster's agent that has a session here, and returns the JSON of its answer. Errors are *model.QueryError, or
// ctx's own. Of several agents of one cluster the one that publishes is asked.
func (s *Server) Ask(ctx context.Context, cluster model.ClusterName, kind model.QueryKind, request []byte) ([]byte, error) {
	x, info, ok := s.sessions.toAsk(cluster)
	switch {
	case !ok:
		return nil, queryError(model.QueryDisconnected, "the agent of cluster %s has no session at node %s", cluster, s.cfg.Node.Name)
	case info.Protocol < kind.Protocol():
		return nil, queryError(model.QueryOutdated, "the agent of cluster %s (version %s) speaks protocol %d, and this needs %d: upgrade it",
			cluster, info.AgentVersion, info.Protocol, kind.Protocol())
	case len(request) > model.MaxQuery:
		return nil, queryError(model.QueryInvalid, "the question has %d bytes, more than %d", len(request), model.MaxQuery)
	}
	return x.ask(ctx, kind, request)
}

func queryError(code model.QueryCode, format string, args ...any) error {
	return &model.QueryError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ask waits for the answer as long as it is of use. The question travels with the writer's next round, so that nobody waits for a stream
// that is full but who asks.
func (x *session) ask(ctx context.Context, kind model.QueryKind, request []byte) ([]byte, error) {
	id, answer, ok := x.questions.begin(kind, request)
	if !ok {
		return nil, queryError(model.QueryBusy, "%d questions to the agent of cluster %s are open: try again", model.MaxQueries, x.cluster)
	}
	defer x.questions.end(id)
	x.wake()
	timer := x.server.cfg.Clock.NewTimer(model.QueryTimeout)
	defer timer.Stop()
	select {
	case a := <-answer:
		return x.readAnswer(a)
	case <-timer.C():
		return nil, queryError(model.QueryTimedOut, "the agent of cluster %s did not answer within %s", x.cluster, model.QueryTimeout)
	case <-x.ended:
		return nil, queryError(model.QueryDisconnected, "the agent of cluster %s was disconnected before it answered", x.cluster)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// readAnswer judges an answer: the agent is not trusted to keep to what it may say.
func (x *session) readAnswer(a *hansev1.QueryAnswer) ([]byte, error) {
	switch code := model.QueryCode(a.GetStatus()); {
	case len(a.GetJson()) > model.MaxAnswer:
		return nil, queryError(model.QueryFailed, "the answer of cluster %s's agent has %d bytes, more than %d", x.cluster, len(a.GetJson()), model.MaxAnswer)
	case code == model.QueryOK:
		return a.GetJson(), nil
	case slices.Contains(agentCodes, code):
		return nil, queryError(code, "cluster %s: %s", x.cluster, clip(a.GetReason()))
	default:
		return nil, queryError(model.QueryFailed, "cluster %s: %s", x.cluster, clip(a.GetReason()))
	}
}

// agentCodes are the outcomes that are an agent's to tell.
var agentCodes = []model.QueryCode{
	model.QueryInvalid, model.QueryNotFound, model.QueryUnknownKind, model.QueryBusy, model.QueryTimedOut,
	model.QueryDenied, model.QueryConflict, model.QueryMismatch,
}

// maxReason bounds a reason that an agent gives, in bytes.
const maxReason = 2048

func clip(reason string) string { return strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "") }

// questions are those of one session that were not answered yet.
type questions struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]question
}

type question struct {
	query *hansev1.Query
	// answer has room for one.
	answer chan *hansev1.QueryAnswer
	sent   bool
}

// begin takes a question in unless there are too many.
func (q *questions) begin(kind model.QueryKind, request []byte) (id uint64, answer <-chan *hansev1.QueryAnswer, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.open) >= model.MaxQueries {
		return 0, nil, false
	}
	if q.open == nil {
		q.open = map[uint64]question{}
	}
	q.last++
	one := question{
		query:  &hansev1.Query{Id: q.last, Kind: string(kind), Json: request},
		answer: make(chan *hansev1.QueryAnswer, 1),
	}
	q.open[q.last] = one
	return q.last, one.answer, true
}

// end forgets a question: whatever is still said to it is not heard.
func (q *questions) end(id uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, id)
}

// unsent returns the questions that the agent was not told yet, in the order in which they were put.
func (q *questions) unsent() []*hansev1.Query {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []*hansev1.Query
	for id, one := range q.open {
		if !one.sent {
			one.sent = true
			q.open[id] = one
			out = append(out, one.query)
		}
	}
	slices.SortFunc(out, func(a, b *hansev1.Query) int { return cmp.Compare(a.GetId(), b.GetId()) })
	return out
}

// answered hands an answer to whoever waits for it. One that nobody waits for, or that was given already, is dropped.
func (q *questions) answered(a *hansev1.QueryAnswer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if one, ok := q.open[a.GetId()]; ok && one.sent {
		delete(q.open, a.GetId())
		one.answer <- a
	}
}

// toAsk picks the session of a cluster to ask: one that publishes, the newest, because those that were cut off end only later.
func (r *sessions) toAsk(cluster model.ClusterName) (x *session, info Session, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for candidate, of := range r.open {
		if of.Cluster != cluster {
			continue
		}
		if !ok || better(of, info) {
			x, info, ok = candidate, of, true
		}
	}
	return x, info, ok
}

func better(a, b Session) bool {
	if publishes := a.SupersededBy == ""; publishes != (b.SupersededBy == "") {
		return publishes
	}
	return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Instance, b.Instance)) > 0
}

// tellQueries sends the questions that wait.
func (w *writer) tellQueries() error {
	for _, q := range w.questions.unsent() {
		if err := w.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Query{Query: q}}); err != nil {
			return err
		}
	}
	return nil
}
