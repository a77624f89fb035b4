package matrix

import "fmt"

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
	if r.EndsSessions && r.Sessions.Stuck > 0 {
		broken = append(broken, fmt.Sprintf("%d of %d old TCP sessions neither answered nor were closed within %s", r.Sessions.Stuck, r.Sessions.Open, sessionBound))
	}
	return broken
}

// The protocols.
const (
	HTTP = "HTTP"
	GRPC = "gRPC"
	TCP  = "TCP"
)

// Protocols are in the order of the table.
var Protocols = []string{HTTP, GRPC, TCP}
