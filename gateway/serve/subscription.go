package serve

import (
	"maps"
	"slices"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"

	"github.com/hanse-mesh/hanse/gateway/xds"
)

// everything is the name that subscribes to all resources of a type.
const everything = "*"

// watch is the right to send on a stream's channel. It ends when the server takes the next request of the type, or closes the
// stream and with it the channel.
type watch struct{ out chan cache.DeltaResponse }

// subscription is what one stream wants of one type and what its client holds. The cache's lock guards it.
type subscription struct {
	typeURL  string
	watch    *watch
	wildcard bool
	names    map[string]struct{}
	// held are the versions that were sent, or that the client brought along. What a client refused counts as sent: only another
	// version is worth sending.
	held map[string]string
	// dirty are names whose held version may differ from the set's.
	dirty map[string]struct{}
	// answer are the dirty names that must be answered even when nothing differs: newly subscribed, or subscribed again.
	answer map[string]struct{}
	// greet asks for a response even if it is empty: a client that asks for everything must learn that there is nothing.
	greet bool
	// retry are groups of names out of refused responses, each to be sent once more on its own.
	retry [][]string
}

func newSubscription(typeURL string) *subscription {
	return &subscription{
		typeURL: typeURL, names: map[string]struct{}{}, held: map[string]string{},
		dirty: map[string]struct{}{}, answer: map[string]struct{}{},
	}
}

// begin takes the first request of a type on a stream: what the client brought along is not sent again if it is still right, and is
// removed if it is gone.
func (u *subscription) begin(req *discovery.DeltaDiscoveryRequest, wildcard bool, set []*xds.Resource) {
	u.wildcard, u.greet = wildcard, wildcard
	brought := req.GetInitialResourceVersions()
	for _, n := range req.GetResourceNamesSubscribe() {
		if n == everything {
			continue
		}
		u.names[n] = struct{}{}
		if _, ok := brought[n]; !ok {
			u.answer[n] = struct{}{}
		}
	}
	for n, v := range brought {
		if u.wants(n) {
			u.held[n] = v
		}
	}
	u.reconcile(set)
}

// change takes a later request: names subscribed again are sent again, because the client may have dropped them.
func (u *subscription) change(req *discovery.DeltaDiscoveryRequest, wildcard bool, set []*xds.Resource) {
	for _, n := range req.GetResourceNamesSubscribe() {
		if n != everything {
			u.names[n] = struct{}{}
			u.mustAnswer(n)
		}
	}
	was := u.wildcard
	u.wildcard = wildcard
	if wildcard && !was {
		u.greet = true
		u.reconcile(set)
	}
	for _, n := range req.GetResourceNamesUnsubscribe() {
		_, named := u.names[n]
		delete(u.names, n)
		if wildcard && named {
			// The client can not know whether "*" still covers the name: it must be told.
			u.mustAnswer(n)
		}
	}
	if was || len(req.GetResourceNamesUnsubscribe()) > 0 {
		u.forgetUnwanted()
	}
}

func (u *subscription) mustAnswer(name string) {
	u.dirty[name] = struct{}{}
	u.answer[name] = struct{}{}
}

func (u *subscription) forgetUnwanted() {
	if u.wildcard {
		return
	}
	unwanted := func(n string) bool { return !u.wants(n) }
	maps.DeleteFunc(u.held, func(n, _ string) bool { return unwanted(n) })
	maps.DeleteFunc(u.dirty, func(n string, _ struct{}) bool { return unwanted(n) })
	maps.DeleteFunc(u.answer, func(n string, _ struct{}) bool { return unwanted(n) })
}

func (u *subscription) wants(name string) bool {
	if u.wildcard {
		return true
	}
	_, ok := u.names[name]
	return ok
}

// reconcile doubts everything that the client holds or wants.
func (u *subscription) reconcile(set []*xds.Resource) {
	for n := range u.held {
		u.dirty[n] = struct{}{}
	}
	for n := range u.names {
		u.dirty[n] = struct{}{}
	}
	if u.wildcard {
		for _, r := range set {
			u.dirty[r.Name] = struct{}{}
		}
	}
}

// mark doubts the changed names that the client wants, and reports whether there are any.
func (u *subscription) mark(changed []string) bool {
	marked := false
	for _, n := range changed {
		if u.wants(n) {
			u.dirty[n] = struct{}{}
			marked = true
		}
	}
	return marked
}

func (u *subscription) pending() bool {
	return u.greet || len(u.dirty) > 0 || len(u.retry) > 0
}

// additions takes out of dirty what must be sent before any removal: changed resources, and the names that do not exist and must be
// answered. What remains dirty is to be removed. It reports whether a response is due, which may be empty.
func (u *subscription) additions(set []*xds.Resource) (add []*xds.Resource, absent []string, due bool) {
	due, u.greet = u.greet, false
	for _, n := range slices.Sorted(maps.Keys(u.dirty)) {
		r := find(set, n)
		_, must := u.answer[n]
		version, known := u.held[n]
		switch {
		case r != nil && (must || !known || version != r.Version):
			add = append(add, r)
			u.held[n] = r.Version
		case r == nil && must:
			absent = append(absent, n)
			delete(u.held, n)
		case r == nil && known:
			continue
		}
		delete(u.dirty, n)
		delete(u.answer, n)
	}
	return add, absent, due || len(add)+len(absent) > 0
}

// removals takes what remains dirty after additions.
func (u *subscription) removals() []string {
	names := slices.Sorted(maps.Keys(u.dirty))
	for _, n := range names {
		delete(u.held, n)
	}
	clear(u.dirty)
	return names
}

// refused arranges that the resources of a refused response are sent once more in two halves, until each refused resource stands
// alone: a client may drop a whole response for one bad resource in it.
func (u *subscription) refused(r sent) {
	if len(r.names) < 2 {
		return
	}
	half := len(r.names) / 2
	u.retry = append(u.retry, r.names[:half], r.names[half:])
}

// nextRetry takes the next group that is worth sending: what changed or vanished since is not.
func (u *subscription) nextRetry(set []*xds.Resource) []*xds.Resource {
	for len(u.retry) > 0 {
		var out []*xds.Resource
		for _, n := range u.retry[0] {
			if r := find(set, n); r != nil && u.wants(n) && u.held[n] == r.Version {
				out = append(out, r)
			}
		}
		u.retry = u.retry[1:]
		if len(out) > 0 {
			return out
		}
	}
	return nil
}
