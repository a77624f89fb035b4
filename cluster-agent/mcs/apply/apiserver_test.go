package apply

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
)

// fields are an object's, as JSON has them.
type fields = map[string]any

// apiServer is as much of an API server as an Applier talks to: lists, watches from the present or from a version, server-side apply with
// lists as single values, the status subresource, deletion with preconditions. Real clients speak to it over HTTP.
type apiServer struct {
	t    *testing.T
	http *httptest.Server

	mu       sync.Mutex
	version  int
	objects  map[string]*object // by "RESOURCE/NAMESPACE/NAME"
	log      []event
	moved    chan struct{}
	requests []string
	// fail answers a request, "VERB RESOURCE NAMESPACE/NAME", in place of the server; nil lets it pass.
	fail func(request string) *metav1.Status
	// unserved are versions that are not served; absent are namespaces that do not exist; prune drops fields that a schema lacks.
	unserved []string
	absent   []string
	prune    func(fields)
	// page is how many objects a limited list has; 0 for all.
	page int
}

type object struct {
	fields fields
	// applied is what each field manager applied last, by part.
	applied map[string]fields
}

// event is a change of an object: what it was and is, nil where it was not or is no more.
type event struct {
	resource string
	version  int
	was, is  fields
}

func newAPIServer(t *testing.T) *apiServer {
	s := &apiServer{t: t, objects: map[string]*object{}, moved: make(chan struct{}), version: 100}
	s.http = httptest.NewServer(s)
	t.Cleanup(s.http.Close)
	return s
}

// clients are real ones.
func (s *apiServer) clients() (kubernetes.Interface, mcsclient.Interface) {
	transport := &http.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	cfg := &rest.Config{Host: s.http.URL, Transport: transport, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	core, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	multi, err := mcsclient.NewForConfig(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return core, multi
}

// path is what a URL names.
type path struct{ version, resource, namespace, name, sub string }

func parsePath(p string) path {
	parts := strings.Split(strings.Trim(p, "/"), "/")
	out := path{version: parts[1]}
	parts = parts[2:]
	if strings.HasPrefix(p, "/apis/") {
		out.version, parts = parts[0], parts[1:]
	}
	if parts[0] == "namespaces" {
		out.namespace, parts = parts[1], parts[2:]
	}
	parts = append(parts, "", "")
	out.resource, out.name, out.sub = parts[0], parts[1], parts[2]
	return out
}

func (p path) key() string { return p.resource + "/" + p.namespace + "/" + p.name }

// shown is an object in the version that was asked for.
func (p path) shown(o fields) fields {
	out := maps.Clone(o)
	if given, _ := o["apiVersion"].(string); strings.Contains(given, "/") {
		group, _, _ := strings.Cut(given, "/")
		out["apiVersion"] = group + "/" + p.version
	}
	return out
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := parsePath(r.URL.Path)
	verb := strings.ToLower(r.Method)
	if r.URL.Query().Get("watch") != "" {
		verb = "watch"
	}
	name := p.namespace + "/" + p.name
	if p.sub != "" {
		name += "/" + p.sub
	}
	s.mu.Lock()
	request := fmt.Sprintf("%s %s %s", verb, p.resource, name)
	if p.name != "" {
		s.requests = append(s.requests, request)
	}
	unserved, fail := slices.Contains(s.unserved, p.version) && strings.HasPrefix(p.resource, "service") && p.resource != "services", s.fail
	s.mu.Unlock()
	if unserved {
		http.NotFound(w, r)
		return
	}
	if fail != nil {
		if status := fail(request); status != nil {
			refuse(w, status)
			return
		}
	}
	switch verb {
	case "watch":
		s.watch(w, r, p)
	case "get":
		s.list(w, r, p)
	case "patch":
		s.patch(w, r, p)
	case "delete":
		s.delete(w, r, p)
	}
}

func refusal(code int32, reason metav1.StatusReason, kind, name string, causes ...metav1.StatusCause) *metav1.Status {
	return &metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: code, Reason: reason,
		Message: fmt.Sprintf("%s %s: %s", kind, name, reason), Details: &metav1.StatusDetails{Kind: kind, Name: name, Causes: causes}}
}

func refuse(w http.ResponseWriter, s *metav1.Status) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(s.Code))
	_ = json.NewEncoder(w).Encode(s)
}

func (s *apiServer) list(w http.ResponseWriter, r *http.Request, p path) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []fields
	for _, o := range s.selected(p.resource, selector(r)) {
		items = append(items, p.shown(o))
	}
	meta := fields{"resourceVersion": strconv.Itoa(s.version)}
	from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	items = items[from:]
	if s.page > 0 && r.URL.Query().Get("limit") != "" && len(items) > s.page {
		items, meta["continue"] = items[:s.page], strconv.Itoa(from+s.page)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(fields{"metadata": meta, "items": orEmpty(items)})
}

func selector(r *http.Request) labels.Selector {
	out, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		panic(err)
	}
	return out
}

func (s *apiServer) selected(resource string, by labels.Selector) []fields {
	var out []fields
	for _, k := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(k, resource+"/") && selects(by, s.objects[k].fields) {
			out = append(out, s.objects[k].fields)
		}
	}
	return out
}

func selects(by labels.Selector, o fields) bool {
	if o == nil {
		return false
	}
	set := labels.Set{}
	given, _ := o["metadata"].(fields)["labels"].(fields)
	for k, v := range given {
		set[k] = v.(string)
	}
	return by.Matches(set)
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request, p path) {
	by, at := selector(r), 0
	w.Header().Set("Content-Type", "application/json")
	send := func(kind string, o any) {
		_ = json.NewEncoder(w).Encode(fields{"type": kind, "object": o})
		w.(http.Flusher).Flush()
	}
	s.mu.Lock()
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		for _, o := range s.selected(p.resource, by) {
			send("ADDED", p.shown(o))
		}
		at = len(s.log)
		send("BOOKMARK", fields{"metadata": fields{"resourceVersion": strconv.Itoa(s.version),
			"annotations": fields{metav1.InitialEventsAnnotationKey: "true"}}})
	} else {
		from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
		for at < len(s.log) && s.log[at].version <= from {
			at++
		}
		w.(http.Flusher).Flush()
	}
	s.mu.Unlock()
	for {
		s.mu.Lock()
		news, moved := s.log[at:], s.moved
		at = len(s.log)
		s.mu.Unlock()
		for _, e := range news {
			switch before, now := selects(by, e.was), selects(by, e.is); {
			case e.resource != p.resource || !before && !now:
			case !before:
				send("ADDED", p.shown(e.is))
			case now:
				send("MODIFIED", p.shown(e.is))
			default:
				gone := copied(e.was)
				gone["metadata"].(fields)["resourceVersion"] = strconv.Itoa(e.version)
				send("DELETED", p.shown(gone))
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-moved:
		}
	}
}
