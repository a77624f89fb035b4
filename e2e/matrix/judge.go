package matrix

import (
	"fmt"

	"github.com/hanse-mesh/hanse/e2e/load"
)

// judge lists what a row did not keep of its bound.
func judge(r RowResult) []string {
	var broken []string
	for _, c := range r.Calls {
		unsafe := c.Failed
		if c.Protocol == HTTP {
			// Of gRPC calls and lines, nobody but the client knows whether they may be repeated.
			unsafe = c.FailedPosts
		}
		allowed := c.Failed
		switch r.Bound {
		case Unharmed:
			allowed = 0
		case UnharmedSafe:
			allowed = unsafe
		}
		if c.Failed > allowed {
			broken = append(broken, fmt.Sprintf("%s: %d of %d calls failed (%d not repeatable); the bound is none (%s): %s", c.Protocol, c.Failed, c.Calls, unsafe, r.Bound, c.Sample))
		}
		if c.FailedLate > 0 {
			broken = append(broken, fmt.Sprintf("%s: %d calls failed that were due later than %s after the fault, the last at +%.1f s: %s", c.Protocol, c.FailedLate, Late, c.Recovery, c.Sample))
		}
	}
	if r.Turns > maxTurns {
		broken = append(broken, fmt.Sprintf("the flapping workload's part went or came back %d times: with it, traffic of the others oscillates; the bound is %d", r.Turns, maxTurns))
	}
	if r.EndsSessions && r.Sessions.Stuck > 0 {
		broken = append(broken, fmt.Sprintf("%d of %d old TCP sessions neither answered nor were closed within %s", r.Sessions.Stuck, r.Sessions.Open, sessionBound))
	}
	return broken
}

// maxTurns allows a workload that flaps to be left, to be tried again, to be left and to come back.
const maxTurns = 4

// turns counts how often an instance's part in the calls of a series goes or comes back: it takes part when it answers at least a tenth.
func turns(series []load.Window, instance string) int {
	n := 0
	for i := 1; i < len(series); i++ {
		if takesPart(series[i], instance) != takesPart(series[i-1], instance) {
			n++
		}
	}
	return n
}

func takesPart(w load.Window, instance string) bool { return 10*w.Instances[instance] >= w.Calls }

// The protocols.
const (
	HTTP = "HTTP"
	GRPC = "gRPC"
	TCP  = "TCP"
)

// Protocols are in the order of the table.
var Protocols = []string{HTTP, GRPC, TCP}

// Passes are the protocols whose calls are made at once. All three leave two processors no room for what a failover costs.
var Passes = [][]string{{HTTP, GRPC}, {TCP}}
