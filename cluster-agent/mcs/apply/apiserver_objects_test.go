package apply

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
