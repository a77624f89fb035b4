package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
)

// Agents asks the agents of sites that have a session at this node.
type Agents interface {
	// Ask puts a question to a cluster's agent and returns the JSON of its answer. Errors are *model.QueryError, or ctx's own.
	Ask(ctx context.Context, cluster model.ClusterName, kind model.QueryKind, request []byte) ([]byte, error)
}

const (
	// passedOnPath is where nodes pass questions on to each other.
	passedOnPath = "/v1/agents/%s/answers/%s"
	// passOnTimeout bounds one other node's answer: the agent's own time, and the way there.
	passOnTimeout = model.QueryTimeout + 2*time.Second
)

// ask puts a question to a cluster's agent, wherever in the federation it is connected, and decodes the answer. An error is the API's
// answer to whoever asked.
func (s *service) ask(ctx context.Context, cluster model.ClusterName, kind model.QueryKind, request, answer any) error {
	err := s.question(ctx, cluster, kind, request, answer)
	var known *model.QueryError
	if errors.As(err, &known) {
		return queryProblem(kind, known)
	}
	return err
}

// question is ask with the error as it is.
func (s *service) question(ctx context.Context, cluster model.ClusterName, kind model.QueryKind, request, answer any) error {
	if _, member := s.Consensus.View().Clusters[cluster]; !member {
		return huma.Error404NotFound(fmt.Sprintf("no cluster %s: see 'hanse cluster list'", cluster))
	}
	body, err := json.Marshal(request)
	if err != nil {
		return huma.Error500InternalServerError(err.Error())
	}
	raw, err := s.Agents.Ask(ctx, cluster, kind, body)
	if codeOf(err) == model.QueryDisconnected {
		raw, err = s.askOthers(ctx, cluster, kind, body)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return &model.QueryError{Code: model.QueryFailed, Message: fmt.Sprintf(
			"node %s does not understand the answer of cluster %s's agent (%v): upgrade the older of the two", s.Node, cluster, err)}
	}
	return nil
}

// codeOf is the code of a question's error; empty when it has none.
func codeOf(err error) model.QueryCode {
	var known *model.QueryError
	if errors.As(err, &known) {
		return known.Code
	}
	return ""
}

// queryProblem is what the API answers when a question was not.
func queryProblem(kind model.QueryKind, err *model.QueryError) error {
	again := http.Header{"Retry-After": {retryAfter}}
	if (err.Code == model.QueryConflict || err.Code == model.QueryMismatch) && !kind.Changes() {
		return huma.Error502BadGateway(err.Message)
	}
	switch err.Code {
	case model.QueryInvalid:
		return huma.Error422UnprocessableEntity(err.Message)
	case model.QueryNotFound:
		return huma.Error404NotFound(err.Message)
	case model.QueryDenied:
		return huma.Error403Forbidden(err.Message)
	case model.QueryConflict:
		return huma.Error409Conflict(err.Message)
	case model.QueryMismatch:
		return huma.Error412PreconditionFailed(err.Message)
	case model.QueryBusy:
		return huma.ErrorWithHeaders(huma.Error429TooManyRequests(err.Message), again)
	case model.QueryTimedOut:
		return huma.ErrorWithHeaders(huma.Error504GatewayTimeout(err.Message), again)
	case model.QueryDisconnected:
		return huma.ErrorWithHeaders(huma.Error503ServiceUnavailable(err.Message), again)
	default:
		return huma.Error502BadGateway(err.Message)
	}
}

// askOthers passes a question on to the other nodes in turn: each knows only which agents are connected to itself. The node that has
// answered for the cluster before is asked first.
func (s *service) askOthers(ctx context.Context, cluster model.ClusterName, kind model.QueryKind, request []byte) ([]byte, error) {
	none := &model.QueryError{Code: model.QueryDisconnected, Message: fmt.Sprintf("the agent of cluster %s is connected to no node that answers", cluster)}
	for _, n := range s.others(cluster) {
		answer, err := s.passOn(ctx, n, cluster, kind, request)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			none.Message += fmt.Sprintf("; %s: %v", n.Name, err)
		case answer.Code == model.QueryOK:
			s.homes.set(cluster, n.Name)
			return answer.Answer, nil
		case answer.Code != model.QueryDisconnected:
			return nil, &model.QueryError{Code: answer.Code, Message: answer.Message}
		}
	}
	return nil, none
}

// others are the other nodes that are alive, the one first that the cluster's agent was last connected to.
func (s *service) others(cluster model.ClusterName) []model.Node {
	home, alive := s.homes.get(cluster), s.Live.Alive()
	var first, rest []model.Node
	for _, n := range s.Consensus.View().NodeList() {
		switch {
		case n.Name == s.Node || !alive[n.Name]:
		case n.Name == home:
			first = append(first, n)
		default:
			rest = append(rest, n)
		}
	}
	return append(first, rest...)
}

// passedOn is what one node answers another's question for an agent.
type passedOn struct {
	Code    model.QueryCode `json:"code"`
	Message string          `json:"message,omitempty"`
	Answer  json.RawMessage `json:"answer,omitempty"`
}

// passOn puts the question to one other node. It goes as this node's own: whoever asked was let in here, and might have shown what only its
// holder can show elsewhere. A question that was passed on is put to an agent or to nobody, so that it does not go in a circle.
func (s *service) passOn(ctx context.Context, to model.Node, cluster model.ClusterName, kind model.QueryKind, request []byte) (passedOn, error) {
	ctx, cancel := context.WithTimeout(ctx, passOnTimeout)
	defer cancel()
	// A proxied answer that is cut off must be an error here, not the end of the original request's connection.
	ctx = context.WithValue(ctx, http.ServerContextKey, nil)
	r, err := passedOnRequest(ctx, cluster, kind, request)
	if err != nil {
		return passedOn{}, err
	}
	w := &recorded{header: http.Header{}}
	s.Forward(w, r, to)
	switch {
	case w.status == http.StatusNotFound, w.status == http.StatusMethodNotAllowed:
		return passedOn{}, errors.New("it does not know this cluster or this question yet: upgrade it if it is of an older version")
	case w.status != http.StatusOK:
		return passedOn{}, fmt.Errorf("it answers with status %d", w.status)
	}
	var answer passedOn
	if err := json.Unmarshal(w.body.Bytes(), &answer); err != nil || w.over {
		return answer, errors.New("its answer makes no sense or is too long")
	}
	return answer, nil
}

// passedOnRequest is a question to another node. What changes something is never sent twice by whoever carries it.
func passedOnRequest(ctx context.Context, cluster model.ClusterName, kind model.QueryKind, request []byte) (*http.Request, error) {
	target := url.URL{Path: fmt.Sprintf(passedOnPath, cluster, kind)}
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if kind.Changes() {
		method, body = http.MethodPost, bytes.NewReader(request)
	} else {
		target.RawQuery = url.Values{"request": {string(request)}}.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	if kind.Changes() {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set(RequestIDHeader, requestIDOf(ctx))
	return r, nil
}

// homes remember at which other node a cluster's agent was last found. There are at most as many as there were members.
type homes struct {
	mu   sync.Mutex
	last map[model.ClusterName]string
}

func (h *homes) get(cluster model.ClusterName) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last[cluster]
}

func (h *homes) set(cluster model.ClusterName, node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == nil {
		h.last = map[model.ClusterName]string{}
	}
	h.last[cluster] = node
}
