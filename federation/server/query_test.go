package server

import (
	"context"
	"errors"
	"strings"
	"testing"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// asked is what came of one question.
type asked struct {
	json string
	err  error
}

// ask puts a question in the background.
func (f *federation) ask(ctx context.Context, node string, cluster model.ClusterName, request string) <-chan asked {
	out := make(chan asked, 1)
	go func() {
		json, err := f.nodes[node].Ask(ctx, cluster, model.QueryExplain, []byte(request))
		out <- asked{string(json), err}
	}()
	return out
}

func (f *federation) settled(t *testing.T, c <-chan asked) asked {
	t.Helper()
	select {
	case a := <-c:
		return a
	case <-f.ctx.Done():
		t.Fatal("the question was never settled")
		return asked{}
	}
}

func (a asked) failed(t *testing.T, code model.QueryCode, says ...string) {
	t.Helper()
	var e *model.QueryError
	if !errors.As(a.err, &e) || e.Code != code {
		t.Fatalf("got %q and %v, want code %s", a.json, a.err, code)
	}
	for _, text := range says {
		if !strings.Contains(e.Message, text) {
			t.Errorf("%q does not say %q", e.Message, text)
		}
	}
}

func (l *link) query() *hansev1.Query {
	l.t.Helper()
	return find(l, (*hansev1.SessionResponse).GetQuery)
}

func (l *link) reply(a *hansev1.QueryAnswer) {
	l.t.Helper()
	l.send(&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Answer{Answer: a}})
}

func TestAQuestionIsAnsweredByTheAgent(t *testing.T) {
	f := newFederation(t)
	l := f.connect(t, "n1", f.join("alpha"), "i1")
	first := f.ask(f.ctx, "n1", "alpha", `"a"`)
	q := l.query()
	if q.GetKind() != "explain" || string(q.GetJson()) != `"a"` {
		t.Fatalf("asked %v", q)
	}
	second := f.ask(f.ctx, "n1", "alpha", `"b"`)
	other := l.query()
	// Answers come in any order, for unknown questions, and twice.
	l.reply(&hansev1.QueryAnswer{Id: other.GetId() + 7, Status: "ok", Json: []byte(`"nobody asked"`)})
	l.reply(&hansev1.QueryAnswer{Id: other.GetId(), Status: "ok", Json: []byte(`"B"`)})
	l.reply(&hansev1.QueryAnswer{Id: other.GetId(), Status: "ok", Json: []byte(`"again"`)})
	l.reply(&hansev1.QueryAnswer{Id: q.GetId(), Status: "ok", Json: []byte(`"A"`)})
	if a := f.settled(t, first); a.err != nil || a.json != `"A"` {
		t.Fatalf("%+v", a)
	}
	if a := f.settled(t, second); a.err != nil || a.json != `"B"` {
		t.Fatalf("%+v", a)
	}
	f.settled(t, f.ask(f.ctx, "n2", "alpha", "")).failed(t, model.QueryDisconnected, "alpha", "n2")
	f.settled(t, f.ask(f.ctx, "n1", "alpha", strings.Repeat("x", model.MaxQuery+1))).failed(t, model.QueryInvalid, "bytes")
}

func TestWhatAnAgentSaysInsteadOfAnAnswer(t *testing.T) {
	f := newFederation(t)
	l := f.connect(t, "n1", f.join("alpha"), "i1")
	for name, c := range map[string]struct {
		answer *hansev1.QueryAnswer
		code   model.QueryCode
		says   string
	}{
		"not found":   {&hansev1.QueryAnswer{Status: "not-found", Reason: "no proxy web"}, model.QueryNotFound, "cluster alpha: no proxy web"},
		"unknown":     {&hansev1.QueryAnswer{Status: "unknown-kind", Reason: "what?"}, model.QueryUnknownKind, "what?"},
		"from nodes":  {&hansev1.QueryAnswer{Status: "disconnected", Reason: "me"}, model.QueryFailed, "me"},
		"nonsense":    {&hansev1.QueryAnswer{Status: "well", Reason: strings.Repeat("r", 1<<20)}, model.QueryFailed, "rrr"},
		"no status":   {&hansev1.QueryAnswer{Json: []byte("1")}, model.QueryFailed, "alpha"},
		"a long one":  {&hansev1.QueryAnswer{Status: "ok", Json: make([]byte, model.MaxAnswer+1)}, model.QueryFailed, "more than 1048576"},
		"not in time": {nil, model.QueryTimedOut, "within 5s"},
	} {
		t.Run(name, func(t *testing.T) {
			f.clock.forget()
			c1 := f.ask(f.ctx, "n1", "alpha", "")
			q := l.query()
			if c.answer == nil {
				f.clock.fire(f.ctx, t, model.QueryTimeout)
			} else {
				c.answer.Id = q.GetId()
				l.reply(c.answer)
			}
			a := f.settled(t, c1)
			a.failed(t, c.code, c.says)
			if len(a.err.Error()) > 2*maxReason {
				t.Errorf("an agent's reason of %d bytes is passed on", len(a.err.Error()))
			}
		})
	}
}

func TestAnOlderAgentIsNotAsked(t *testing.T) {
	f := newFederation(t)
	a := f.join("alpha")
	hello := f.hello(a, "i1")
	hello.ProtocolMax = 2
	l := f.open(t, "n1", a, hello)
	l.until("the state", func() bool { return l.state != nil })
	f.settled(t, f.ask(f.ctx, "n1", "alpha", "")).failed(t, model.QueryOutdated, "alpha", "v1", "protocol 2", "upgrade")
}

func TestQuestionsAreBoundedAndEndWithTheirSession(t *testing.T) {
	f := newFederation(t)
	a := f.join("alpha")
	l := f.connect(t, "n1", a, "i1")
	var open []<-chan asked
	for range model.MaxQueries {
		open = append(open, f.ask(f.ctx, "n1", "alpha", ""))
		l.query()
	}
	f.settled(t, f.ask(f.ctx, "n1", "alpha", "")).failed(t, model.QueryBusy, "8 questions")
	// The session goes on: what it publishes is taken, and it is told what is new.
	l.publish(nil, l.service("shop", "cart"))
	f.join("beta")
	l.until("beta in the state", func() bool { return len(l.state.GetClusters()) == 2 })
	_ = l.stream.CloseSend()
	for _, c := range open {
		f.settled(t, c).failed(t, model.QueryDisconnected, "alpha")
	}
}

func TestWhoeverGivesUpMakesRoom(t *testing.T) {
	f := newFederation(t)
	l := f.connect(t, "n1", f.join("alpha"), "i1")
	ctx, cancel := context.WithCancel(f.ctx)
	var open []<-chan asked
	for range model.MaxQueries {
		open = append(open, f.ask(ctx, "n1", "alpha", ""))
		l.query()
	}
	cancel()
	for _, c := range open {
		if a := f.settled(t, c); !errors.Is(a.err, context.Canceled) {
			t.Fatalf("%+v", a)
		}
	}
	last := f.ask(f.ctx, "n1", "alpha", "")
	l.reply(&hansev1.QueryAnswer{Id: l.query().GetId(), Status: "ok"})
	if a := f.settled(t, last); a.err != nil {
		t.Fatal(a.err)
	}
}

func TestTheAgentThatPublishesIsAsked(t *testing.T) {
	f := newFederation(t)
	a := f.join("alpha")
	publisher := f.connect(t, "n1", a, "i1")
	publisher.publish(nil, publisher.service("shop", "cart"))
	publisher.hears("i1", 1, true)
	copied := f.connect(t, "n1", a, "i2")
	copied.version = publisher.version
	copied.hears("i1", 1, true)
	copied.publish(nil, copied.service("shop", "toys"))
	find(copied, (*hansev1.SessionResponse).GetPublisher)
	f.ask(f.ctx, "n1", "alpha", "")
	if q := publisher.query(); q.GetKind() != "explain" {
		t.Fatalf("asked %v", q)
	}
}
