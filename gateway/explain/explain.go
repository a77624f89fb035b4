// Package explain owns the answer to "why do calls of this service go where they go": the chain of facts, policies and verdicts behind what
// a site's proxy is configured with, and what would change if one of them did.
//
// It is pure. Nothing is decided here: what follows from the facts, as they are and as they might be, gateway/snapshot and gateway/route say.
package explain

import (
	"fmt"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// Question is what is asked.
type Question struct {
	// Proxy is the calling workload's ID; empty asks about the cluster's callers in general.
	Proxy   string           `json:"proxy,omitempty"`
	Service model.ServiceKey `json:"service"`
	// Port is a port's name or number; it may be empty when the service has one.
	Port string `json:"port,omitempty"`
}

// Input is all that an answer is made of. None of it is changed.
type Input struct {
	// Facts are what the site's proxies are configured from.
	Facts snapshot.Inputs
	// Origins are how what the agent holds of other clusters has come, and Gateways what it knows of their gateways.
	Origins  []Origin
	Gateways []model.GatewayFinding
	// Own is the asking proxy's part of what is published, and InForce what is known of the proxy; nil when that is nothing.
	Own     *snapshot.Workload
	InForce *InForce
	Now     time.Time
}

// Origin is how another cluster's records came here.
type Origin struct {
	Cluster model.ClusterName `json:"cluster"`
	Epoch   uint64            `json:"epoch"`
	Seq     uint64            `json:"seq"`
	// AgeSeconds is the time since the cluster's agent last confirmed them.
	AgeSeconds float64 `json:"ageSeconds"`
	Stale      bool    `json:"stale"`
	// Held says which services vanished in a mass and stay in force; Refused which records do not count.
	Held    []string `json:"held,omitempty"`
	Refused []string `json:"refused,omitempty"`
}

// InForce is what is known of a proxy: whether its Envoy follows.
type InForce struct {
	Connected bool `json:"connected"`
	// Derived is the index of the federation's state from which the agent has derived its configuration, Acknowledged the newest of which its
	// Envoy is known to have all that follows from it.
	Derived      uint64 `json:"derived"`
	Acknowledged uint64 `json:"acknowledged"`
	// Newest is whether its Envoy has the newest configuration there is: not all changes are the federation's.
	Newest bool `json:"newest"`
	// Reason is why the Envoy does not follow; empty when it does.
	Reason string       `json:"reason,omitempty"`
	Nacks  []model.Nack `json:"nacks,omitempty"`
	// CertificateExpiresAt is absent while the proxy has not told.
	CertificateExpiresAt *time.Time `json:"certificateExpiresAt,omitempty"`
}

// Explanation is the answer.
type Explanation struct {
	Cluster model.ClusterName `json:"cluster"`
	Proxy   string            `json:"proxy,omitempty"`
	// Locality is the callers'; a cluster's callers in other localities may go elsewhere.
	Locality model.Locality   `json:"locality"`
	Service  model.ServiceKey `json:"service"`
	Host     string           `json:"host"`
	// Port is absent when the service is not known, or has no such port.
	Port *model.Port `json:"port,omitempty"`
	// Index is that of the federation's state that all this follows from.
	Index uint64 `json:"index"`
	// Summary says in one sentence where calls go.
	Summary string `json:"summary"`
	// Problems are what stands in the way or needs an eye, the gravest first, each with what to do.
	Problems    []string            `json:"problems"`
	Permissions []Permission        `json:"permissions"`
	Policy      PolicyChoice        `json:"policy"`
	Priorities  []ExplainedPriority `json:"priorities"`
	LeftOut     []LeftOut           `json:"leftOut"`
	WhatIf      []WhatIf            `json:"whatIf"`
	Elsewhere   []LocalityShares    `json:"elsewhere,omitempty"`
	InForce     *InForce            `json:"inForce,omitempty"`
}

// LocalityShares is where the cluster's callers of another locality go.
type LocalityShares struct {
	Locality model.Locality `json:"locality"`
	Shares   []CallShare    `json:"shares"`
}

// Explain answers a question. An error means that there is no such proxy.
func Explain(in Input, q Question) (Explanation, error) {
	x := explainer{in: in, q: q, of: Explanation{
		Cluster: in.Facts.Cluster, Proxy: q.Proxy, Service: q.Service, Host: q.Service.Host(), Index: in.Facts.Index, InForce: in.InForce,
		Problems: []string{}, Priorities: []ExplainedPriority{}, LeftOut: []LeftOut{}, WhatIf: []WhatIf{},
	}}
	if err := x.locate(); err != nil {
		return Explanation{}, err
	}
	x.derive()
	x.of.Permissions = x.permissions()
	x.of.Policy = x.policy()
	if x.port != nil {
		assignment := route.Assign(x.port.Request)
		x.of.Priorities = x.priorities(assignment)
		x.of.LeftOut = x.leftOut(assignment)
		x.of.WhatIf = x.whatIf(assignment)
		x.of.Elsewhere = x.elsewhere(assignment)
	}
	x.of.Problems = append(x.of.Problems, x.problems()...)
	x.of.Summary = x.summary()
	return x.of, nil
}

// explainer holds what the parts of one answer share.
type explainer struct {
	in Input
	q  Question
	of Explanation
	// caller is nil when the question is about a cluster.
	caller *model.Workload
	// ports are the service's; port is the one asked about, nil when there is none, for portReason.
	ports      []snapshot.Derivation
	port       *snapshot.Derivation
	portReason string
	// settled is what of the service cannot be offered.
	settled []string
}

// locate finds the caller, and where it is. The callers of a cluster are the workloads that have an Envoy, and its egress gateways for all
// others: the first locality among theirs stands for them.
func (x *explainer) locate() error {
	var all []model.Locality
	for i := range x.in.Facts.Workloads {
		w := &x.in.Facts.Workloads[i]
		switch {
		case x.q.Proxy != "" && w.ID == x.q.Proxy:
			x.caller, x.of.Locality = w, w.Locality
			return nil
		case w.Gateway == nil && !w.Plain:
			all = append(all, w.Locality)
		}
	}
	if x.q.Proxy != "" {
		return fmt.Errorf("cluster %s has no proxy %q: see 'hanse get workloads'", x.in.Facts.Cluster, x.q.Proxy)
	}
	if len(all) == 0 {
		all = append(all, model.Locality{Region: x.in.Facts.Members[x.in.Facts.Cluster].Region})
	}
	x.of.Locality = slices.MinFunc(all, model.Locality.Compare)
	return nil
}

// derive finds what the service's ports follow from, and the port that is asked about.
func (x *explainer) derive() {
	x.ports, x.settled = snapshot.Derive(x.in.Facts, x.q.Service, x.of.Locality)
	if len(x.ports) == 0 {
		return
	}
	numbers := make([]model.Port, len(x.ports))
	for i, p := range x.ports {
		numbers[i] = p.Port
	}
	at, reason := snapshot.PickPort(numbers, x.q.Port)
	if at < 0 {
		x.portReason = reason
		return
	}
	x.port, x.of.Port = &x.ports[at], &numbers[at]
}

// elsewhere says where callers of the cluster's other localities go, when the question is about all.
func (x *explainer) elsewhere(here route.Assignment) []LocalityShares {
	if x.caller != nil {
		return nil
	}
	var others []model.Locality
	for _, w := range x.in.Facts.Workloads {
		if w.Gateway == nil && !w.Plain && w.Locality != x.of.Locality {
			others = append(others, w.Locality)
		}
	}
	slices.SortFunc(others, model.Locality.Compare)
	var out []LocalityShares
	for _, l := range slices.Compact(others) {
		r := x.port.Request
		r.From, r.Order = l, route.OrderFor(x.in.Facts.Failover, x.q.Service, l.Region)
		if s := shares(route.Assign(r)); !slices.Equal(s, shares(here)) {
			out = append(out, LocalityShares{l, s})
		}
	}
	return out
}

// summary says where calls go.
func (x *explainer) summary() string {
	switch {
	case len(x.of.Priorities) == 0 && len(x.of.Problems) > 0:
		return "calls go nowhere: " + x.of.Problems[0]
	case len(x.of.Priorities) == 0:
		return "calls go nowhere: nothing offers the service here"
	}
	first := x.of.Priorities[0]
	text := SharesText(first.shares())
	if first.Role == roleBad {
		return "nothing is known to work; calls are tried at " + text
	}
	return "calls go to " + text
}
