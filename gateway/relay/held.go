package relay

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/hanse-mesh/hanse/gateway/xds"
)

// maxResources bounds what is held of one type, whatever an agent sends.
const maxResources = 200_000

// held is what the agent has said so far, by type and name. It is a value of Run's goroutine.
type held struct {
	resources map[string]map[string]*xds.Resource
	// sorted are the types' lists as the last set had them; a type that changed since has none.
	sorted xds.Resources
	// answered are the types that an agent has spoken of, in this life or in the one that wrote the file.
	answered map[string]bool
}

func newHeld() *held {
	h := &held{resources: map[string]map[string]*xds.Resource{}, sorted: xds.Resources{}, answered: map[string]bool{}}
	for _, t := range xds.Types {
		h.resources[t] = map[string]*xds.Resource{}
	}
	return h
}

// complete reports whether every type was answered: less is never served.
func (h *held) complete() bool { return len(h.answered) == len(xds.Types) }

// versions are what the agent is told that we hold of a type.
func (h *held) versions(typeURL string) map[string]string {
	out := make(map[string]string, len(h.resources[typeURL]))
	for n, r := range h.resources[typeURL] {
		out[n] = r.Version
	}
	return out
}

// apply merges one response, whole or not at all, and reports whether anything is different now.
func (h *held) apply(resp *discovery.DeltaDiscoveryResponse) (changed bool, err error) {
	byName, ok := h.resources[resp.GetTypeUrl()]
	if !ok {
		return false, fmt.Errorf("type %q was not subscribed", resp.GetTypeUrl())
	}
	if err := check(resp, len(byName)); err != nil {
		return false, err
	}
	if !h.answered[resp.GetTypeUrl()] {
		h.answered[resp.GetTypeUrl()] = true
		changed = true
	}
	for _, r := range resp.GetResources() {
		if r.GetResource() == nil {
			continue // a heartbeat: the resource is as it was
		}
		if old, ok := byName[r.GetName()]; ok && old.Version == r.GetVersion() {
			continue
		}
		byName[r.GetName()] = &xds.Resource{Name: r.GetName(), Version: r.GetVersion(), Body: r.GetResource()}
		changed = true
	}
	for _, n := range resp.GetRemovedResources() {
		if _, ok := byName[n]; ok {
			delete(byName, n)
			changed = true
		}
	}
	if changed {
		delete(h.sorted, resp.GetTypeUrl())
	}
	return changed, nil
}

// check refuses a response that could not be served on as it is.
func check(resp *discovery.DeltaDiscoveryResponse, have int) error {
	if have+len(resp.GetResources()) > maxResources {
		return fmt.Errorf("more than %d resources of one type", maxResources)
	}
	seen := make(map[string]struct{}, len(resp.GetResources()))
	for _, r := range resp.GetResources() {
		if r.GetName() == "" {
			return errors.New("a resource has no name")
		}
		if _, twice := seen[r.GetName()]; twice {
			return fmt.Errorf("resource %q stands twice in one response", r.GetName())
		}
		seen[r.GetName()] = struct{}{}
		if body := r.GetResource(); body != nil && body.GetTypeUrl() != resp.GetTypeUrl() {
			return fmt.Errorf("resource %q has type %q in a response of %q", r.GetName(), body.GetTypeUrl(), resp.GetTypeUrl())
		}
	}
	return nil
}

// set is the complete set as it is now, sorted. Types that did not change share their list with the set before.
func (h *held) set() xds.Resources {
	byName := func(a, b *xds.Resource) int { return strings.Compare(a.Name, b.Name) }
	for t, all := range h.resources {
		if _, ok := h.sorted[t]; !ok {
			h.sorted[t] = slices.SortedFunc(maps.Values(all), byName)
		}
	}
	return maps.Clone(h.sorted)
}
