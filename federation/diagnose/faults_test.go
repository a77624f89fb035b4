package diagnose

import (
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// fault is a report and the finding that it must cause.
type fault struct {
	report   Report
	severity Severity
	code     Code
	subject  string
	// says are texts of the finding.
	says []string
	// more is how many findings follow from the same fault.
	more int
}

const day = 24 * time.Hour

var faults = map[string]fault{
	"no leader": {with(node("n1", led("")), node("n2", led(""))), Error, "no-leader", "federation", []string{"n1 knows no leader"}, 0},
	"two leaders": {
		with(node("n1"), node("n2", led("n2"))), Warning, "leader-disputed", "federation", []string{"n2 follows n2", "n1 follows n1"}, 0,
	},
	"one node knows no leader": {with(node("n1"), node("n2", led(""))), Warning, "leader-disputed", "federation", []string{"n2 knows no leader"}, 0},
	"a dead node": {
		with(node("n1"), node("n2"), node("n3"), node("n5"), node("n4", dead)), Error, "node-dead", "node/n4", []string{"voter in region eu-west", "n4:7703"}, 0,
	},
	"one more and no quorum": {with(node("n1"), node("n2"), node("n3", dead)), Error, "quorum-at-risk", "federation", []string{"1 of 3", "n3"}, 1},
	"a node that lags":       {with(node("n1"), node("n2", func(_ *Node, s *NodeSelf) { s.Behind = time.Minute })), Warning, "node-behind", "node/n2", []string{"1m0s"}, 0},

	"a node's clock": {
		with(node("n1"), node("n2"), node("n3", ahead(10*time.Second))), Warning, "clock-skew", "node/n3", []string{"10s ahead of"}, 0,
	},
	"an agent's clock": {
		with(node("n1"), cluster("eu", agent(func(a *AgentSelf) { a.Clock.Ahead = -45 * time.Second }))),
		Error, "clock-skew", "agent/eu", []string{"45s behind"}, 0,
	},
	"an agent's clock without nodes": {
		with(cluster("eu", agent(func(a *AgentSelf) { a.Clock.Ahead = 10 * time.Second }))), Warning, "clock-skew", "agent/eu", nil, 0,
	},
	"the asker's clock": {
		with(node("n1", ahead(time.Minute)), node("n2", ahead(time.Minute))), Warning, "own-clock-skew", "this machine", []string{"1m0s behind"}, 0,
	},

	"nodes differ": {with(node("n1"), node("n2", func(_ *Node, s *NodeSelf) { s.Version = "v2" })), Info, "version-differs", "nodes", []string{"n2 runs v2"}, 0},
	"an agent is older": {
		with(node("n1"), cluster("eu", agent(func(a *AgentSelf) { a.Version = "v0" }))), Info, "version-differs", "agent/eu", []string{"runs v0", "v1"}, 0,
	},
	"nodes that cannot talk": {
		with(node("n1"), node("n2", func(n *Node, _ *NodeSelf) { n.ProtocolMin, n.ProtocolMax = 3, 4 })), Error, "protocol-gap", "node/n1", []string{"3 to 4", "1 to 2"}, 0,
	},

	"a node's certificate ended": {with(node("n1", certified(now.Add(-90*day), now.Add(-time.Hour)))), Error, "certificate-expired", "node/n1", []string{"1h0m0s ago"}, 0},
	"a node's certificate soon":  {with(node("n1", certified(now.Add(-80*day), now.Add(10*day)))), Warning, "certificate-expiring", "node/n1", nil, 0},
	"by the nodes' clocks": {
		with(node("n1", ahead(time.Hour), certified(now.Add(-day), now.Add(30*time.Minute)))), Error, "certificate-expired", "node/n1", nil, 1,
	},
	"a proxy's certificate":  {with(cluster("eu", holds1("proxy web-1", -time.Minute))), Error, "certificate-expired", "proxy/eu/web-1", []string{"1m0s ago"}, 0},
	"an agent's certificate": {with(cluster("eu", holds1("agent", time.Hour))), Warning, "certificate-expiring", "agent/eu", []string{"(agent)"}, 0},
	"a root":                 {with(cluster("eu", holds1("ca", 100*day))), Warning, "certificate-expiring", "trust-domain/eu.test", nil, 0},
	"a root that is listed": {
		with(func(r *Report) { r.Roots = Have([]Root{{"eu.test", "1", now.Add(day)}}) }),
		Warning, "certificate-expiring", "trust-domain/eu.test", nil, 0,
	},
	"by the last status": {
		with(cluster("eu", unasked, status(func(s *model.SiteStatus) { s.EarliestExpiry = now.Add(-time.Second) }))),
		Error, "certificate-expired", "cluster/eu", nil, 1,
	},
	"an operator's token": {with(token(model.Token{ID: "x", Kind: model.TokenOperator, Label: "ann", ExpiresAt: now.Add(day)})), Warning, "token-expiring", "token/x", []string{"ann"}, 0},
	"an ended token":      {with(token(model.Token{ID: "x", Kind: model.TokenOperator, ExpiresAt: now.Add(-day)})), Info, "token-expired", "token/x", nil, 0},

	"never published": {with(node("n1"), cluster("eu", func(c *Cluster) { c.Published = false })), Warning, "never-published", "cluster/eu", []string{"1h0m0s"}, 0},
	"silent":          {with(node("n1", age("eu", time.Minute)), node("n2", age("eu", 11*time.Second)), cluster("eu")), Warning, "feed-silent", "cluster/eu", []string{"11s", "n1: 1m0s"}, 0},
	"stale":           {with(node("n1", age("eu", 6*time.Minute)), cluster("eu")), Error, "feed-stale", "cluster/eu", []string{"6m0s"}, 0},
	"stuck at one node": {
		with(node("n1", age("eu", time.Second)), node("n2", age("eu", time.Minute)), cluster("eu")), Warning, "feed-stuck", "node/n2", []string{"cluster eu", "1m0s old here"}, 0,
	},
	"a clone": {
		with(node("n1", age("eu", 0)), node("n2", sees(Sight{Cluster: "eu", Instance: "a", Rivals: []string{"b"}})), cluster("eu")),
		Error, "two-publishers", "cluster/eu", []string{"n2", "a publishes, b would"}, 0,
	},
	"too much": {with(node("n1", sees(Sight{Cluster: "eu", SlowedDown: true})), cluster("eu")), Warning, "slowed-down", "cluster/eu", []string{"n1"}, 0},
	"mass removal": {
		with(cluster("us", status(func(s *model.SiteStatus) {
			s.Held = []string{"12 of 13 services of cluster eu vanished at once; held until 12:00; if that was meant, confirm it"}
		}))),
		Warning, "mass-removal-held", "cluster/eu", []string{"12 of 13", "agent of us"}, 0,
	},
	"a refused record": {
		with(cluster("eu", func(c *Cluster) { c.Refused = []string{`gateways: gateway "g": port is 0`} })), Error, "record-refused", "record/eu/gateways", []string{"port is 0"}, 0,
	},
	"a refused record, by its agent": {
		with(cluster("eu", dropped(`the federation refuses gateways: gateway "g": port is 0`))), Error, "record-refused", "record/eu/gateways", []string{"port is 0"}, 0,
	},
	"a record that importers refuse": {
		with(cluster("us", dropped("service/shop/cart of eu: the signature is not its agent's"))), Error, "record-refused", "record/eu/service/shop/cart", []string{"by cluster us"}, 0,
	},
	"a service that importers refuse": {
		with(cluster("us", dropped(`service cart.shop of cluster "eu" is refused: the cluster is not a member`))), Error, "record-refused", "record/eu/service/shop/cart", nil, 0,
	},
	"a foreign identity": {
		with(cluster("eu", func(c *Cluster) {
			c.Refused = []string{`service/shop/cart: identity "spiffe://us.test/ns/shop/sa/cart" of service cart.shop is not the cluster's to claim: it must be its own`}
		})), Error, "identity-denied", "record/eu/service/shop/cart", []string{"us.test"}, 0,
	},

	"nack": {
		with(cluster("eu", proxy(model.ProxyStatus{Workload: "w", Connected: true, Ready: true, Nacks: []model.Nack{{TypeURL: "LDS", Reason: "cannot bind"}}}))),
		Error, "nack", "proxy/eu/w", []string{"cannot bind", "LDS"}, 0,
	},
	"proxy away":     {with(cluster("eu", proxy(model.ProxyStatus{Workload: "w", Ready: true}))), Warning, "proxy-away", "proxy/eu/w", nil, 0},
	"proxy unready":  {with(cluster("eu", proxy(model.ProxyStatus{Workload: "w", Connected: true}))), Warning, "proxy-unready", "proxy/eu/w", nil, 0},
	"proxy draining": {with(cluster("eu", proxy(model.ProxyStatus{Workload: "w", Connected: true, Draining: true}))), Info, "proxy-draining", "proxy/eu/w", nil, 0},
	"an unknown upstream": {
		with(cluster("eu", dropped(`w: upstream carrt.shop: service is not known here: is it registered, or exported to cluster "eu"?`))),
		Warning, "upstream-unknown", "proxy/eu/w", []string{"carrt.shop"}, 0,
	},
	"a caller that no rule lets in": {
		with(cluster("eu", dropped(`w: upstream cart.shop: service is not known here: is it registered, or exported to cluster "eu"?`)),
			cluster("us", gateway("g", false)), openShop, service("cart", offer("us", model.ProtocolHTTP, "ap"))),
		Error, "caller-denied", "proxy/eu/w", []string{"cart.shop", "cluster us offers it to: ap"}, 0,
	},
	"a wrong port of an upstream": {with(cluster("eu", dropped(`w: upstream cart.shop: service has no port "x": give one of http`))), Error, "upstream-wrong", "proxy/eu/w", []string{`no port "x"`}, 0},

	"no gateway": {with(cluster("eu"), cluster("us"), openShop, service("cart", offer("eu", "", "us"))), Error, "gateway-missing", "cluster/eu", []string{"(1)"}, 0},
	"a gateway that nobody reaches": {
		with(cluster("eu", unasked), cluster("us"), verdict("eu", "us", "gw-1", Unreached), verdict("eu", "us", "gw-2", Reached)),
		Error, "gateway-unreachable", "gateway/us/gw-1", []string{"not reached by eu", "since 2026"}, 1,
	},
	"a gateway that one does not reach": {
		with(cluster("eu", says(Path{To: "us", Gateway: "gw-1", State: Unreached, Reason: "refused"}), says(Path{To: "us", Gateway: "gw-2", State: Reached})),
			cluster("ap", says(Path{To: "us", Gateway: "gw-1", State: Reached})), verdict("eu", "us", "gw-1", Reached)),
		Warning, "gateway-unreachable", "gateway/us/gw-1", []string{"not reached by eu; ap can", "refused"}, 0,
	},
	"a cluster that one does not reach": {
		with(cluster("eu", says(Path{To: "us", Gateway: "gw-1", State: Unreached})), cluster("ap", says(Path{To: "us", Gateway: "gw-1", State: Reached}))),
		Error, "gateway-unreachable", "gateway/us/gw-1", nil, 0,
	},
	"unreachable, by words alone": {
		with(cluster("eu", unasked, dropped("gateway gw-1 of us at 10.0.0.1 port 7722 is unreachable since 2026-05-01T12:00:00Z")), func(r *Report) { r.Verdicts = Lack[[]Path]("old") }),
		Error, "gateway-unreachable", "gateway/us/gw-1", []string{"not reached by eu"}, 2,
	},
	"a gateway drains":   {with(cluster("eu", gateway("gw-1", true), gateway("gw-2", false))), Warning, "gateway-draining", "gateway/eu/gw-1", nil, 0},
	"all gateways drain": {with(cluster("eu", gateway("gw-1", true))), Error, "no-gateway-in-rotation", "cluster/eu", nil, 1},
	"a gateway that is not published": {
		with(cluster("eu", dropped("gateway gw-1 is not published: it advertises no address or no port"))), Error, "gateway-not-published", "gateway/eu/gw-1", []string{"no address"}, 0,
	},
	"a bad way": {with(cluster("eu", says(Path{To: "us", Gateway: "gw-1", State: Reached, Degraded: true}))), Warning, "path-degraded", "path/eu/us", []string{"gw-1"}, 0},
	"a bad way, by words alone": {
		with(cluster("eu", unasked, dropped("the path to gateway gw-1 of us at 10.0.0.1 port 7722 is degraded: calls go elsewhere where they can"))),
		Warning, "path-degraded", "path/eu/us", []string{"gw-1"}, 1,
	},

	"a port of two protocols": {
		with(cluster("eu", gateway("g", false)), cluster("us", gateway("g", false)), openShop, service("cart", offer("eu", model.ProtocolHTTP, "us"), offer("us", model.ProtocolTCP, "eu"))),
		Error, "port-conflict", "service/shop/cart", []string{"port 80 is http in cluster eu", "port 80 is tcp in cluster us"}, 0,
	},
	"a port of two protocols, by words": {
		with(cluster("eu", dropped("port 80 of service cart.shop is http in cluster eu but tcp in cluster us: only those that say http are called; make them agree"))),
		Error, "port-conflict", "service/shop/cart", []string{"tcp in cluster us"}, 0,
	},
	"a port of two protocols in one site": {
		with(cluster("eu", dropped(`service cart.shop: workload c-2 declares port 80 (name "x", protocol tcp), which is 80 (name "x", protocol http) since workload c-1 declared it first`))),
		Error, "port-conflict", "service/shop/cart", []string{"c-2"}, 0,
	},
	"no rule": {
		with(cluster("eu", dropped("service cart.shop is not exported: no export rule opens it: add an ExportRule that names the cluster, the namespace and who may call"))),
		Error, "export-rule-missing", "service/shop/cart/eu", []string{"no export rule"}, 0,
	},
	"no rule, but it is published": {
		with(cluster("eu"), service("cart", offer("eu", ""))), Error, "export-rule-missing", "service/shop/cart/eu", []string{"no export rule"}, 0,
	},
	"a closed namespace": {
		with(cluster("eu", dropped("service cart.hr is not exported: the join token of cluster eu does not let it export namespace hr"))),
		Error, "namespace-closed", "service/hr/cart/eu", []string{"namespace hr"}, 0,
	},
	"nobody may call": {
		with(cluster("eu"), service("cart", offer("eu", "")), rule("moon", policy.ExportRuleSpec{From: []string{"eu"}, Namespaces: []string{"shop"}, To: []string{"moon"}})),
		Warning, "nobody-may-call", "service/shop/cart/eu", nil, 1,
	},
	"nobody imports": {
		with(cluster("eu"), cluster("us"), service("cart", offer("eu", "")), openShop,
			importRule("bank-only", policy.ImportRuleSpec{To: []string{"us"}, From: []string{"*"}, Namespaces: []string{"bank"}})),
		Warning, "nobody-imports", "service/shop/cart/eu", nil, 0,
	},
	"a wrong cluster in an import rule": {
		with(cluster("eu"), importRule("r", policy.ImportRuleSpec{To: []string{"mon"}, From: []string{"eu"}, Namespaces: []string{"shop"}})),
		Error, "unknown-cluster", "ImportRule/r", []string{"mon"}, 0,
	},
	"a wrong service in an import rule": {
		with(cluster("eu"), importRule("r", policy.ImportRuleSpec{To: []string{"eu"}, From: []string{"*"}, Namespaces: []string{"shop"}, Services: []string{"carrt"}})),
		Warning, "unknown-service", "ImportRule/r", []string{"carrt"}, 0,
	},
	"a workload that is not exported": {
		with(cluster("eu", dropped("workload c-1 is not exported: it declares no port"))), Error, "workload-not-exported", "proxy/eu/c-1", []string{"no port"}, 0,
	},

	"a wrong region": {
		with(cluster("eu"), cluster("us"), failover("default", order("eu-west", "us-wset"))), Error, "unknown-region", "FailoverPolicy/default", []string{"us-wset", `did you mean "us-west"`}, 0,
	},
	"a region of nodes alone": {
		with(cluster("us"), node("n1"), failover("default", order("us-west", "eu-west"))), Error, "unknown-region", "FailoverPolicy/default", []string{"eu-west"}, 0,
	},
	"a wrong cluster": {
		with(cluster("eu"), rule("r", policy.ExportRuleSpec{From: []string{"eu"}, Namespaces: []string{"shop"}, To: []string{"mon"}})),
		Error, "unknown-cluster", "ExportRule/r", []string{"mon"}, 0,
	},
	"a wrong namespace": {
		with(cluster("eu"), rule("r", policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"shoop"}, To: []string{"*"}})),
		Warning, "rule-opens-nothing", "ExportRule/r", []string{"shoop", "eu may export shop"}, 0,
	},
	"a wrong service in a rule": {
		with(cluster("eu"), rule("r", policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"shop"}, Services: []string{"carrt"}, To: []string{"*"}})),
		Warning, "unknown-service", "ExportRule/r", []string{"carrt"}, 0,
	},
	"a wrong service in a failover policy": {
		with(cluster("eu"), failover("p", policy.FailoverPolicySpec{Namespace: "shop", Services: []string{"carrt"}, Failover: []policy.RegionOrder{{From: "eu-west", Only: true}}})),
		Warning, "unknown-service", "FailoverPolicy/p", []string{"carrt"}, 0,
	},

	"words that nobody knows": {with(cluster("eu", dropped("the harbour is frozen"))), Warning, "site-problem", "cluster/eu", []string{"harbour"}, 0},
	"nothing was asked":       {with(func(r *Report) { r.Services = Known[[]Service]{} }), Warning, "not-looked-at", "services", []string{"not asked for"}, 0},
	"an agent that is too old for one question": {
		with(cluster("eu", func(c *Cluster) { c.Paths = Lack[[]Path]("old") })), Warning, "not-looked-at", "agent/eu/gateways", []string{"old"}, 0,
	},
	"an agent without a session": {with(cluster("eu", unasked)), Warning, "not-looked-at", "agent/eu", []string{"no session", "clock", "ways"}, 0},
	"a node without a clock": {
		with(node("n1", func(_ *Node, s *NodeSelf) { s.Clock = Lack[Clock]("old") })), Warning, "not-looked-at", "node/n1/clock", []string{"old"}, 0,
	},
	"a node without a certificate": {
		with(node("n1", func(_ *Node, s *NodeSelf) { s.Certificate = Known[Validity]{} })), Warning, "not-looked-at", "node/n1/certificate", nil, 0,
	},
	"a node that says nothing": {
		with(func(r *Report) {
			r.Nodes = Have([]Node{{Node: model.Node{Name: "n1"}, Alive: true, Self: Lack[NodeSelf]("timeout")}})
		}),
		Warning, "not-looked-at", "node/n1", []string{"timeout", "clock"}, 0,
	},
}

func led(leader string) func(*Node, *NodeSelf) {
	return func(_ *Node, s *NodeSelf) { s.Leader = leader }
}

func certified(from, until time.Time) func(*Node, *NodeSelf) {
	return func(_ *Node, s *NodeSelf) { s.Certificate = Have(Validity{from, until}) }
}

// holds1 gives a cluster one certificate more.
func holds1(of string, left time.Duration) func(*Cluster) {
	return agent(func(a *AgentSelf) {
		a.Certificates = append(a.Certificates, Certificate{Of: of, Until: now.Add(left)})
	})
}
