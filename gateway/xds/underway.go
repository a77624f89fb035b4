package xds

import (
	"strconv"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// UnderWay is the work that others have given an Envoy and that is not done yet.
type UnderWay struct {
	// Requests are HTTP calls to the workload, or that a gateway answers for; of an egress gateway, calls and sessions together.
	Requests uint64 `json:"requests"`
	// Sessions are TCP sessions with the workload, or connections that a gateway passes on.
	Sessions uint64 `json:"sessions"`
}

// None reports whether nothing is under way.
func (u UnderWay) None() bool { return u == UnderWay{} }

const (
	inboundPrefix     = "from_"
	egressPrefix      = "to_"
	passthroughPrefix = "pass_"
	// terminatedPrefix is of connections whose calls are counted one by one.
	terminatedPrefix = "term_"
	// plainPrefix is of clusters that reach this cluster's workloads as they are.
	plainPrefix = "plain|"
)

// UnderWayFilter is the regular expression of the statistics that CountUnderWay reads.
const UnderWayFilter = `^http\.` + inboundPrefix + `.*\.downstream_rq_active$` +
	`|^cluster\.in\|\d+\.upstream_rq_active$` +
	`|^cluster\.[pt]_[^.]*\.upstream_rq_active$` +
	`|^connection_limit\.` + passthroughPrefix + `.*\.active_connections$`

// CountUnderWay reads an Envoy's statistics: what a workload is called for, what an east-west gateway passes on and answers for, and what
// workloads call through an egress gateway. Calls that a workload itself makes are not counted, nor are probes of the gateway, nor datagrams:
// nobody can tell when their sessions end.
func CountUnderWay(w model.Workload, stats map[string]uint64) UnderWay {
	var out UnderWay
	for _, p := range w.Ports {
		if p.Protocol.IsHTTP() {
			out.Requests += stats["http."+inboundPrefix+statName(model.PassthroughSNI(w.Service, p.Number))+".downstream_rq_active"]
			continue
		}
		// Envoy counts a session as a request of its connection to the application.
		out.Sessions += stats["cluster.in|"+strconv.Itoa(int(p.Number))+".upstream_rq_active"]
	}
	for name, n := range stats {
		datagrams := strings.Contains(name, "-udp_")
		switch {
		case w.Gateway != nil && strings.HasPrefix(name, "connection_limit."+passthroughPrefix):
			out.Sessions += n
		case w.Gateway != nil && strings.HasPrefix(name, "http."+inboundPrefix) && !datagrams,
			// Envoy counts a session as a request here, too.
			w.Egress != nil && strings.HasPrefix(name, "cluster.") && !strings.HasPrefix(name, "cluster.in|") && !datagrams:
			out.Requests += n
		}
	}
	return out
}
