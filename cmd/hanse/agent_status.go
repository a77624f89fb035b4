package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// maxStatusProxies bounds the proxies of a status record; those with something to say come first.
const maxStatusProxies = 100

// siteStatus is what operators are told of this site.
func (a *agentParts) siteStatus() model.SiteStatus {
	proxies := a.site.Proxies()
	slices.SortStableFunc(proxies, func(x, y model.ProxyStatus) int { return rank(x) - rank(y) })
	proxies = proxies[:min(len(proxies), maxStatusProxies)]
	expiry := a.site.EarliestExpiry()
	if own := a.siteIdentity.Expiry(); expiry.IsZero() || own.Before(expiry) {
		expiry = own
	}
	return model.SiteStatus{AgentVersion: version, Proxies: proxies, EarliestExpiry: expiry, Dropped: siteProblems(a.publisher.Current())}
}

// maxStatusProblems bounds what a status record says of registrations; the proxies themselves are told everything.
const maxStatusProblems = 50

// siteProblems lists what of the site's registrations and imports cannot be offered.
func siteProblems(s *snapshot.Snapshot) []string {
	if s == nil {
		return nil
	}
	out := slices.Clone(s.Problems)
	for _, w := range s.Workloads {
		for _, problem := range w.Problems {
			out = append(out, w.ID+": "+problem)
		}
	}
	return out[:min(len(out), maxStatusProblems)]
}

// rank puts proxies that need an operator's eye first.
func rank(p model.ProxyStatus) int {
	switch {
	case len(p.Nacks) > 0:
		return 0
	case !p.Connected && !p.Declared:
		return 1
	case !p.Ready:
		return 2
	default:
		return 3
	}
}

// tellProblems tells each proxy what of its registration cannot be offered.
func (a *agentParts) tellProblems(ctx context.Context) error {
	for {
		s := a.publisher.Current()
		for _, p := range a.site.Proxies() {
			problems := problemsFor(s, p.Workload)
			for _, x := range a.publisher.Problems(p.Workload) {
				problems = append(problems, x.Subject+": "+x.Reason)
			}
			a.site.SendProblems(p.Workload, problems)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.clock.After(time.Second):
		}
	}
}

// notReady says what keeps this agent from serving its site.
func (a *agentParts) notReady() []string {
	if !a.assembled.Load() {
		return []string{*a.waiting.Load()}
	}
	var missing []string
	if !a.core.known() {
		missing = append(missing, fmt.Sprintf("the federation's state has not arrived yet (%s)", a.uplink.Stats().LastError))
	}
	return missing
}

// measure registers what an operator watches on an agent.
func (a *agentParts) measure() {
	gauge(a.registry, "uplink_connected", "1 while a session with a federation node stands", func() float64 { return boolGauge(a.uplink.Stats().Connected) })
	gauge(a.registry, "uplink_superseded", "1 while another process publishes as this cluster", func() float64 { return boolGauge(a.uplink.Stats().SupersededBy != "") })
	a.registry.MustRegister(importMetrics{func() []importStatus { return a.core.importing(a.clock.Now()) }})
	gauge(a.registry, "workloads", "registered workloads and gateways", func() float64 { return float64(len(a.site.Workloads())) })
	a.measureGateways()
	gauge(a.registry, "nacks", "configurations that Envoys of this site refuse at the moment", func() float64 {
		n := 0
		for _, p := range a.site.Proxies() {
			n += len(p.Nacks)
		}
		return float64(n)
	})
	gauge(a.registry, "certificate_expiry_seconds", "time until the site's first certificate ends: the outage budget", func() float64 {
		return a.siteStatus().EarliestExpiry.Sub(a.clock.Now()).Seconds()
	})
}
