package fakecluster

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/yaml"
)

// ServeHTTP answers one request.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := parse(r.URL.Path)
	switch {
	case r.URL.Path == "/version":
		answer(w, http.StatusOK, map[string]string{"gitVersion": c.Version})
	case r.URL.Path == "/apis/admissionregistration.k8s.io/v1":
		c.discover(w)
	case !ok:
		refuse(w, http.StatusNotFound, "NotFound", "no such path")
	case p.resource == "selfsubjectaccessreviews":
		c.review(w, r)
	case c.denied[verb(r, p)+" "+p.resource]:
		refuse(w, http.StatusForbidden, "Forbidden", "cannot "+verb(r, p)+" "+p.resource)
	case !c.defined(p):
		refuse(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource")
	default:
		c.serve(w, r, p)
	}
}

func verb(r *http.Request, p place) string {
	switch {
	case r.Method == http.MethodGet && p.name == "":
		return "list"
	case r.Method == http.MethodPut:
		return "update"
	case r.Method == http.MethodPost:
		return "create"
	default:
		return strings.ToLower(r.Method)
	}
}

func (c *Cluster) discover(w http.ResponseWriter) {
	resources := []map[string]any{{"name": "validatingwebhookconfigurations", "kind": "ValidatingWebhookConfiguration"}}
	if c.Policies {
		resources = append(resources, map[string]any{"name": "validatingadmissionpolicies", "kind": "ValidatingAdmissionPolicy"})
	}
	answer(w, http.StatusOK, map[string]any{"kind": "APIResourceList", "resources": resources})
}

func (c *Cluster) review(w http.ResponseWriter, r *http.Request) {
	// Typed clients speak protobuf.
	scheme := runtime.NewScheme()
	data, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		err = authorizationv1.AddToScheme(scheme)
	}
	var asked authorizationv1.SelfSubjectAccessReview
	if err == nil {
		_, _, err = serializer.NewCodecFactory(scheme).UniversalDeserializer().Decode(data, nil, &asked)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	a := asked.Spec.ResourceAttributes
	answer(w, http.StatusCreated, map[string]any{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": map[string]any{
		"allowed": !c.denied[a.Verb+" "+a.Resource]}})
}

func (c *Cluster) serve(w http.ResponseWriter, r *http.Request, p place) {
	there := c.objects[p.key()]
	switch {
	case r.Method == http.MethodGet && p.name == "":
		c.answerList(w, p, r.URL.Query().Get("labelSelector"))
	case r.Method == http.MethodPatch:
		c.apply(w, r, p)
	case there == nil:
		refuse(w, http.StatusNotFound, "NotFound", p.resource+" "+p.name+" not found")
	case r.Method == http.MethodGet:
		answer(w, http.StatusOK, there.Object)
	case r.Method == http.MethodPut:
		c.update(w, r, p, there)
	case r.Method == http.MethodDelete:
		c.remove(p)
		c.writes = append(c.writes, "delete "+p.resource+" "+p.name)
		answer(w, http.StatusOK, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	default:
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method)
	}
}

func (c *Cluster) answerList(w http.ResponseWriter, p place, selector string) {
	items, kind := c.list(p, selector), "List"
	if len(items) > 0 {
		kind = fmt.Sprint(items[0].(map[string]any)["kind"]) + kind
	}
	answer(w, http.StatusOK, map[string]any{"kind": kind, "apiVersion": p.groupVersion, "items": items})
}

// apply merges what it is sent into what is there.
func (c *Cluster) apply(w http.ResponseWriter, r *http.Request, p place) {
	given, err := read(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	if p.namespace != "" && c.objects["v1|namespaces||"+p.namespace] == nil {
		refuse(w, http.StatusNotFound, "NotFound", "namespaces "+p.namespace+" not found")
		return
	}
	o := &unstructured.Unstructured{Object: map[string]any{}}
	if there := c.objects[p.key()]; there != nil {
		o = there.DeepCopy()
	}
	if p.sub == "status" {
		// What is applied here is what one manager has to say of the status: all of it.
		o.Object["status"] = given.Object["status"]
		if o.Object["status"] == nil {
			delete(o.Object, "status")
		}
	} else {
		merge(o.Object, given.Object)
	}
	if r.URL.Query().Get("dryRun") == "" {
		c.writes = append(c.writes, "apply "+p.resource+" "+p.name)
		c.keep(p, o)
	}
	answer(w, http.StatusOK, o.Object)
}

func (c *Cluster) update(w http.ResponseWriter, r *http.Request, p place, there *unstructured.Unstructured) {
	given, err := read(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	if v := given.GetResourceVersion(); v != "" && v != there.GetResourceVersion() {
		refuse(w, http.StatusConflict, "Conflict", "the object has been modified")
		return
	}
	c.writes = append(c.writes, "update "+p.resource+" "+p.name)
	c.keep(p, given)
	answer(w, http.StatusOK, given.Object)
}

// remove deletes an object, a namespace with all that is in it.
func (c *Cluster) remove(p place) {
	delete(c.objects, p.key())
	if p.resource != "namespaces" {
		return
	}
	for key := range c.objects {
		if strings.Split(key, "|")[2] == p.name {
			delete(c.objects, key)
		}
	}
}

func read(r *http.Request) (*unstructured.Unstructured, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil, err
	}
	o := &unstructured.Unstructured{}
	return o, o.UnmarshalJSON(text)
}

func merge(into, from map[string]any) {
	for key, value := range from {
		below, ok := value.(map[string]any)
		there, also := into[key].(map[string]any)
		if ok && also {
			merge(there, below)
			continue
		}
		if values, ok := value.([]any); ok {
			value = slices.Clone(values)
		}
		into[key] = value
	}
}
