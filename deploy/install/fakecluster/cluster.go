// Package fakecluster owns a Kubernetes API server for tests: it keeps objects in memory, applies them on the server's side in a simple
// way (maps are merged, everything else is replaced), and answers who may do what.
package fakecluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// Cluster is the API server. Its methods are safe for concurrent use.
type Cluster struct {
	// URL is where it answers, over plain HTTP.
	URL string
	// Version is what it calls itself; Policies is whether it has ValidatingAdmissionPolicies. They are set before the first request.
	Version  string
	Policies bool
	// Changed is called with each object that was written, before it is kept: a controller may change it there.
	Changed func(o *unstructured.Unstructured)

	mu      sync.Mutex
	objects map[string]*unstructured.Unstructured
	denied  map[string]bool
	version int
	writes  []string
}

// New starts a cluster that has the namespaces kube-system and default. It ends with the test.
func New(t testing.TB) *Cluster {
	c := &Cluster{Version: "v1.36.3", Policies: true, objects: map[string]*unstructured.Unstructured{}, denied: map[string]bool{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.URL = server.URL
	for _, name := range []string{"default", "kube-system"} {
		c.Put("v1", "namespaces", "", name, map[string]any{"apiVersion": "v1", "kind": "Namespace"})
	}
	return c
}

// Kubeconfig is what a client needs to know.
func (c *Cluster) Kubeconfig() []byte {
	return fmt.Appendf(nil, `{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: %q}}],
users: [{name: u, user: {}}], contexts: [{name: c, context: {cluster: c, user: u}}]}`, c.URL)
}

// Deny takes rights away, each in the form "VERB RESOURCE".
func (c *Cluster) Deny(rights ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rights {
		c.denied[r] = true
	}
}

// Put stores an object; groupVersion is "v1" or "GROUP/VERSION".
func (c *Cluster) Put(groupVersion, resource, namespace, name string, object map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &unstructured.Unstructured{Object: object}
	o.SetNamespace(namespace)
	o.SetName(name)
	c.keep(place{groupVersion, resource, namespace, name, ""}, o)
}

// Get returns a copy of an object, or nil.
func (c *Cluster) Get(groupVersion, resource, namespace, name string) *unstructured.Unstructured {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.objects[place{groupVersion, resource, namespace, name, ""}.key()]; o != nil {
		return o.DeepCopy()
	}
	return nil
}

// Writes lists what was written since the last call, in the form "VERB RESOURCE NAME"; dry runs do not count.
func (c *Cluster) Writes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.writes
	c.writes = nil
	return out
}

// Objects are the keys of all objects, sorted.
func (c *Cluster) Objects() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.objects))
}

// place is what a request's path names.
type place struct{ groupVersion, resource, namespace, name, sub string }

func (p place) key() string {
	return strings.Join([]string{p.groupVersion, p.resource, p.namespace, p.name}, "|")
}

func parse(path string) (place, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var p place
	switch {
	case parts[0] == "api" && len(parts) > 2:
		p.groupVersion, parts = parts[1], parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		p.groupVersion, parts = parts[1]+"/"+parts[2], parts[3:]
	default:
		return p, false
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		p.namespace, parts = parts[1], parts[2:]
	}
	for n, to := range []*string{&p.resource, &p.name, &p.sub} {
		if n < len(parts) {
			*to = parts[n]
		}
	}
	return p, true
}

// keep stores an object under a new version, unless it is as it was.
func (c *Cluster) keep(p place, o *unstructured.Unstructured) {
	if was := c.objects[p.key()]; was != nil && reflect.DeepEqual(was.Object, o.Object) {
		return
	}
	c.version++
	o.SetResourceVersion(strconv.Itoa(c.version))
	if c.Changed != nil {
		c.Changed(o)
	}
	c.objects[p.key()] = o
}

func (c *Cluster) list(p place, selector string) []any {
	wanted, err := labels.Parse(selector)
	if err != nil {
		return nil
	}
	out := []any{}
	for _, key := range slices.Sorted(maps.Keys(c.objects)) {
		o, fields := c.objects[key], strings.Split(key, "|")
		if fields[0] == p.groupVersion && fields[1] == p.resource && (p.namespace == "" || fields[2] == p.namespace) && wanted.Matches(labels.Set(o.GetLabels())) {
			out = append(out, o.Object)
		}
	}
	return out
}

// defined reports whether the API server has a resource: those of the Multi-Cluster Services API must be defined first.
func (c *Cluster) defined(p place) bool {
	group, _, _ := strings.Cut(p.groupVersion, "/")
	return group != "multicluster.x-k8s.io" || c.objects["apiextensions.k8s.io/v1|customresourcedefinitions||"+p.resource+"."+group] != nil
}

func answer(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(value)
}

func refuse(w http.ResponseWriter, code int, reason, message string) {
	answer(w, code, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code})
}
