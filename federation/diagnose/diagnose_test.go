package diagnose

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// empty is the report of a federation in which there is nothing.
func empty() Report {
	return Report{
		At: now, Nodes: Have([]Node{}), Clusters: Have([]Cluster{}), Services: Have([]Service{}), Failover: Have([]policy.FailoverPolicy{}),
		Exports: Have([]policy.ExportRule{}), Imports: Have([]policy.ImportRule{}), Tokens: Have([]model.Token{}), Roots: Have([]Root{}), Verdicts: Have([]Path{}),
	}
}

// with is an empty report with something in it.
func with(changes ...func(*Report)) Report {
	r := empty()
	for _, change := range changes {
		change(&r)
	}
	return r
}

// node is a voter that leads or follows n1, with nothing wrong.
func node(name string, changes ...func(*Node, *NodeSelf)) func(*Report) {
	n := Node{Node: model.Node{Name: name, Region: "eu-west", GossipAddress: name + ":7703", ProtocolMin: 1, ProtocolMax: 2}, Alive: true}
	self := NodeSelf{
		Version: "v1", Leader: "n1", Clock: Have(Clock{Within: 10 * time.Millisecond}),
		Certificate: Have(Validity{now.Add(-24 * time.Hour), now.Add(89 * 24 * time.Hour)}),
	}
	for _, change := range changes {
		change(&n, &self)
	}
	if n.Alive {
		n.Self = Have(self)
	}
	return func(r *Report) { r.Nodes = Have(append(r.Nodes.Value(), n)) }
}

func dead(n *Node, _ *NodeSelf)    { n.Alive = false }
func replica(n *Node, _ *NodeSelf) { n.Replica = true }

// cluster is a member in its own region, with nothing wrong.
func cluster(name string, changes ...func(*Cluster)) func(*Report) {
	c := Cluster{
		Cluster: model.Cluster{
			Name: model.ClusterName(name), Region: name + "-west", TrustDomain: name + ".test", ExportNamespaces: []string{"shop"}, JoinedAt: now.Add(-time.Hour),
		},
		Published: true, Status: &model.SiteStatus{AgentVersion: "v1"}, Paths: Have([]Path{}),
		Agent: Have(AgentSelf{Version: "v1", Clock: Clock{Within: 20 * time.Millisecond}, Certificates: []Certificate{
			{Of: "agent", Until: now.Add(5 * 24 * time.Hour)}, {Of: "ca", Until: now.Add(9 * 365 * 24 * time.Hour)},
		}}),
	}
	for _, change := range changes {
		change(&c)
	}
	return func(r *Report) { r.Clusters = Have(append(r.Clusters.Value(), c)) }
}

func status(change func(*model.SiteStatus)) func(*Cluster) {
	return func(c *Cluster) { change(c.Status) }
}

func dropped(texts ...string) func(*Cluster) {
	return status(func(s *model.SiteStatus) { s.Dropped = texts })
}

func proxy(p model.ProxyStatus) func(*Cluster) {
	return status(func(s *model.SiteStatus) { s.Proxies = append(s.Proxies, p) })
}

func gateway(name string, draining bool) func(*Cluster) {
	return func(c *Cluster) {
		c.Gateways = append(c.Gateways, model.Gateway{Name: name, Locality: model.Locality{Region: c.Region}, Draining: draining})
	}
}

func agent(change func(*AgentSelf)) func(*Cluster) {
	return func(c *Cluster) {
		self := c.Agent.Value()
		change(&self)
		c.Agent = Have(self)
	}
}

func sees(s Sight) func(*Node, *NodeSelf) {
	return func(_ *Node, self *NodeSelf) { self.Sights = append(self.Sights, s) }
}

func age(cluster model.ClusterName, d time.Duration) func(*Node, *NodeSelf) {
	return sees(Sight{Cluster: cluster, Age: d})
}

func service(name string, offers ...Offer) func(*Report) {
	return func(r *Report) {
		r.Services = Have(append(r.Services.Value(), Service{model.ServiceKey{Namespace: "shop", Name: name}, offers}))
	}
}

func offer(c string, protocol model.Protocol, importers ...model.ClusterName) Offer {
	return Offer{
		Cluster: model.ClusterName(c), Ports: []model.Port{{Name: "main", Number: 80, Protocol: protocol}}, Regions: []string{c + "-west"}, Importers: importers,
	}
}

func rule(name string, spec policy.ExportRuleSpec) func(*Report) {
	return func(r *Report) {
		r.Exports = Have(append(r.Exports.Value(), policy.ExportRule{Name: name, Spec: spec}))
	}
}

func importRule(name string, spec policy.ImportRuleSpec) func(*Report) {
	return func(r *Report) {
		r.Imports = Have(append(r.Imports.Value(), policy.ImportRule{Name: name, Spec: spec}))
	}
}

var openShop = rule("shop", policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"shop"}, To: []string{"*"}})

func failover(name string, spec policy.FailoverPolicySpec) func(*Report) {
	return func(r *Report) {
		r.Failover = Have(append(r.Failover.Value(), policy.FailoverPolicy{Name: name, Spec: spec}))
	}
}

func order(from string, to ...string) policy.FailoverPolicySpec {
	return policy.FailoverPolicySpec{Failover: []policy.RegionOrder{{From: from, To: to}}}
}

func token(t model.Token) func(*Report) {
	t.CreatedAt = now.Add(-90 * 24 * time.Hour)
	return func(r *Report) { r.Tokens = Have(append(r.Tokens.Value(), t)) }
}

func verdict(from, to, gateway string, state PathState) func(*Report) {
	return func(r *Report) {
		p := Path{From: model.ClusterName(from), To: model.ClusterName(to), Gateway: gateway, Address: "10.0.0.1:7722", State: state, Since: now}
		r.Verdicts = Have(append(r.Verdicts.Value(), p))
	}
}

func says(p Path) func(*Cluster) {
	return func(c *Cluster) { p.From = c.Name; c.Paths = Have(append(c.Paths.Value(), p)) }
}

// unasked is a cluster whose agent does not answer.
func unasked(c *Cluster) {
	c.Agent, c.Paths = Lack[AgentSelf]("no session"), Lack[[]Path]("no session")
}

// healthy is a federation as it should be.
func healthy() Report {
	return with(
		node("n1", age("eu", time.Second), age("us", time.Second)), node("n2", age("eu", 2*time.Second), age("us", time.Second)), node("n3"), node("r1", replica),
		cluster("eu", gateway("gw-1", false), says(Path{To: "us", Gateway: "gw-1", State: Reached}),
			proxy(model.ProxyStatus{Workload: "web-1", Connected: true, Ready: true})),
		cluster("us", gateway("gw-1", false), gateway("gw-2", false)),
		service("cart", offer("eu", model.ProtocolHTTP, "us"), offer("us", model.ProtocolHTTP, "eu")),
		openShop, rule("cart", policy.ExportRuleSpec{From: []string{"us"}, Namespaces: []string{"shop"}, Services: []string{"cart"}, To: []string{"eu"}}),
		failover("default", order("eu-west", "us-west")),
		token(model.Token{ID: "ann", Kind: model.TokenOperator}), token(model.Token{ID: "spent", Kind: model.TokenCluster, ExpiresAt: now.Add(-time.Hour)}),
		verdict("eu", "us", "gw-1", Reached),
	)
}

func TestHealthyHasNoFindings(t *testing.T) {
	for name, r := range map[string]Report{"healthy": healthy(), "empty": empty()} {
		for _, f := range Diagnose(r) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// find returns the finding of a code and subject.
func find(list []Finding, code Code, subject string) (Finding, bool) {
	i := slices.IndexFunc(list, func(f Finding) bool { return f.Code == code && f.Subject == subject })
	if i < 0 {
		return Finding{}, false
	}
	return list[i], true
}

// Every code has a report that causes it and nothing else of its group, and its finding names what is at fault.
func TestEachCode(t *testing.T) {
	tried := map[Code]bool{}
	for name, c := range faults {
		t.Run(name, func(t *testing.T) {
			got := Diagnose(c.report)
			f, ok := find(got, c.code, c.subject)
			if !ok || f.Severity != c.severity {
				t.Fatalf("no %s %s of %s in %+v", c.severity, c.code, c.subject, got)
			}
			for _, text := range c.says {
				if !strings.Contains(f.Message+"\n"+strings.Join(f.Evidence, "\n"), text) {
					t.Errorf("it does not say %q: %+v", text, f)
				}
			}
			if f.Remedy == "" || f.Message == "" || f.Group.rank() < 0 || f.Severity.rank() < 0 {
				t.Errorf("it is not whole: %+v", f)
			}
			if len(got) != 1+c.more {
				t.Errorf("want %d beside it: %+v", c.more, got)
			}
		})
		tried[c.code] = true
	}
	for _, k := range kinds {
		if !tried[k.code] {
			t.Errorf("no report causes %s", k.code)
		}
	}
}

// What is not a fault, though it looks like one.
func TestNoFault(t *testing.T) {
	for name, r := range map[string]Report{
		"one of five voters is dead": with(node("n1"), node("n2"), node("n3"), node("n4"), node("n5", dead)),
		"a dead replica":             with(node("n1"), node("n2"), node("r", replica, dead)),
		"a clock that cannot be told from a right one": with(node("n1"), cluster("eu", agent(func(a *AgentSelf) {
			a.Clock = Clock{Ahead: 20 * time.Second, Within: 16 * time.Second}
		}))),
		"all of one wrong clock":        with(node("n1", ahead(time.Second)), cluster("eu", agent(func(a *AgentSelf) { a.Clock.Ahead = time.Second }))),
		"a join a moment ago":           with(cluster("eu", func(c *Cluster) { c.Published, c.JoinedAt = false, now.Add(-time.Second) })),
		"a revoked token":               with(token(model.Token{ID: "x", Kind: model.TokenOperator, Revoked: true, ExpiresAt: now})),
		"a short token early":           with(token(model.Token{ID: "x", Kind: model.TokenOperator, ExpiresAt: now.Add(40 * 24 * time.Hour)})),
		"a rule that waits for members": with(cluster("eu"), service("cart", offer("eu", model.ProtocolHTTP)), openShop),
		"no protocol is tcp": with(cluster("eu", gateway("g", false)), cluster("us", gateway("g", false)), openShop,
			service("cart", offer("eu", "", "us"), offer("us", model.ProtocolTCP, "eu"))),
		"avoided, and the agent says so itself": with(cluster("eu", dropped("gateway gw-1 of us at 10.0.0.1 port 7722 is unreachable since 2026-05-01T12:00:00Z"))),
	} {
		t.Run(name, func(t *testing.T) {
			for _, f := range Diagnose(r) {
				if f.Code != nodeDead.code {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

func ahead(d time.Duration) func(*Node, *NodeSelf) {
	return func(_ *Node, self *NodeSelf) { self.Clock = Have(Clock{Ahead: d, Within: 10 * time.Millisecond}) }
}

func TestWorstFirst(t *testing.T) {
	got := Diagnose(with(node("n1"), token(model.Token{ID: "x", Kind: model.TokenOperator, ExpiresAt: now}), node("n2", dead), node("n3"),
		cluster("eu", proxy(model.ProxyStatus{Workload: "w"}))))
	if !slices.IsSortedFunc(got, func(a, b Finding) int { return a.Severity.rank() - b.Severity.rank() }) || len(got) != 4 {
		t.Errorf("%+v", got)
	}
}
