package uplink

import (
	"context"
	"errors"
	"fmt"
	"testing"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

func (s *talk) query(id uint64, kind, json string) {
	s.t.Helper()
	s.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Query{Query: &hansev1.Query{Id: id, Kind: kind, Json: []byte(json)}}})
}

func (s *talk) answer(id uint64, status model.QueryCode, json, reason string) {
	s.t.Helper()
	a := s.read().GetAnswer()
	if a.GetId() != id || a.GetStatus() != string(status) || string(a.GetJson()) != json || a.GetReason() != reason {
		s.t.Fatalf("the agent answers %.200v, want %d %s %q %q", a, id, status, json, reason)
	}
}

func answering(answer Answer) func(*Config) { return func(c *Config) { c.Answer = answer } }

func TestQuestionsAreAnswered(t *testing.T) {
	n := newNode(t)
	start(t, []*node{n}, answering(func(_ context.Context, kind model.QueryKind, request []byte) ([]byte, error) {
		switch kind {
		case "echo":
			return request, nil
		case "long":
			return make([]byte, model.MaxAnswer+1), nil
		case "missing":
			return nil, fmt.Errorf("look: %w", &model.QueryError{Code: model.QueryNotFound, Message: "no such thing"})
		}
		return nil, errors.New("broken")
	}))
	s := n.accept(t, welcome())
	s.query(3, "echo", `{"a":1}`)
	s.answer(3, model.QueryOK, `{"a":1}`, "")
	s.query(4, "missing", "")
	s.answer(4, model.QueryNotFound, "", "look: no such thing")
	s.query(5, "else", "")
	s.answer(5, model.QueryFailed, "", "broken")
	s.query(6, "long", "")
	s.answer(6, model.QueryFailed, "", "the answer has 1048577 bytes, more than 1048576: ask for less")
	s.query(7, "echo", string(make([]byte, model.MaxQuery+1)))
	s.answer(7, model.QueryInvalid, "", "the question has 16385 bytes, more than 16384")
}

func TestAnAgentWithoutAnswersSaysSo(t *testing.T) {
	n := newNode(t)
	start(t, []*node{n})
	s := n.accept(t, welcome())
	s.query(1, "explain", "")
	s.answer(1, model.QueryUnknownKind, "", "this agent answers no questions")
}

// TestSlowAnswersHoldUpNothing leaves as many questions open as there may be: the session's other traffic goes on, more questions are not
// taken, and all end with the session.
func TestSlowAnswersHoldUpNothing(t *testing.T) {
	n := newNode(t)
	began, ended := make(chan string, 100), make(chan string, 100)
	r := start(t, []*node{n}, answering(func(ctx context.Context, _ model.QueryKind, request []byte) ([]byte, error) {
		began <- string(request)
		<-ctx.Done()
		ended <- string(request)
		return nil, ctx.Err()
	}))
	s := n.accept(t, welcome())
	r.handler.expect(t, "connected n1 true")
	for i := range model.MaxQueries + 5 {
		s.query(uint64(i+1), "slow", "")
	}
	for range model.MaxQueries {
		receive(t, "a question to be looked at", began)
	}
	s.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_State{State: &hansev1.State{Index: 5}}})
	r.handler.expect(t, "state 5")
	if len(began) > 0 {
		t.Fatal("more questions are looked at than a node may ask")
	}
	r.Publish([]model.Record{service("pay", 1)}, nil)
	r.SetComplete()
	s.expect("1.1 full +pay=1.1 1")
	s.end <- nil
	for range model.MaxQueries {
		receive(t, "a question to be given up", ended)
	}
	r.handler.expect(t, "connected n1 false")
}

func TestAnAnswerHasItsTime(t *testing.T) {
	n := newNode(t)
	began := make(chan struct{}, 1)
	r := start(t, []*node{n}, answering(func(ctx context.Context, _ model.QueryKind, _ []byte) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	s := n.accept(t, welcome())
	s.query(1, "slow", "")
	receive(t, "the question to be looked at", began)
	r.clock.Advance(model.QueryTimeout)
	s.answer(1, model.QueryTimedOut, "", "context canceled")
}
