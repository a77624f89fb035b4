package main

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/gateway/explain"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// explain answers why calls of a service go where they go, from what this agent knows now.
func (a *agentParts) explain(q explain.Question) (explain.Explanation, error) {
	if err := q.Service.Validate(); err != nil {
		return explain.Explanation{}, &model.QueryError{Code: model.QueryInvalid, Message: err.Error()}
	}
	facts, ok := a.core.inputs()
	if !ok {
		return explain.Explanation{}, errors.New("the agent has not read its registry yet: try again")
	}
	now := a.clock.Now()
	in := explain.Input{Facts: facts, Origins: a.core.origins(now), Gateways: a.core.gateways(), Now: now}
	if q.Proxy != "" {
		in.Own = publishedPart(a.publisher.Current(), q.Proxy)
		in.InForce = a.inForce(q.Proxy)
	}
	e, err := explain.Explain(in, q)
	if err != nil {
		return e, &model.QueryError{Code: model.QueryNotFound, Message: err.Error()}
	}
	return e, nil
}

// publishedPart is a proxy's part of what is published; nil when there is none.
func publishedPart(s *snapshot.Snapshot, id string) *snapshot.Workload {
	if s == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(s.Workloads, id, func(w *snapshot.Workload, id string) int { return strings.Compare(w.ID, id) })
	if !ok {
		return nil
	}
	return s.Workloads[i]
}

// inForce is how far a proxy's Envoy follows; nil when the proxy is not registered.
func (a *agentParts) inForce(proxy string) *explain.InForce {
	s := sets{derived: a.publisher.Derived, sent: a.publisher.Acknowledged, settled: a.cache.Settled}
	derived := s.derived()
	reports := a.site.Reports()
	i := slices.IndexFunc(reports, func(r vm.Report) bool { return r.Workload == proxy })
	if i < 0 {
		return nil
	}
	r := reports[i]
	out := &explain.InForce{Connected: r.Connected, Derived: derived, Nacks: r.Nacks}
	if !r.CertificateExpiry.IsZero() {
		at := r.CertificateExpiry.UTC()
		out.CertificateExpiresAt = &at
	}
	one := s.of(r, derived)
	out.Acknowledged = one.Index
	out.Newest = r.Acknowledged == nil && one.Index == derived || r.Acknowledged != nil && a.publisher.Newest(proxy, *r.Acknowledged)
	if one.Index < derived || !out.Newest {
		out.Reason = one.Reason
	}
	return out
}

// origins are how what is held of other clusters has come.
func (c *siteCore) origins(now time.Time) []explain.Origin {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []explain.Origin
	for _, o := range c.imports.All() {
		out = append(out, explain.Origin{
			Cluster: o.Origin, Epoch: o.Version.Epoch, Seq: o.Version.Seq, AgeSeconds: max(0, now.Sub(o.ConfirmedAt).Seconds()),
			Stale: c.stale[o.Origin], Held: o.Held, Refused: o.Refused,
		})
	}
	return out
}

// explainHere answers this machine's operator.
func (a *agentParts) explainHere(w http.ResponseWriter, r *http.Request) {
	namespace, name, _ := strings.Cut(r.URL.Query().Get("service"), "/")
	e, err := a.explain(explain.Question{
		Proxy: r.URL.Query().Get("proxy"), Port: r.URL.Query().Get("port"), Service: model.ServiceKey{Namespace: namespace, Name: name},
	})
	var known *model.QueryError
	switch {
	case err == nil:
		writeJSON(w, e)
	case errors.As(err, &known):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}
