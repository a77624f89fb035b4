package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func putRule(name, to string) state.PutPolicy {
	return state.PutPolicy{Kind: "ExportRule", Name: name, JSON: fmt.Appendf(nil, `{"name":%q,"spec":{"to":[%q]}}`, name, to)}
}

func deleteRule(name string) state.DeletePolicy {
	return state.DeletePolicy{Kind: "ExportRule", Name: name}
}

func TestWatchListsAndFollows(t *testing.T) {
	g := newGroup(t)
	g.apply(putRule("b", "x"))
	g.apply(putRule("a", "x"))
	stop := g.started("follow")
	w := g.during("follow", "?kind=ExportRule", func() {
		g.apply(state.ApplyPolicies{Put: []state.PutPolicy{putRule("c", "y"), putRule("a", "y")}, Delete: []state.DeletePolicy{deleteRule("b")}})
	}, stop)
	want := `event: put
data: {"index":4,"kind":"ExportRule","name":"a","object":{"name":"a","spec":{"from":null,"namespaces":null,"to":["x"]}}}

event: put
data: {"index":3,"kind":"ExportRule","name":"b","object":{"name":"b","spec":{"from":null,"namespaces":null,"to":["x"]}}}

id: 4
event: bookmark
data: {"index":4,"at":"2026-03-01T12:00:00Z"}

id: 5.1
event: put
data: {"index":5,"at":"2026-03-01T12:00:00Z","kind":"ExportRule","name":"a","object":{"name":"a","spec":{"from":null,"namespaces":null,"to":["y"]}}}

id: 5.2
event: delete
data: {"index":5,"at":"2026-03-01T12:00:00Z","kind":"ExportRule","name":"b"}

id: 5
event: put
data: {"index":5,"at":"2026-03-01T12:00:00Z","kind":"ExportRule","name":"c","object":{"name":"c","spec":{"from":null,"namespaces":null,"to":["y"]}}}

`
	if got := w.text(); got != want {
		t.Errorf("told\n%s\nwant\n%s", got, want)
	}
	if got := w.header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	if want := start.Add(10 * time.Second); !w.deadline.Equal(want) {
		t.Errorf("a write may last until %s, want %s", w.deadline, want)
	}
}

func TestWatchGoesOnFromAnId(t *testing.T) {
	g := newGroup(t)
	g.apply(state.ApplyPolicies{Put: []state.PutPolicy{putRule("a", "x"), putRule("b", "x"), putRule("c", "x")}})
	g.apply(deleteRule("b"))
	for after, want := range map[string]string{
		"2": "3.1 3.2 3 4 4", "3.1": "3.2 3 4 4", "3.2": "3 4 4", "3": "4 4", "4": "4",
		// There is no such place, but it is clear what comes after it.
		"3.9": "3 4 4",
	} {
		var got []string
		for _, e := range g.once("lead", "?kind=ExportRule&after="+after).events(t) {
			got = append(got, e.id)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("after %s: %q, want %s", after, got, want)
		}
	}
	// What a browser sends by itself counts more than what the first request said.
	again := g.once("lead", "?kind=ExportRule&after=2", func(r *http.Request) { r.Header.Set("Last-Event-ID", "4") })
	if got := again.events(t); len(got) != 1 || got[0].kind != "bookmark" {
		t.Errorf("with a Last-Event-ID: %+v", got)
	}
}

func TestWatchRequestsThatMakeNoSense(t *testing.T) {
	g := newGroup(t)
	for query, status := range map[string]int{
		"?kind=King": http.StatusUnprocessableEntity, "?after=soon": http.StatusUnprocessableEntity, "?after=1.0": http.StatusUnprocessableEntity,
		"?after=-1": http.StatusUnprocessableEntity, "?after=99999999999999999999": http.StatusUnprocessableEntity,
		"?after=1.999999999999": http.StatusUnprocessableEntity, "?consistent=perhaps": http.StatusBadRequest,
	} {
		g.once("lead", query).answer(t).problem(status)
	}
	g.once("lead", "", authorization("")).answer(t).problem(http.StatusUnauthorized)
	w := g.once("lead", "", func(r *http.Request) { r.Method = http.MethodHead })
	if w.status != http.StatusOK || w.text() != "" {
		t.Errorf("HEAD: %d %q", w.status, w.text())
	}
}

// as sends a request with another token than the operator's.
func as(t token.Token) func(*http.Request) { return authorization("Bearer " + t.String()) }

// operatorToken makes an operator's token with a role.
func (g *group) operatorToken(seed byte, role model.Role, change ...func(*model.Token)) token.Token {
	g.t.Helper()
	made := g.token(model.TokenOperator, seed)
	k := kept(made)
	k.Role = role
	for _, c := range change {
		c(&k)
	}
	g.apply(state.CreateToken{Token: k})
	return made
}

func TestWatchShowsTokensToAdministratorsOnly(t *testing.T) {
	g := newGroup(t)
	viewer := g.operatorToken(9, model.RoleViewer)
	g.apply(putRule("a", "x"))
	kinds := func(w *wire) string {
		var out []string
		for _, e := range w.events(t) {
			if e.kind == "put" {
				out = append(out, e.data.Kind)
			}
		}
		return strings.Join(slices.Compact(out), " ")
	}
	if got := kinds(g.once("lead", "")); got != "Node Token ExportRule" {
		t.Errorf("an administrator sees %s", got)
	}
	for _, after := range []string{"", "?after=0"} {
		w := g.once("lead", after, as(viewer))
		if got := kinds(w); got != "Node ExportRule" {
			t.Errorf("a viewer sees %s", got)
		}
		if strings.Contains(w.text(), "Token") {
			t.Errorf("a viewer is told of tokens: %s", w.text())
		}
	}
	for _, kind := range []string{"Token", "Node&kind=Token"} {
		g.once("lead", "?kind="+kind, as(viewer)).answer(t).problem(http.StatusForbidden, "admin")
	}
}

// A secret is not even told to administrators.
func TestWatchTellsNoSecrets(t *testing.T) {
	g := newGroup(t)
	if text := strings.ToLower(g.once("lead", "?kind=Token").text()); !strings.Contains(text, "operator") || strings.Contains(text, "secret") || strings.Contains(text, "hash") {
		t.Errorf("tokens are told as %s", text)
	}
}

func TestWatchOfWhatIsForgotten(t *testing.T) {
	g := newGroup(t)
	flood := func() {
		for i := 0; g.state.View().Remembered() < 10; i++ {
			g.apply(putRule("a", fmt.Sprint(i)))
		}
	}
	// Within the stream: it stands at 2 when the flood comes.
	got := g.during("lead", "?kind=ExportRule", flood).events(t)
	if last := got[len(got)-1]; len(got) != 2 || last.kind != "gone" || last.id != "" {
		t.Errorf("told %+v", got)
	}
	// Before it.
	g.once("lead", "?after=2").answer(t).problem(http.StatusGone, "watch without it")
	edge := g.state.View().Remembered()
	g.once("lead", fmt.Sprintf("?after=%d.1", edge)).answer(t).problem(http.StatusGone)
	if w := g.once("lead", fmt.Sprintf("?after=%d", edge)); w.status != http.StatusOK {
		t.Errorf("what is remembered is not told: %d", w.status)
	}
	if got := g.once("lead", "?kind=ExportRule").events(t); len(got) != 2 || got[1].kind != "bookmark" {
		t.Errorf("beginning again tells %+v", got)
	}
}

func TestWatchAtANodeThatLags(t *testing.T) {
	g := newGroup(t)
	old := g.state.View()
	g.apply(putRule("a", "x"))
	g.lag(old)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan *wire)
	ask := func() {
		go func() { ended <- g.once("follow", "?kind=ExportRule&after=3") }()
		if err := g.clock.BlockUntil(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	g.live.age = 2 * time.Second
	g.clock.Advance(3 * time.Second)
	late := (<-ended).answer(t).problem(http.StatusServiceUnavailable, "ask another node")
	if got := late.header.Get("Retry-After"); got == "" {
		t.Error("no Retry-After")
	}
	ask()
	g.lag(nil)
	if got := (<-ended).events(t); len(got) != 1 || got[0].id != "3" {
		t.Errorf("told %+v once the node has caught up", got)
	}
}

// No node can have told of an index that the leader does not know: the client comes from another federation, or from a former one.
func TestWatchFromAnotherWorld(t *testing.T) {
	g := newGroup(t)
	g.once("lead", "?after=1000").answer(t).problem(http.StatusGone)
	if g.barriers != 1 {
		t.Errorf("%d barriers", g.barriers)
	}
	g.barrierErr = fmt.Errorf("no quorum")
	g.once("lead", "?after=1000").answer(t).problem(http.StatusServiceUnavailable)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan *wire)
	go func() { ended <- g.once("follow", "?after=1000") }()
	if err := g.clock.BlockUntil(ctx, 1); err != nil {
		t.Fatal(err)
	}
	g.clock.Advance(3 * time.Second)
	(<-ended).answer(t).problem(http.StatusGone)
}

func TestWatchEndsWithTheCallersRights(t *testing.T) {
	for name, c := range map[string]struct {
		role  model.Role
		query string
		// lose is what takes the right away; later is how much later the watch looks.
		lose  func(g *group, id string)
		later time.Duration
		ends  bool
	}{
		"revoked":               {model.RoleViewer, "", func(g *group, id string) { g.apply(state.RevokeToken{ID: id}) }, 0, true},
		"expired":               {model.RoleViewer, "", func(*group, string) {}, time.Hour, true},
		"another one's revoked": {model.RoleViewer, "", func(g *group, _ string) { g.apply(state.RevokeToken{ID: g.operator.ID}) }, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t)
			mine := g.operatorToken(9, c.role, func(k *model.Token) { k.ExpiresAt = start.Add(time.Minute) })
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			w := newWire()
			stillThere := false
			w.flushed = func(n int) {
				if n == 1 {
					c.lose(g, mine.ID)
					g.clock.Advance(c.later)
					g.apply(putRule("told", "x"))
					g.clock.Advance(5 * time.Second)
					return
				}
				stillThere = true
				cancel()
			}
			g.watch(ctx, "lead", c.query, w, as(mine))
			if stillThere == c.ends || strings.Contains(w.text(), "told") == c.ends {
				t.Errorf("goes on: %t, want %t: %s", stillThere, !c.ends, w.text())
			}
			if !c.ends {
				return
			}
			if ctx.Err() != nil {
				t.Error("the watch has not ended")
			}
		})
	}
}

// A client that does not read is let go: its write fails when its time is over, and nothing more is written.
func TestWatchOfAClientThatDoesNotRead(t *testing.T) {
	g := newGroup(t)
	for i := range 2000 {
		g.apply(putRule(fmt.Sprint("a", i%500), fmt.Sprint(i)))
	}
	for _, query := range []string{"", "?after=1"} {
		w := newWire()
		w.room = 1000
		g.watch(t.Context(), "lead", query, w)
		if len(w.text()) != 1000 || w.flushes != 0 {
			t.Errorf("%d bytes written and %d flushes", len(w.text()), w.flushes)
		}
	}
}
