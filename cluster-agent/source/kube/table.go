package kube

import (
	"cmp"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// objectKey names an object of one kind; namespace is empty for those of the cluster.
type objectKey struct{ namespace, name string }

func (k objectKey) compare(o objectKey) int {
	return cmp.Or(strings.Compare(k.namespace, o.namespace), strings.Compare(k.name, o.name))
}

func keyOf(o metav1.Object) objectKey { return objectKey{o.GetNamespace(), o.GetName()} }

// table remembers what counts of the objects of one kind, and tells what a change changed. It is not safe for concurrent use.
type table[O metav1.Object, V any] struct {
	// read is false for an object that does not count.
	read func(O) (V, bool)
	// changed is told of each value that is new, different or gone; at least one of was and is is set.
	changed func(k objectKey, was, is *V)
	held    map[objectKey]V
}

func newTable[O metav1.Object, V any](read func(O) (V, bool), changed func(objectKey, *V, *V)) *table[O, V] {
	return &table[O, V]{read: read, changed: changed, held: map[objectKey]V{}}
}

// put takes the object as it is now. An object that says what it said before is no change.
func (t *table[O, V]) put(object O) {
	k := keyOf(object)
	is, counts := t.read(object)
	if !counts {
		t.drop(k)
		return
	}
	was, known := t.held[k]
	if known && reflect.DeepEqual(was, is) {
		return
	}
	t.held[k] = is
	if known {
		t.changed(k, &was, &is)
	} else {
		t.changed(k, nil, &is)
	}
}

func (t *table[O, V]) drop(k objectKey) {
	if was, known := t.held[k]; known {
		delete(t.held, k)
		t.changed(k, &was, nil)
	}
}

// replace takes all objects that there are: those that it does not name are gone, and the others are changes only where they differ.
func (t *table[O, V]) replace(all []O) {
	gone := make(map[objectKey]struct{}, len(t.held))
	for k := range t.held {
		gone[k] = struct{}{}
	}
	for _, object := range all {
		delete(gone, keyOf(object))
		t.put(object)
	}
	for k := range gone {
		t.drop(k)
	}
}

func (t *table[O, V]) putAny(object any) {
	if o, ok := object.(O); ok {
		t.put(o)
	}
}

func (t *table[O, V]) dropAny(object any) {
	if o, ok := object.(O); ok {
		t.drop(keyOf(o))
	}
}

func (t *table[O, V]) replaceAny(all []any) {
	objects := make([]O, 0, len(all))
	for _, object := range all {
		if o, ok := object.(O); ok {
			objects = append(objects, o)
		}
	}
	t.replace(objects)
}
