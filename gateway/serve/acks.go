package serve

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/hanse-mesh/hanse/api/model"
)

// maxReason bounds the text of a refusal that is kept, in bytes.
const maxReason = 4096

// rejected is one resource that a client refuses. An empty name stands for a response that carried no resource.
type rejected struct{ typeURL, name string }

// rejections are a stream's current refusals. Resources that were refused together share one Nack until each is acknowledged.
type rejections map[rejected]*model.Nack

// sentResponse remembers a response that is on its way, by its nonce.
func (c *Cache) sentResponse(id string, resp *discovery.DeltaDiscoveryResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.sessions[id]
	if !ok {
		return
	}
	names := make([]string, len(resp.GetResources()))
	for i, r := range resp.GetResources() {
		names[i] = r.GetName()
	}
	s.queued--
	s.unacked[resp.GetNonce()] = sent{typeURL: resp.GetTypeUrl(), names: names, removed: resp.GetRemovedResources()}
}

// acknowledged takes the client's word on a response: nack is nil when it was accepted. It reports whether the nonce was awaited.
func (c *Cache) acknowledged(id, nonce string, nack *model.Nack) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.sessions[id]
	if !ok {
		return false
	}
	r, ok := s.unacked[nonce]
	if !ok {
		return false
	}
	delete(s.unacked, nonce)
	if nack == nil {
		s.accept(r)
		return true
	}
	s.refuse(r, nack)
	return true
}

// accept clears the refusals that a response has answered: those of its resources, and of what it removed.
func (s *session) accept(r sent) {
	delete(s.nacks, rejected{r.typeURL, ""})
	for _, n := range r.names {
		delete(s.nacks, rejected{r.typeURL, n})
	}
	for _, n := range r.removed {
		delete(s.nacks, rejected{r.typeURL, n})
	}
}

func (s *session) refuse(r sent, nack *model.Nack) {
	if s.nacks == nil {
		s.nacks = rejections{}
	}
	if len(r.names) == 0 {
		s.nacks[rejected{r.typeURL, ""}] = nack
		return
	}
	for _, n := range r.names {
		s.nacks[rejected{r.typeURL, n}] = nack
	}
	if u, ok := s.subs[r.typeURL]; ok {
		u.refused(r)
	}
}

// Nacks returns what clients of the class refuse now, oldest first. A refusal ends when the client accepts another version of the
// resource or its removal, or when its stream closes.
func (c *Cache) Nacks(name string) []model.Nack {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl, ok := c.classes[name]
	if !ok {
		return nil
	}
	distinct := map[*model.Nack]struct{}{}
	for s := range cl.sessions {
		for _, n := range s.nacks {
			distinct[n] = struct{}{}
		}
	}
	var out []model.Nack
	for n := range maps.Keys(distinct) {
		out = append(out, *n)
	}
	slices.SortFunc(out, func(a, b model.Nack) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.TypeURL, b.TypeURL), strings.Compare(a.Reason, b.Reason))
	})
	return out
}

// Settled reports whether every stream of the class, of which there is at least one, has acknowledged all that it asked for of the
// class's present set, and refuses nothing.
func (c *Cache) Settled(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl, ok := c.classes[name]
	if !ok || len(cl.sessions) == 0 {
		return false
	}
	for s := range cl.sessions {
		if !s.settled() {
			return false
		}
	}
	return true
}

// clip bounds a reason that came from outside.
func clip(reason string) string {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return strings.ToValidUTF8(reason, "")
}
