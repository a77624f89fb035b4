package xds

import (
	"strconv"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// UnderWay is the work that others have given an Envoy and that is not done yet.
type UnderWay struct {
	// Requests are HTTP calls to the workload.
	Requests uint64 `json:"requests"`
	// Sessions are TCP sessions with the workload, or connections that a gateway passes on.
	Sessions uint64 `json:"sessions"`
}

// None reports whether nothing is under way.
func (u UnderWay) None() bool { return u == UnderWay{} }

const (
	inboundPrefix     = "from_"
	passthroughPrefix = "pass_"
)

// UnderWayFilter is the regular expression of the statistics that CountUnderWay reads.
const UnderWayFilter = `^http\.` + inboundPrefix + `.*\.downstream_rq_active$` +
	`|^cluster\.in\|\d+\.upstream_rq_active$` +
	`|^connection_limit\.` + passthroughPrefix + `.*\.active_connections$`

// CountUnderWay reads an Envoy's statistics: what a workload is called for, and what a gateway passes on. Calls that the workload itself
// makes are not counted, nor are probes of the gateway.
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
		if w.Gateway != nil && strings.HasPrefix(name, "connection_limit."+passthroughPrefix) {
			out.Sessions += n
		}
	}
	return out
}
