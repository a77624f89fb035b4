//go:build e2e

package matrix

import "time"

// row is one line of the matrix.
type row struct {
	name  string
	fault fault
	bound Bound
	// hold is how long the fault lasts after it struck.
	hold time.Duration
	// endsSessions says that the fault takes the way of old TCP sessions.
	endsSessions bool
	// flaps is the workload that goes and comes, if one does.
	flaps string
}

// rows are the matrix. The service runs in us, where its calls go, and in ap; the callers are in eu.
func rows() []row {
	return []row{
		{"workload killed", killed("cart-us-1"), Recovers, 15 * time.Second, false, ""},
		{"workload unhealthy", unhealthy("cart-us-1"), Unharmed, 8 * time.Second, false, ""},
		{"workload frozen: the application", appFrozen("cart-us-1"), Recovers, 10 * time.Second, false, ""},
		{"workload frozen: application, proxy, Envoy", frozen("cart-us-1"), Recovers, 15 * time.Second, false, ""},
		{"workload draining", drained("cart-us-1", false), Unharmed, 8 * time.Second, false, ""},
		{"workload draining, then stopped", drained("cart-us-1", true), Unharmed, 5 * time.Second, false, ""},
		{"workload flapping each 500 ms for 60 s", flapping("cart-us-1"), Unharmed, 2 * time.Second, false, "cart-us-1"},
		{"local proxy and its Envoy killed", sidecarKilled("cart-us-1"), Recovers, 15 * time.Second, false, ""},
		{"the callers' proxy killed, its Envoy lives", proxyKilled("web-eu"), Unharmed, 8 * time.Second, false, ""},
		{"gateway killed", killed("gw-us-1"), Recovers, 12 * time.Second, true, ""},
		{"gateway frozen", frozen("gw-us-1"), Recovers, 12 * time.Second, true, ""},
		{"gateway draining, then stopped", drained("gw-us-1", true), Unharmed, 5 * time.Second, false, ""},
		{"region killed", killed("us"), Recovers, 12 * time.Second, true, ""},
		{"region frozen", frozen("us"), Recovers, 12 * time.Second, true, ""},
		{"region's node and agent killed", killed("node-us", "agent-us"), Unharmed, 12 * time.Second, false, ""},
		{"one federation node killed", killed("node-eu"), Unharmed, 10 * time.Second, false, ""},
		{"all federation nodes killed", killed("node-eu", "node-us", "node-ap"), Unharmed, 15 * time.Second, false, ""},
		{"the callers' agent killed", killed("agent-eu"), Unharmed, 10 * time.Second, false, ""},
		{"all agents and federation nodes killed", killed("agent-eu", "agent-us", "agent-ap", "node-eu", "node-us", "node-ap"), Unharmed, 15 * time.Second, false, ""},
		{"network cut between eu and us", path(cut, "eu", "us", "us", "eu"), UnharmedSafe, 12 * time.Second, true, ""},
		{"network cut from us to eu only", path(cut, "us", "eu"), UnharmedSafe, 12 * time.Second, true, ""},
		{"5 % loss and 300 ms between eu and us", path(lossyAndFar, "eu", "us", "us", "eu"), Recovers, 20 * time.Second, false, ""},
		{"the Raft leader's region frozen", leaderFrozen(), Recovers, 12 * time.Second, true, ""},
	}
}
