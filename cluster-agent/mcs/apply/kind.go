package apply

import (
	"context"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// objectKey names an object of one kind.
type objectKey struct{ namespace, name string }

func (k objectKey) String() string { return k.namespace + "/" + k.name }

func keyOf(o metav1.Object) objectKey { return objectKey{o.GetNamespace(), o.GetName()} }

// part is one half of an object that is written by itself.
type part int

const (
	main part = iota
	status
)

// held is what counts of an object as the API server has it.
type held struct {
	version string
	uid     types.UID
	// digests are of the parts that the agent writes.
	digests [2]digest
	// conditions are the agent's, for their times.
	conditions []metav1.Condition
}

// written remembers what the API server made of a write: a definition that lacks a field of ours drops it each time, and writing again
// would not help until somebody changes the object.
type written struct {
	digest  digest
	version string
}

// kind is one kind of objects and what is known of the agent's objects of it.
type kind struct {
	// resource is "PLURAL.GROUP", as kubectl and roles name it; name is one object's in errors.
	resource, name string
	example        runtime.Object
	list           func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch          func(context.Context, metav1.ListOptions) (watch.Interface, error)
	// patch applies the body to one part. remove is nil for a kind of which the agent makes no objects.
	patch  func(ctx context.Context, k objectKey, body []byte, o metav1.PatchOptions, subresources ...string) (metav1.Object, error)
	remove func(ctx context.Context, k objectKey, o metav1.DeleteOptions) error
	read   func(metav1.Object) held

	mu      sync.Mutex
	seen    bool
	trouble error
	objects map[objectKey]held
	written [2]map[objectKey]written
}

// ready reports why the agent's objects of the kind are not known, or nil. What was seen once counts until it is seen anew.
func (k *kind) ready() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.seen:
		return nil
	case k.trouble != nil:
		return k.trouble
	default:
		return errUnread
	}
}

// differs reports whether a part has to be written, and the conditions that are there.
func (k *kind) differs(key objectKey, p part, want digest) (bool, []metav1.Condition) {
	k.mu.Lock()
	defer k.mu.Unlock()
	is, exists := k.objects[key]
	last, before := k.written[p][key]
	same := is.digests[p] == want || before && last.digest == want && last.version == is.version
	return !exists || !same, is.conditions
}

// wrote takes the answer to a write.
func (k *kind) wrote(o metav1.Object, p part, want digest) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := keyOf(o)
	k.objects[key] = k.read(o)
	k.written[p][key] = written{want, o.GetResourceVersion()}
}

func (k *kind) has(key objectKey) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.objects[key]
	return ok
}

// forget is called with mu held.
func (k *kind) forget(key objectKey) {
	delete(k.objects, key)
	for _, w := range k.written {
		delete(w, key)
	}
}

// put takes what a watch tells, and reports whether that is news that was not the agent's own doing. Watches lag behind answers.
func (k *kind) put(o metav1.Object) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, is := keyOf(o), k.read(o)
	was, known := k.objects[key]
	if known && older(is.version, was.version) {
		return false
	}
	k.objects[key] = is
	return !known || was.uid != is.uid || was.digests != is.digests
}

func (k *kind) drop(o metav1.Object) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	was, known := k.objects[keyOf(o)]
	if !known || older(o.GetResourceVersion(), was.version) {
		return false
	}
	k.forget(keyOf(o))
	return true
}

// replace takes all objects as they were at a version. What was written since then is not among them.
func (k *kind) replace(all []metav1.Object, version string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	present := make(map[objectKey]bool, len(all))
	for _, o := range all {
		key, is := keyOf(o), k.read(o)
		present[key] = true
		if was, known := k.objects[key]; !known || !older(is.version, was.version) {
			k.objects[key] = is
		}
	}
	for key, was := range k.objects {
		if !present[key] && !older(version, was.version) {
			k.forget(key)
		}
	}
	k.seen, k.trouble = true, nil
}

// older reports whether a is before b. Resource versions of one resource are numbers that grow.
func older(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x < y
}
