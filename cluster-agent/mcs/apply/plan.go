package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

// change is what one object needs: at most one request for each part, or its deletion.
type change struct {
	kind *kind
	key  objectKey
	// bodies are what is applied, nil for a part that is right; without any the object is deleted as it was seen.
	bodies [2][]byte
	want   [2]digest
	seen   held
}

func (c *change) deletes() bool { return c.bodies[main] == nil && c.bodies[status] == nil }

func (c *change) String() string {
	verb := "write"
	if c.deletes() {
		verb = "delete"
	}
	return fmt.Sprintf("%s %s %s", verb, c.kind.name, c.key)
}

// changes lists what a plan needs, in the order in which it is done.
func (a *Applier) changes(p mcs.Plan) ([]*change, error) {
	d := differences{wanted: map[*kind]map[objectKey]bool{a.services: {}, a.slices: {}, a.imports: {}}}
	for _, s := range p.Services {
		d.whole(a.services, keyOf(s), serviceDigest(s), s)
	}
	for _, s := range p.Slices {
		d.whole(a.slices, keyOf(s), sliceDigest(s), s)
	}
	for _, i := range p.Imports {
		d.serviceImport(a.imports, i)
	}
	for _, service := range slices.SortedFunc(maps.Keys(p.Conditions), model.ServiceKey.Compare) {
		d.exportStatus(a.exports, service, p.Conditions[service])
	}
	for _, k := range slices.Backward(a.kinds()) {
		if k.remove != nil {
			d.unnamed(k)
		}
	}
	return d.changes, d.err
}

// differences compares a plan with what is there.
type differences struct {
	wanted  map[*kind]map[objectKey]bool
	changes []*change
	err     error
}

// whole takes an object without a status of ours.
func (d *differences) whole(k *kind, key objectKey, want digest, object any) {
	d.wanted[k][key] = true
	c := &change{kind: k, key: key}
	d.part(c, main, want, func([]metav1.Condition) any { return object })
	d.add(c)
}

// serviceImport has its status written by itself: the API server takes it only from its subresource.
func (d *differences) serviceImport(k *kind, i *mcsv1beta1.ServiceImport) {
	d.wanted[k][keyOf(i)] = true
	c := &change{kind: k, key: keyOf(i)}
	d.part(c, main, importDigest(i), func([]metav1.Condition) any {
		out := *i
		out.Status = mcsv1beta1.ServiceImportStatus{}
		return &out
	})
	d.part(c, status, importStatusDigest(i), func(present []metav1.Condition) any {
		s := i.Status
		s.Conditions = mcs.KeepTransitions(present, s.Conditions)
		return statusBody(k, keyOf(i), s)
	})
	d.add(c)
}

// exportStatus leaves out an export that is gone, or not seen yet: it cannot have a status.
func (d *differences) exportStatus(k *kind, service model.ServiceKey, conditions []metav1.Condition) {
	c := &change{kind: k, key: objectKey{service.Namespace, service.Name}}
	if !k.has(c.key) {
		return
	}
	d.part(c, status, conditionsDigest(conditions), func(present []metav1.Condition) any {
		return statusBody(k, c.key, mcsv1beta1.ServiceExportStatus{Conditions: mcs.KeepTransitions(present, conditions)})
	})
	d.add(c)
}

// part adds a body when the part differs, made from the conditions that are there.
func (d *differences) part(c *change, p part, want digest, body func([]metav1.Condition) any) {
	differs, present := c.kind.differs(c.key, p, want)
	if !differs {
		return
	}
	text, err := json.Marshal(body(present))
	if err != nil {
		d.err = errors.Join(d.err, fmt.Errorf("%s %s: %w", c.kind.name, c.key, err))
		return
	}
	c.bodies[p], c.want[p] = text, want
}

func (d *differences) add(c *change) {
	if !c.deletes() {
		d.changes = append(d.changes, c)
	}
}

// unnamed adds the deletion of objects that the plan does not name.
func (d *differences) unnamed(k *kind) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var gone []*change
	for key, is := range k.objects {
		if !d.wanted[k][key] {
			gone = append(gone, &change{kind: k, key: key, seen: is})
		}
	}
	slices.SortFunc(gone, func(a, b *change) int { return strings.Compare(a.key.String(), b.key.String()) })
	d.changes = append(d.changes, gone...)
}

func statusBody(k *kind, key objectKey, status any) any {
	return map[string]any{"apiVersion": mcsv1beta1.GroupVersion.String(), "kind": k.name,
		"metadata": map[string]string{"namespace": key.namespace, "name": key.name}, "status": status}
}
