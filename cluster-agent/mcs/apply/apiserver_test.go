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

func copied(o fields) fields {
	text, _ := json.Marshal(o)
	var out fields
	_ = json.Unmarshal(text, &out)
	return out
}

// commit makes o the object's new state, unless it is the old one.
func (s *apiServer) commit(key string, was, is fields) {
	if was != nil && is != nil && sameJSON(was, is) {
		return
	}
	s.version++
	if is != nil {
		is["metadata"].(fields)["resourceVersion"] = strconv.Itoa(s.version)
	} else {
		delete(s.objects, key)
	}
	resource, _, _ := strings.Cut(key, "/")
	s.log = append(s.log, event{resource, s.version, was, is})
	close(s.moved)
	s.moved = make(chan struct{})
}

func sameJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func (s *apiServer) patch(w http.ResponseWriter, r *http.Request, p path) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var body fields
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("Content-Type") != "application/apply-patch+yaml" ||
		r.URL.Query().Get("fieldManager") != "hanse" || r.URL.Query().Get("force") != "true" {
		refuse(w, refusal(400, metav1.StatusReasonBadRequest, p.resource, p.name))
		return
	}
	if slices.Contains(s.absent, p.namespace) {
		refuse(w, refusal(404, metav1.StatusReasonNotFound, "namespaces", p.namespace))
		return
	}
	if version := body["apiVersion"].(string); !strings.HasSuffix("/"+version, "/"+p.version) {
		s.t.Errorf("%s of %s is sent to %s", p.key(), version, p.version)
	}
	o, exists := s.objects[p.key()]
	if !exists && p.sub != "" {
		refuse(w, refusal(404, metav1.StatusReasonNotFound, p.resource, p.name))
		return
	}
	if !exists {
		o = &object{applied: map[string]fields{}, fields: fields{"apiVersion": body["apiVersion"], "kind": body["kind"],
			"metadata": fields{"name": p.name, "namespace": p.namespace, "uid": fmt.Sprint("uid-", s.version)}}}
		s.objects[p.key()] = o
	}
	was := copied(o.fields)
	if !exists {
		was = nil
	}
	wanted := fields{"metadata": fields{}}
	if p.sub == "" {
		maps.Copy(wanted, body)
		delete(wanted, "status")
	} else {
		wanted["status"] = body["status"]
	}
	o.fields = copied(o.fields)
	merge(o.fields, o.applied[p.sub], wanted)
	o.applied[p.sub] = copied(wanted)
	if s.prune != nil {
		s.prune(o.fields)
	}
	if p.resource == "services" {
		defaults(o.fields, s.version)
	}
	s.commit(p.key(), was, o.fields)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(p.shown(o.fields))
}

// merge applies wanted: what was applied before and is wanted no more goes, what is wanted comes, everything else stays.
func merge(live, before, wanted fields) {
	for k := range before {
		if _, still := wanted[k]; !still {
			delete(live, k)
		}
	}
	for k, v := range wanted {
		deeper, isMap := v.(fields)
		if !isMap {
			live[k] = v
			continue
		}
		if _, ok := live[k].(fields); !ok {
			live[k] = fields{}
		}
		old, _ := before[k].(fields)
		merge(live[k].(fields), old, deeper)
	}
}

// defaults gives a Service its addresses.
func defaults(o fields, n int) {
	spec := o["spec"].(fields)
	if spec["clusterIPs"] == nil {
		spec["clusterIP"], spec["clusterIPs"] = fmt.Sprintf("10.96.0.%d", n%250), []any{fmt.Sprintf("10.96.0.%d", n%250)}
	}
}

func (s *apiServer) delete(w http.ResponseWriter, r *http.Request, p path) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var o metav1.DeleteOptions
	_ = json.NewDecoder(r.Body).Decode(&o)
	is, exists := s.objects[p.key()]
	if !exists {
		refuse(w, refusal(404, metav1.StatusReasonNotFound, p.resource, p.name))
		return
	}
	meta := is.fields["metadata"].(fields)
	if pre := o.Preconditions; pre == nil || string(*pre.UID) != meta["uid"] || *pre.ResourceVersion != meta["resourceVersion"] {
		refuse(w, refusal(409, metav1.StatusReasonConflict, p.resource, p.name))
		return
	}
	s.commit(p.key(), is.fields, nil)
	refuse(w, &metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess, Code: 200})
}

// edit is somebody's own change of an object, which may be a new one.
func (s *apiServer) edit(key string, change func(fields)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, exists := s.objects[key]
	var was fields
	if !exists {
		parts := strings.Split(key, "/")
		o = &object{applied: map[string]fields{}, fields: fields{"metadata": fields{"namespace": parts[1], "name": parts[2], "uid": fmt.Sprint("uid-", s.version)}}}
		s.objects[key] = o
	} else {
		was = o.fields
	}
	o.fields = copied(o.fields)
	change(o.fields)
	s.commit(key, was, o.fields)
}

// erase is somebody's own deletion.
func (s *apiServer) erase(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commit(key, s.objects[key].fields, nil)
}

// get returns an object as it is, or nil.
func (s *apiServer) get(key string) fields {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[key]; o != nil {
		return copied(o.fields)
	}
	return nil
}

// keys are those of all objects.
func (s *apiServer) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// told returns the requests that changed something, or would have, since it was asked last.
func (s *apiServer) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}
