package main

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/xds"
)

// proxyState is what a proxy knows of itself; its methods are safe for concurrent use.
type proxyState struct {
	mu      sync.Mutex
	reasons map[string]string
	health  model.WorkloadHealth
	// checkedOnce is set once the workload's check has given a result.
	checkedOnce bool
	// envoy is the release of the Envoy that was last seen live.
	envoy   string
	current configuration
	// onChange is given every complete configuration, one at a time; it is set before anything runs.
	onChange func(configuration)
}

// configuration is an Envoy's: what the agent sent, and the proxy's own certificate, which the agent never sees.
type configuration struct {
	relayed     xds.Resources
	certificate *xds.Resource
	// digest names relayed.
	digest string
}

// complete reports whether an Envoy may be given the configuration.
func (c configuration) complete() bool { return c.relayed != nil && c.certificate != nil }

// resources is the whole set.
func (c configuration) resources() xds.Resources {
	out := maps.Clone(c.relayed)
	secrets := append(slices.Clone(out[xds.SecretType]), c.certificate)
	slices.SortFunc(secrets, func(a, b *xds.Resource) int { return strings.Compare(a.Name, b.Name) })
	out[xds.SecretType] = secrets
	return out
}

func newProxyState() *proxyState {
	return &proxyState{reasons: map[string]string{
		"configuration": "no configuration from the agent yet",
		"envoy":         "Envoy is not live yet",
		"workload":      "the workload has not been checked yet",
	}}
}

// missing records why the proxy is not ready; an empty reason takes it back.
func (s *proxyState) missing(what, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason == "" {
		delete(s.reasons, what)
		return
	}
	s.reasons[what] = reason
}

func (s *proxyState) notReady() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Collect(maps.Values(s.reasons))
	slices.Sort(out)
	return out
}

// configured takes a complete set from the agent or its cache.
func (s *proxyState) configured(r xds.Resources) {
	digest := r.Digest()
	s.change(func(c *configuration) { c.relayed, c.digest = r, digest })
}

// following is the digest of the agent's set that the Envoy is offered; empty before there is one.
func (s *proxyState) following() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.current.complete() {
		return ""
	}
	return s.current.digest
}

// certified takes a new certificate.
func (s *proxyState) certified(r *xds.Resource) {
	s.change(func(c *configuration) { c.certificate = r })
}

func (s *proxyState) change(f func(*configuration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.current)
	if s.current.complete() {
		delete(s.reasons, "configuration")
		if s.onChange != nil {
			s.onChange(s.current)
		}
	}
}

// running takes the release of a live Envoy.
func (s *proxyState) running(release string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if release != "" {
		s.envoy = release
	}
}

func (s *proxyState) release() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.envoy
}

// checked takes the verdict of the workload's check.
func (s *proxyState) checked(ready bool, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health.Ready, s.health.Reason, s.checkedOnce = ready, reason, true
	if ready {
		delete(s.reasons, "workload")
	} else {
		s.reasons["workload"] = "the workload's check fails: " + reason
	}
}

func (s *proxyState) drain(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health.Draining = on
	if on {
		s.reasons["drain"] = "draining"
	} else {
		delete(s.reasons, "drain")
	}
}

func (s *proxyState) draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health.Draining
}

// settled reports whether the workload can be registered without a false word: its check has given a result, and an Envoy that has a
// configuration is up.
func (s *proxyState) settled(cached bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, down := s.reasons["envoy"]
	return s.checkedOnce && (!cached && s.current.relayed == nil || !down)
}

// workloadHealth is what the site is told: a workload whose Envoy is down cannot be called. It returns false until there is a result.
func (s *proxyState) workloadHealth() (model.WorkloadHealth, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.health
	if reason, down := s.reasons["envoy"]; down && h.Ready {
		h.Ready, h.Reason = false, reason
	}
	return h, s.checkedOnce
}
