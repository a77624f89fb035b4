package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
)

const (
	namespace = "shop"
	// processes are how many nodes and agents a world has; the nodes are leastNodes to mostNodes of them.
	processes             = 20
	leastNodes, mostNodes = 8, 11
	maxAgents             = processes - leastNodes
)

// Options are how a world is made and for how long it is disturbed.
type Options struct {
	Seed uint64
	// Troubled is how long faults and changes go on, Quiet how long nothing more happens until everybody must agree.
	Troubled, Quiet time.Duration
	// Trace, when set, is given every line of the trace.
	Trace func(string)
	// wrap puts a planted defect into the world's seams.
	wrap func(*seams)
}

// Result is how a world ended.
type Result struct {
	Seed uint64
	// Violation is the invariant that was broken, empty when none was; Detail says by whom, At when, Tail what went before.
	Violation, Detail string
	At                time.Duration
	Tail              []string
	// Digest is of everything that happened: equal seeds have equal ones.
	Digest uint64
	// Events, Messages and Checks count what happened, what was sent, and what was held against the truth.
	Events, Messages, Checks int
	Processes                int
}

// world is one simulated federation.
type world struct {
	engine
	net    network
	raft   *agreed
	oracle *oracle
	memo   memo
	seams  seams
	limits catalog.Limits
	// degree is how many others a node follows, looks how often an agent's snapshot is checked.
	degree int
	looks  float64
	// gather is how long an agent's loop takes to come round.
	gather time.Duration
	// published and merged, when set, are told of each new state and of each that a node has taken.
	published func(*agent, model.Batch)
	merged    func(*node, model.ClusterName, model.Version)

	regions  []string
	nodes    []*node
	agents   []*agent
	clones   []*agent
	gateways []*gateway
	all      []*process
	// undo takes back what still disturbs.
	undo []func()
	// quiet is set when nothing more is disturbed.
	quiet bool
	// found are the violations of the first event that has any.
	found []finding
}

type finding struct{ invariant, detail string }

// violate notes that an invariant does not hold.
func (w *world) violate(invariant, format string, args ...any) {
	w.found = append(w.found, finding{invariant, fmt.Sprintf(format, args...)})
}

// Run lives through one seed.
func Run(o Options) Result {
	w := newWorld(o)
	events := 0
	for _, until := range []time.Duration{o.Troubled, o.Troubled + o.Quiet} {
		for len(w.found) == 0 && w.step(until) {
			events++
		}
		if len(w.found) == 0 && until == o.Troubled {
			w.heal()
		}
	}
	if len(w.found) == 0 {
		w.oracle.converged()
	}
	r := Result{
		Seed: o.Seed, At: w.now, Digest: w.trace.digest, Events: events, Messages: w.net.sent, Checks: w.oracle.checks,
		Processes: len(w.nodes) + len(w.agents),
	}
	if len(w.found) > 0 {
		slices.SortFunc(w.found, func(a, b finding) int { return strings.Compare(a.invariant+a.detail, b.invariant+b.detail) })
		r.Violation, r.Detail, r.Tail = w.found[0].invariant, w.found[0].detail, w.trace.tail()
	}
	return r
}

// newWorld makes the processes, joins them, and plans what is to disturb them.
func newWorld(o Options) *world {
	w := bareWorld(o)
	nodes := leastNodes + w.rng.IntN(mostNodes-leastNodes+1)
	for i := range nodes {
		w.nodes = append(w.nodes, newNode(w, fmt.Sprintf("n%d", i), w.regions[i%len(w.regions)]))
	}
	for i := range processes - nodes {
		w.addSite(i, w.regions[w.rng.IntN(len(w.regions))])
	}
	far := map[string]time.Duration{}
	w.lay(func(a, b string) time.Duration {
		if a == b {
			return time.Millisecond
		}
		key := min(a, b) + max(a, b)
		if far[key] == 0 {
			far[key] = w.between(10*time.Millisecond, 150*time.Millisecond)
		}
		return far[key]
	})
	w.constitute()
	w.putRule("first", policy.ExportRuleSpec{From: []string{policy.Any}, Namespaces: []string{namespace}, To: w.someone()})
	w.putRule("large", policy.ExportRuleSpec{From: []string{"c0"}, Namespaces: []string{namespace}, To: []string{policy.Any}})
	w.begin()
	w.disturb(o.Troubled)
	return w
}

// bareWorld is one without processes.
func bareWorld(o Options) *world {
	w := &world{
		engine: newEngine(o.Seed), raft: newAgreed(), seams: soundSeams(), degree: 3, looks: 0.03, gather: 300 * time.Millisecond,
		memo:    memo{results: map[memoKey]verified{}, genuine: map[any]model.ClusterName{}},
		regions: []string{"asia", "eu", "us"},
	}
	w.trace.all = o.Trace
	w.oracle = newOracle(w)
	if o.wrap != nil {
		o.wrap(&w.seams)
	}
	return w
}

// begin starts all processes.
func (w *world) begin() {
	for _, n := range w.nodes {
		n.boot()
	}
	for _, a := range w.agents {
		w.after(w.between(0, 2*time.Second), a.boot)
	}
}

// addSite makes a site: an agent, one or two gateways, and some workloads.
func (w *world) addSite(i int, region string) {
	name := model.ClusterName(fmt.Sprintf("c%d", i))
	a := &agent{
		process: process{name: string(name), region: region}, w: w, cluster: name, signer: signers[2*(i%maxAgents)],
		disk: disk{workloads: map[string]model.Workload{}},
	}
	w.agents = append(w.agents, a)
	for g := range 1 + w.rng.IntN(4)/3 {
		id := fmt.Sprintf("gw%d", g)
		address := netip.AddrFrom4([4]byte{10, byte(i), 0, byte(g + 1)})
		gw := &gateway{process: process{name: string(name) + id, region: a.region, up: true}, cluster: name, address: address}
		w.gateways = append(w.gateways, gw)
		a.disk.workloads[id] = model.Workload{
			ID: id, Namespace: model.SystemNamespace, ServiceAccount: model.GatewayServiceAccount, Locality: model.Locality{Region: a.region},
			Gateway: &model.WorkloadGateway{AdvertiseAddress: address.String(), AdvertisePort: gatewayPort},
			Health:  model.WorkloadHealth{Ready: true},
		}
	}
	services := 1 + w.rng.IntN(3)
	if i == 0 {
		// One site is large enough for a mass removal.
		services = massRecords + 2 + w.rng.IntN(3)
	}
	for s := range services {
		for range 1 + w.rng.IntN(2) {
			w.addWorkload(a, (i+s)%16)
		}
	}
}

// addWorkload registers one more workload of a service.
func (w *world) addWorkload(a *agent, service int) {
	id := fmt.Sprintf("w%d", w.count)
	w.count++
	name := fmt.Sprintf("s%d", service)
	a.disk.workloads[id] = model.Workload{
		ID: id, Service: model.ServiceKey{Namespace: namespace, Name: name}, Namespace: namespace, ServiceAccount: name,
		Locality: model.Locality{Region: a.region}, Address: "127.0.0.1", InboundPort: uint16(20000 + w.count%20000), Export: true,
		Ports:  []model.WorkloadPort{{Port: model.Port{Name: "http", Number: 80, Protocol: model.ProtocolHTTP}}},
		Health: model.WorkloadHealth{Ready: true},
	}
}

// lay gives every process a place, a clock, and paths to all others.
func (w *world) lay(latency func(from, to string) time.Duration) {
	for _, n := range w.nodes {
		w.all = append(w.all, &n.process)
	}
	for _, a := range w.agents {
		w.all = append(w.all, &a.process)
	}
	for _, g := range w.gateways {
		w.all = append(w.all, &g.process)
	}
	// One place more for a clone.
	total := len(w.all) + 1
	w.net.latency = make([][]time.Duration, total)
	w.net.cuts = make([][]int16, total)
	for i := range total {
		w.net.latency[i] = make([]time.Duration, total)
		w.net.cuts[i] = make([]int16, total)
	}
	for i, p := range w.all {
		p.index = i
		w.setClock(p)
		for j, q := range w.all {
			w.net.latency[i][j] = latency(p.region, q.region)
		}
	}
}

// setClock gives a process a wrong clock.
func (w *world) setClock(p *process) {
	p.skew = w.between(-3*time.Minute, 3*time.Minute)
	p.drift = (w.rng.Float64() - 0.5) * 2e-4
}

// constitute writes the beginning of the log: the federation, its nodes, its members.
func (w *world) constitute() {
	w.propose(state.InitFederation{
		Name: federation, Root: []byte("root"), Node: nodeOf(w.nodes[0].name, w.nodes[0].region),
		OperatorToken: model.Token{ID: "op", Kind: model.TokenOperator, SecretHash: make([]byte, 32)},
	})
	for _, n := range w.nodes[1:] {
		w.propose(state.PutNode{Node: nodeOf(n.name, n.region)})
	}
	for _, a := range w.agents {
		w.admit(a.cluster, a.region, a.signer.public)
	}
}

// someone are some of the clusters, or all.
func (w *world) someone() []string {
	if w.chance(0.3) {
		return []string{policy.Any}
	}
	var out []string
	for _, a := range w.agents {
		if w.chance(0.4) {
			out = append(out, string(a.cluster))
		}
	}
	if len(out) == 0 {
		out = append(out, string(pick(&w.engine, w.agents).cluster))
	}
	return out
}

func (w *world) nodeNamed(name string) *node {
	for _, n := range w.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

func (w *world) gatewayAt(ip netip.Addr) *gateway {
	for _, g := range w.gateways {
		if g.address == ip {
			return g
		}
	}
	return nil
}

// serviceOfKey is the service of a record's key; zero for other records.
func serviceOfKey(key string) model.ServiceKey {
	rest, ok := strings.CutPrefix(key, "service/")
	if !ok {
		return model.ServiceKey{}
	}
	ns, name, _ := strings.Cut(rest, "/")
	return model.ServiceKey{Namespace: ns, Name: name}
}
