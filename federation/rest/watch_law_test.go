package rest_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/token"
)

// reader is a client that follows the state over connections that it loses.
type reader struct {
	kinds []string
	name  string
	// last is the id to go on from; base is what it listed, since the index from.
	last string
	from uint64
	base map[model.Ref]string
	// read is everything it was told since.
	read []string
}

func (r *reader) query() string {
	q := "?name=" + r.name
	for _, k := range r.kinds {
		q += "&kind=" + k
	}
	return q
}

// take takes in what came over one connection.
func (r *reader) take(t *rapid.T, events []toldEvent) {
	listing := map[model.Ref]string{}
	for _, e := range events {
		ref := model.Ref{Kind: e.data.Kind, Name: e.data.Name}
		switch {
		case r.last == "" && e.kind == "put" && e.id == "":
			listing[ref] = string(e.data.Object)
		case r.last == "" && e.kind == "bookmark":
			r.base, r.from = listing, e.data.Index
		case r.last != "" && (e.kind == "put" || e.kind == "delete"):
			r.read = append(r.read, changeText(e.data.Index, ref, e.data.Object))
		case e.kind != "bookmark":
			t.Fatalf("%+v after %q", e, r.last)
		}
		if e.id != "" {
			r.last = e.id
		}
	}
}

func changeText(index uint64, ref model.Ref, object []byte) string {
	return fmt.Sprintf("%d %s %s", index, ref, object)
}

// Law: wherever its connections break, and at whatever nodes it goes on, what a client reads is what it lists, and from there each change
// that it asked for, once and in the order of the log.
func TestWhatIsReadOverBrokenConnectionsIsTheLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := newGroup(t)
		r := &reader{
			kinds: rapid.SliceOfDistinct(rapid.SampledFrom(state.Kinds()), rapid.ID).Draw(rt, "kinds"),
			name:  rapid.SampledFrom([]string{"", "", "a"}).Draw(rt, "name"),
		}
		for range rapid.IntRange(0, 12).Draw(rt, "connections") {
			g.changeAtRandom(rt)
			room := rapid.IntRange(0, 3000).Draw(rt, "room")
			r.take(rt, g.connection(rt, r, room).events(rt))
		}
		r.take(rt, g.connection(rt, r, 1<<30).events(rt))

		end := g.state.View()
		log, ok := end.Changes(r.from)
		if !ok {
			rt.Fatal("the test's own changes are forgotten")
		}
		var want []string
		held := maps.Clone(r.base)
		for _, c := range log {
			if (len(r.kinds) == 0 || slices.Contains(r.kinds, c.Kind)) && (r.name == "" || c.Name == r.name) {
				want = append(want, changeText(c.Index, c.Ref, c.Object))
				if held[c.Ref] = string(c.Object); c.Object == nil {
					delete(held, c.Ref)
				}
			}
		}
		if !slices.Equal(r.read, want) {
			rt.Fatalf("read\n%q\nwant\n%q", r.read, want)
		}
		if want := objectsOf(end, r.kinds, r.name); !maps.Equal(held, want) {
			rt.Fatalf("held %v\nwant %v", held, want)
		}
	})
}

// connection is one connection of a client, with changes while it stands; it ends when the client has no more room, or has read some.
func (g *group) connection(t *rapid.T, r *reader, room int) *wire {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := newWire()
	w.room = room
	last := rapid.IntRange(1, 3).Draw(t, "flushes")
	w.flushed = func(n int) {
		if n >= last {
			cancel()
			return
		}
		g.changeAtRandom(t)
		// A bookmark is due, whether the change concerns the client or not.
		g.clock.Advance(5 * time.Second)
	}
	node := rapid.SampledFrom([]string{"lead", "follow"}).Draw(t, "node")
	g.watch(ctx, node, r.query(), w, func(req *http.Request) {
		if r.last != "" {
			req.Header.Set("Last-Event-ID", r.last)
		}
	})
	if w.status != http.StatusOK {
		t.Fatalf("after %q: %d %s", r.last, w.status, w.text())
	}
	return w
}

// changeAtRandom has the state run some entries, of which some change several objects and some nothing.
func (g *group) changeAtRandom(t *rapid.T) {
	names := rapid.SampledFrom([]string{"a", "b", "c"})
	for range rapid.IntRange(0, 3).Draw(t, "entries") {
		name, value := names.Draw(t, "name"), rapid.IntRange(0, 9).Draw(t, "value")
		put := state.PutPolicy{Kind: "FailoverPolicy", Name: name, JSON: fmt.Appendf(nil, `{"name":%q,"spec":{"failover":[{"from":"x","to":["v%d"]}]}}`, name, value)}
		rule := state.PutPolicy{Kind: "ExportRule", Name: name, JSON: fmt.Appendf(nil, `{"name":%q,"spec":{"to":["v%d"]}}`, name, value)}
		var c state.Command
		switch rapid.IntRange(0, 5).Draw(t, "command") {
		case 0:
			c = put
		case 1:
			c = state.DeletePolicy{Kind: put.Kind, Name: name}
		case 2:
			c = state.ApplyPolicies{Put: []state.PutPolicy{rule, put}, Delete: []state.DeletePolicy{{Kind: rule.Kind, Name: names.Draw(t, "deleted")}}}
		case 3:
			made := kept(g.token(model.TokenCluster, byte(value)))
			made.Cluster, made.ExpiresAt = name, g.clock.Now().Add(1000*time.Hour)
			c = state.CreateToken{Token: made}
		case 4:
			join := g.token(model.TokenCluster, byte(value))
			c = state.JoinCluster{TokenID: join.ID, SecretHash: token.Hash(join.Secret), Cluster: model.ClusterName(name), AgentKey: []byte{byte(value)}}
		case 5:
			c = state.RemoveCluster{Name: model.ClusterName(name)}
		}
		if r := g.run(state.Entry{Version: 1, At: g.clock.Now(), Command: c}); r.Fatal != nil {
			t.Fatal(r.Fatal)
		}
	}
}

// objectsOf are the objects of a state that a client asks for; no kinds and no name are all.
func objectsOf(v *state.View, kinds []string, name string) map[model.Ref]string {
	out := map[model.Ref]string{}
	for _, kind := range state.Kinds() {
		for _, n := range v.Names(kind) {
			ref := model.Ref{Kind: kind, Name: n}
			if (len(kinds) == 0 || slices.Contains(kinds, kind)) && (name == "" || n == name) {
				out[ref] = string(v.Object(ref))
			}
		}
	}
	return out
}
