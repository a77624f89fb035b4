// Package serve owns the delta xDS streams to Envoys and relays: who subscribed to what, what each client holds, and what it must be
// told next.
//
// go-control-plane's delta server speaks gRPC; the cache behind it is ours, because both caches that come with it deviate from the
// protocol: a re-subscribed name must be sent again, a missing one must be answered, and types must keep their order on a stream.
package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"

	"github.com/hanse-mesh/hanse/gateway/xds"
)

// ErrStateOfTheWorld is returned to clients that do not speak the delta protocol.
var ErrStateOfTheWorld = errors.New("state of the world is not served: use delta xDS (api_type DELTA_GRPC)")

// Cache holds one complete set of resources per class and the state of every stream. Streams of one class receive the same
// resources; a class is whatever the server's ClassOf says. All methods are safe for concurrent use.
type Cache struct {
	mu      sync.Mutex
	classes map[string]*class
	// sessions are the open streams by the private node id that the server gave them.
	sessions map[string]*session
	opened   uint64
}

// class is one set and the streams that receive it.
type class struct {
	// set is nil until the first Set. Its slices are strictly increasing by name and never change.
	set xds.Resources
	// generation counts the changes of the set; it is shown to clients for debugging only.
	generation uint64
	sessions   map[*session]struct{}
}

var _ cache.Cache = (*Cache)(nil)

// NewCache returns a cache that knows no class.
func NewCache() *Cache {
	return &Cache{classes: map[string]*class{}, sessions: map[string]*session{}}
}

// Set replaces the complete set of a class and sends what changed, by version, to the streams that asked for it: additions in the
// order of xds.Types, after them removals in the reverse order. Types outside xds.Types are not served. The resources must not be
// changed afterwards.
func (c *Cache) Set(name string, r xds.Resources) {
	next := normalise(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := c.class(name)
	prev := cl.set
	cl.set = next
	if prev == nil {
		cl.generation++
		for s := range cl.sessions {
			s.reconcile()
			s.flush()
		}
		return
	}
	changed := map[string][]string{}
	for _, t := range xds.Types {
		if names := diff(prev[t], next[t]); len(names) > 0 {
			changed[t] = names
		}
	}
	if len(changed) == 0 {
		return
	}
	cl.generation++
	for s := range cl.sessions {
		if s.mark(changed) {
			s.flush()
		}
	}
}

// Drop forgets the set of a class. Its streams keep what they hold and hear nothing until the next Set: stale beats partial.
func (c *Cache) Drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl, ok := c.classes[name]; ok {
		cl.set = nil
		c.release(name, cl)
	}
}

// Has reports whether the class has been set and not dropped. A set may be empty.
func (c *Cache) Has(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl, ok := c.classes[name]
	return ok && cl.set != nil
}

// CreateDeltaWatch takes a stream's request for one type and answers through out, now and whenever something changes, until the
// returned function is called. The request's node id must be that of a stream which the server opened.
func (c *Cache) CreateDeltaWatch(req *cache.DeltaRequest, sub cache.Subscription, out chan cache.DeltaResponse) (func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.sessions[req.GetNode().GetId()]
	if !ok {
		return nil, fmt.Errorf("request of type %q on a stream that the server did not open", req.GetTypeUrl())
	}
	u, err := s.request(req, sub.IsWildcard())
	if err != nil {
		return nil, err
	}
	w := &watch{out: out}
	u.watch = w
	s.flush()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if u.watch == w {
			u.watch = nil
		}
	}, nil
}

// CreateWatch refuses: only delta xDS is served.
func (c *Cache) CreateWatch(*cache.Request, cache.Subscription, chan cache.Response) (func(), error) {
	return nil, ErrStateOfTheWorld
}

// Fetch refuses: only delta xDS is served.
func (c *Cache) Fetch(context.Context, *cache.Request) (cache.Response, error) {
	return nil, ErrStateOfTheWorld
}

// open registers a stream of a class and returns its private node id.
func (c *Cache) open(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened++
	id := strconv.FormatUint(c.opened, 10)
	cl := c.class(name)
	s := &session{class: cl, name: name, subs: map[string]*subscription{}, unacked: map[string]sent{}}
	cl.sessions[s] = struct{}{}
	c.sessions[id] = s
	return id
}

// close forgets a stream.
func (c *Cache) close(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.sessions[id]
	if !ok {
		return
	}
	delete(c.sessions, id)
	delete(s.class.sessions, s)
	c.release(s.name, s.class)
}

// class returns the named class, made when it is new; c.mu is held.
func (c *Cache) class(name string) *class {
	cl, ok := c.classes[name]
	if !ok {
		cl = &class{sessions: map[*session]struct{}{}}
		c.classes[name] = cl
	}
	return cl
}

// release frees a class that holds nothing; c.mu is held.
func (c *Cache) release(name string, cl *class) {
	if cl.set == nil && len(cl.sessions) == 0 {
		delete(c.classes, name)
	}
}

// normalise copies the map and makes every slice strictly increasing by name: one response must not name a resource twice.
func normalise(r xds.Resources) xds.Resources {
	out := make(xds.Resources, len(xds.Types))
	for _, t := range xds.Types {
		if list := r[t]; len(list) > 0 {
			out[t] = increasing(list)
		}
	}
	return out
}

func increasing(list []*xds.Resource) []*xds.Resource {
	ok := true
	for i := 1; i < len(list) && ok; i++ {
		ok = list[i-1].Name < list[i].Name
	}
	if ok {
		return list
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b *xds.Resource) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(sorted, func(a, b *xds.Resource) bool { return a.Name == b.Name })
}

// diff returns the names that differ between two increasing lists, in order. Shared pointers are equal without a look at the names.
func diff(prev, next []*xds.Resource) []string {
	var names []string
	i, j := 0, 0
	for i < len(prev) && j < len(next) {
		p, n := prev[i], next[j]
		switch {
		case p == n:
			i, j = i+1, j+1
		case p.Name < n.Name:
			names, i = append(names, p.Name), i+1
		case p.Name > n.Name:
			names, j = append(names, n.Name), j+1
		default:
			if p.Version != n.Version {
				names = append(names, n.Name)
			}
			i, j = i+1, j+1
		}
	}
	for ; i < len(prev); i++ {
		names = append(names, prev[i].Name)
	}
	for ; j < len(next); j++ {
		names = append(names, next[j].Name)
	}
	return names
}

// find returns the named resource of an increasing list, or nil.
func find(list []*xds.Resource, name string) *xds.Resource {
	i, ok := slices.BinarySearchFunc(list, name, func(r *xds.Resource, n string) int { return strings.Compare(r.Name, n) })
	if !ok {
		return nil
	}
	return list[i]
}
