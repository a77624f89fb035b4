package uplink

import (
	"context"
	"errors"
	"fmt"
	"sync"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// Answer answers a question of a node with JSON. An error that is a *model.QueryError tells the node its code, any other one that the
// question failed. It is called by several goroutines at a time and must return when ctx ends, which is after model.QueryTimeout or with
// the session.
type Answer func(ctx context.Context, kind model.QueryKind, request []byte) ([]byte, error)

// answers are what the questions of one session come to. There are at most model.MaxQueries, unsent ones included: a node that asks more
// is not answered.
type answers struct {
	// tasks are the questions that are being answered.
	tasks sync.WaitGroup

	mu     sync.Mutex
	open   int
	unsent []*hansev1.QueryAnswer
}

func (a *answers) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open >= model.MaxQueries {
		return false
	}
	a.open++
	return true
}

func (a *answers) done(one *hansev1.QueryAnswer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unsent = append(a.unsent, one)
}

// take returns the answers to send, which are then no longer open.
func (a *answers) take() []*hansev1.QueryAnswer {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.unsent
	a.unsent = nil
	a.open -= len(out)
	return out
}

// asked has a question answered beside everything else; the sender sends the answer. It never blocks.
func (s *session) asked(ctx context.Context, q *hansev1.Query) error {
	if !s.answers.begin() {
		return fmt.Errorf("the node asks more than %d questions at once", model.MaxQueries)
	}
	s.answers.tasks.Go(func() {
		answer := &hansev1.QueryAnswer{Id: q.GetId(), Status: string(model.QueryOK)}
		json, err := s.reply(ctx, q)
		if err != nil {
			answer.Status, answer.Reason = string(codeOf(err)), bounded(err.Error())
		} else {
			answer.Json = json
		}
		s.answers.done(answer)
		s.up.want.poke()
	})
	return nil
}

// reply finds the answer within its time.
func (s *session) reply(ctx context.Context, q *hansev1.Query) ([]byte, error) {
	switch {
	case s.up.cfg.Answer == nil:
		return nil, &model.QueryError{Code: model.QueryUnknownKind, Message: "this agent answers no questions"}
	case len(q.GetJson()) > model.MaxQuery:
		return nil, &model.QueryError{Code: model.QueryInvalid, Message: fmt.Sprintf("the question has %d bytes, more than %d", len(q.GetJson()), model.MaxQuery)}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := s.up.cfg.Clock.NewTimer(model.QueryTimeout)
	defer timer.Stop()
	s.answers.tasks.Go(func() {
		select {
		case <-timer.C():
			cancel()
		case <-ctx.Done():
		}
	})
	json, err := s.up.cfg.Answer(ctx, model.QueryKind(bounded(q.GetKind())), q.GetJson())
	if err == nil && len(json) > model.MaxAnswer {
		err = fmt.Errorf("the answer has %d bytes, more than %d: ask for less", len(json), model.MaxAnswer)
	}
	return json, err
}

func codeOf(err error) model.QueryCode {
	var known *model.QueryError
	switch {
	case errors.As(err, &known):
		return known.Code
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return model.QueryTimedOut
	default:
		return model.QueryFailed
	}
}

// answerQuestions sends the answers that wait, behind everything that others wait for.
func (s *sender) answerQuestions(ctx context.Context) error {
	for _, a := range s.answers.take() {
		if err := s.send(ctx, &hansev1.SessionRequest{Message: &hansev1.SessionRequest_Answer{Answer: a}}); err != nil {
			return err
		}
	}
	return nil
}
