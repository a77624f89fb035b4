package serve

import (
	"cmp"
	"slices"
	"strconv"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/gateway/xds"
)

// What one stream may ask for. A client's mistake must not cost the server's memory.
const (
	maxTypes = 16
	maxNames = 65536
)

// session is one open stream. The cache's lock guards it.
type session struct {
	class *class
	name  string
	subs  map[string]*subscription
	// ordered are the subscriptions in the order of xds.Types, others after them.
	ordered []*subscription
	// queued counts the responses that were handed to the server and not yet sent.
	queued int
	// unacked are the sent responses by nonce.
	unacked map[string]sent
	nacks   rejections
}

// sent is what a response that awaits its acknowledgement carried.
type sent struct {
	typeURL string
	names   []string
	removed []string
}

// request applies a request to its type's subscription.
func (s *session) request(req *discovery.DeltaDiscoveryRequest, wildcard bool) (*subscription, error) {
	t := req.GetTypeUrl()
	u, ok := s.subs[t]
	if ok {
		u.change(req, wildcard, s.class.set[t])
	} else {
		if len(s.subs) == maxTypes {
			return nil, status.Errorf(codes.ResourceExhausted, "more than %d resource types on one stream", maxTypes)
		}
		u = newSubscription(t)
		s.subs[t] = u
		s.ordered = append(s.ordered, u)
		slices.SortStableFunc(s.ordered, func(a, b *subscription) int { return cmp.Compare(rank(a.typeURL), rank(b.typeURL)) })
		u.begin(req, wildcard, s.class.set[t])
	}
	for _, n := range req.GetResourceNamesUnsubscribe() {
		if !u.wants(n) {
			delete(s.nacks, rejected{t, n})
		}
	}
	if len(u.names) > maxNames {
		return nil, status.Errorf(codes.ResourceExhausted, "more than %d names subscribed of %s", maxNames, t)
	}
	return u, nil
}

func rank(typeURL string) int {
	if i := slices.Index(xds.Types, typeURL); i >= 0 {
		return i
	}
	return len(xds.Types)
}

// reconcile doubts everything, after a time without a set.
func (s *session) reconcile() {
	for _, u := range s.ordered {
		u.reconcile(s.class.set[u.typeURL])
	}
}

// mark doubts what changed and reports whether this stream asked for any of it.
func (s *session) mark(changed map[string][]string) bool {
	marked := false
	for t, names := range changed {
		if u, ok := s.subs[t]; ok && u.mark(names) {
			marked = true
		}
	}
	return marked
}

// flush hands the server what is due: additions by type, then removals in the reverse order. It stops, rather than let a later type
// overtake, when the channel is full or the type's watch is about to be renewed; the client's next request goes on from there.
//
// It does not wait for acknowledgements between types: Envoy holds back that of a cluster until its endpoints have come.
func (s *session) flush() {
	if s.class.set == nil {
		return
	}
	for _, u := range s.ordered {
		if !s.sendAdditions(u) {
			return
		}
	}
	for _, u := range slices.Backward(s.ordered) {
		if len(u.dirty) == 0 {
			continue
		}
		if !s.room(u) {
			return
		}
		s.send(u, nil, u.removals())
	}
}

// sendAdditions reports whether nothing of the type has to wait.
func (s *session) sendAdditions(u *subscription) bool {
	set := s.class.set[u.typeURL]
	for u.pending() {
		if !s.room(u) {
			return false
		}
		if add, absent, due := u.additions(set); due {
			s.send(u, add, absent)
			continue
		}
		again := u.nextRetry(set)
		if len(again) == 0 {
			return true
		}
		s.send(u, again, nil)
	}
	return true
}

// room reports whether a send can not block: the cache is the only sender, under its lock.
func (s *session) room(u *subscription) bool {
	return u.watch != nil && len(u.watch.out) < cap(u.watch.out)
}

func (s *session) send(u *subscription, add []*xds.Resource, removed []string) {
	list := make([]*discovery.Resource, len(add))
	for i, r := range add {
		list[i] = &discovery.Resource{Name: r.Name, Version: r.Version, Resource: r.Body}
	}
	s.queued++
	u.watch.out <- &cache.DeltaPassthroughResponse{
		DeltaRequest: &discovery.DeltaDiscoveryRequest{TypeUrl: u.typeURL},
		// The server writes into this map; what clients hold is kept here, so it begins empty every time.
		NextVersionMap: map[string]string{},
		DeltaDiscoveryResponse: &discovery.DeltaDiscoveryResponse{
			TypeUrl: u.typeURL, Resources: list, RemovedResources: removed,
			SystemVersionInfo: strconv.FormatUint(s.class.generation, 10),
		},
	}
}

// settled reports whether the client has acknowledged everything that it asked for and refused nothing.
func (s *session) settled() bool {
	if s.class.set == nil || s.queued > 0 || len(s.unacked) > 0 || len(s.nacks) > 0 {
		return false
	}
	for _, u := range s.ordered {
		if u.pending() {
			return false
		}
	}
	return len(s.ordered) > 0
}
