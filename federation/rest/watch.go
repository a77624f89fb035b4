package rest

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/state"
)

// WatchEvent is the data of an event of a watch.
type WatchEvent struct {
	Index uint64 `json:"index" doc:"Raft index of the change; of a bookmark, the index up to which everything has been told"`
	// At is the time of the change by the clock of the node that took it; absent for objects that were there when the watch began.
	At time.Time `json:"at,omitzero"`
	// Kind and Name are absent in bookmarks.
	Kind string `json:"kind,omitempty"`
	Name string `json:"name,omitempty"`
	// Object is absent in a delete.
	Object any `json:"object,omitempty" doc:"The object as the change left it, without secrets"`
}

// The types of events of a watch.
const (
	eventPut      = "put"
	eventDelete   = "delete"
	eventBookmark = "bookmark"
	eventGone     = "gone"
)

const watchPath = "/v1/watch"

const watchDescription = `Server-sent events: "put" and "delete" for each change, in the order of the log, each exactly once; "bookmark" when the watch
has told everything there is, and every few seconds while it is quiet; "gone" when the node does not remember the changes that come next.
The data is a WatchEvent.

Without "after", the present objects come first, as puts without an id, in one state: they are whole when the first bookmark comes.

An event's id is the place to go on from at any node, by the header Last-Event-ID or by "after". It is the index, or INDEX.N after the
Nth of several changes with the same index. Status 410 and "gone" mean: begin again without it. Status 503 means: this node lags; try again
or ask another one. The caller's credential is checked again while the watch lasts; it ends when the caller may not read any more.`

type watchInput struct {
	Kinds       []string `query:"kind,explode" maxItems:"16" enum:"Node,Cluster,Token,TrustDomain,FailoverPolicy,ExportRule,ImportRule,RoleBinding,IdentityProvider" doc:"Kinds to watch; by default all that the caller may read"`
	Name        string   `query:"name" maxLength:"253" doc:"Only objects of this name"`
	After       string   `query:"after" maxLength:"32" pattern:"^([0-9]{1,20}([.][0-9]{1,9})?)?$" doc:"Id of the last event that was read"`
	LastEventID string   `header:"Last-Event-ID" maxLength:"32" pattern:"^([0-9]{1,20}([.][0-9]{1,9})?)?$" doc:"As after, which it overrules"`
}

func (s *service) registerWatch(api huma.API) {
	event := s.schemas.Schema(reflect.TypeFor[WatchEvent](), true, "")
	op := described(operation("Watch", "watch", http.MethodGet, watchPath, "Watch the replicated state"), watchDescription)
	op.Responses = map[string]*huma.Response{
		"200": {
			Description: "A stream that does not end by itself",
			Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{
				Type: huma.TypeString, Extensions: map[string]any{"x-event-data": event},
			}}},
		},
		"410": {
			Description: "What comes next is forgotten: watch without after",
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: &huma.Schema{Ref: schemaPrefix + "Problem"}}},
		},
	}
	huma.Register(api, op, s.watch)
}

// watch answers with a problem, or with a stream that lasts.
func (s *service) watch(ctx context.Context, in *watchInput) (*huma.StreamResponse, error) {
	caller := callerOf(ctx)
	kinds, err := in.kinds(caller)
	if err != nil {
		return nil, huma.Error403Forbidden(err.Error())
	}
	w := &watcher{service: s, filter: watchFilter{kinds: kinds, name: in.Name}, input: in}
	if w.at, w.resumes, err = in.after(); err != nil {
		return nil, unprocessable(&Fault{Location: "query.after", Message: err.Error(), Remedy: "give the id of the last event that was read"})
	}
	release, err := s.seats.take(caller.Actor)
	if err != nil {
		return nil, err
	}
	if err := s.canResume(ctx, w); err != nil {
		release()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer release()
		r, out := humago.Unwrap(c)
		out.Header().Set("Content-Type", "text/event-stream")
		out.Header().Set("Cache-Control", "no-store")
		out.WriteHeader(http.StatusOK)
		if r.Method == http.MethodHead {
			return
		}
		w.out, w.control = out, http.NewResponseController(out)
		w.run(r)
	}}, nil
}

// after is where the client goes on, and whether it goes on at all.
func (in *watchInput) after() (at position, resumes bool, err error) {
	text := in.LastEventID
	if text == "" {
		text = in.After
	}
	if text == "" {
		return position{}, false, nil
	}
	at, err = parsePosition(text)
	return at, true, err
}

// kinds are those that the caller watches: sorted as state.Kinds, each once.
func (in *watchInput) kinds(caller access.Caller) ([]string, error) {
	if err := caller.May(access.Read, nil); err != nil {
		return nil, err
	}
	admin := caller.May(access.Administer, nil)
	var out []string
	for _, kind := range state.Kinds() {
		named := slices.Contains(in.Kinds, kind)
		switch {
		case named && admin != nil && secret(kind):
			return nil, admin
		case named, len(in.Kinds) == 0 && (admin == nil || !secret(kind)):
			out = append(out, kind)
		}
	}
	return out, nil
}

// secret tells the kind that only administrators see, as in lists: what credentials there are.
func secret(kind string) bool { return kind == model.KindToken }

// watchFilter is what of the state a watch is about.
type watchFilter struct {
	kinds []string
	// name is empty for all.
	name string
}

func (f watchFilter) admits(ref model.Ref) bool {
	return slices.Contains(f.kinds, ref.Kind) && (f.name == "" || f.name == ref.Name)
}
