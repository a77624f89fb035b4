package main

import (
	"fmt"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
)

// maxWaiting bounds the proxies that are named as not following; further ones are counted.
const maxWaiting = 1000

// sets says what is known of the sets that proxies were sent. publish.Publisher and serve.Cache together are one.
type sets struct {
	// derived is the state index from which all that is served follows, sent that of a set that a proxy was sent lately, and settled
	// whether a proxy itself, if not its Envoy, has all that it was sent.
	derived func() uint64
	sent    func(proxy, set string) (uint64, bool)
	settled func(proxy string) bool
}

// acknowledged says how far the site's connected proxies follow the federation's state, and which of them are behind an index.
func (a *agentParts) acknowledged(index uint64) model.SiteAcknowledgement {
	s := sets{derived: a.publisher.Derived, sent: a.publisher.Acknowledged, settled: a.cache.Settled}
	out := s.acknowledged(index, a.site.Reports())
	out.Known = a.core.stateIndex()
	return out
}

func (s sets) acknowledged(index uint64, reports []vm.Report) model.SiteAcknowledgement {
	// Read first: what is found settled afterwards follows from this state at least.
	out := model.SiteAcknowledgement{Derived: s.derived(), Waiting: []model.ProxyAcknowledgement{}}
	for _, r := range reports {
		if !r.Connected {
			continue
		}
		out.Proxies++
		one := s.of(r, out.Derived)
		if one.Index >= index {
			continue
		}
		if len(out.Waiting) == maxWaiting {
			out.More++
			continue
		}
		if out.Derived < index {
			one.Reason = fmt.Sprintf("the agent has derived its configuration from index %d, not from %d yet", out.Derived, index)
		}
		out.Waiting = append(out.Waiting, one)
	}
	return out
}

// of is how far one proxy follows, and why it follows no further.
func (s sets) of(r vm.Report, derived uint64) model.ProxyAcknowledgement {
	out := model.ProxyAcknowledgement{Proxy: r.Workload, Nacks: r.Nacks}
	switch {
	case r.Acknowledged == nil && s.settled(r.Workload) && len(r.Nacks) == 0:
		// A proxy of an older version does not tell what its Envoy has accepted, only what it has refused.
		out.Index = derived
	case r.Acknowledged != nil:
		out.Index, _ = s.sent(r.Workload, *r.Acknowledged)
	}
	switch {
	case len(r.Nacks) > 0:
		out.Reason = "its Envoy refuses a part of its configuration: " + r.Nacks[0].Reason
	case r.Acknowledged != nil && *r.Acknowledged == "":
		out.Reason = "its Envoy has not accepted a whole configuration yet: is it running?"
	default:
		out.Reason = "its Envoy has not acknowledged the newest configuration yet"
	}
	return out
}

// stateIndex is the Raft index of the federation's state in force; 0 before any.
func (c *siteCore) stateIndex() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view == nil {
		return 0
	}
	return c.view.Index
}
