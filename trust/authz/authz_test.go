package authz

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

var pay = model.ServiceKey{Namespace: "shop", Name: "payments"}

func members(names ...string) map[model.ClusterName]model.Cluster {
	out := map[model.ClusterName]model.Cluster{}
	for _, n := range names {
		out[model.ClusterName(n)] = model.Cluster{Name: model.ClusterName(n), TrustDomain: n + ".acme", ExportNamespaces: []string{"shop"}}
	}
	return out
}

func rule(name string, from, namespaces, services, to []string) policy.ExportRule {
	return policy.ExportRule{Name: name, Spec: policy.ExportRuleSpec{From: from, Namespaces: namespaces, Services: services, To: to}}
}

func TestCallers(t *testing.T) {
	shared := members("a", "b", "c")
	shared["c"] = model.Cluster{Name: "c", TrustDomain: "b.acme"}
	tests := []struct {
		name    string
		rules   []policy.ExportRule
		members map[model.ClusterName]model.Cluster
		service model.ServiceKey
		want    []string
	}{
		{"no rule: own domain only", nil, members("a", "b"), pay, []string{"a.acme"}},
		{"named", []policy.ExportRule{rule("r", []string{"a"}, []string{"shop"}, nil, []string{"c"})}, members("a", "b", "c"), pay, []string{"a.acme", "c.acme"}},
		{"all members", []policy.ExportRule{rule("r", []string{"*"}, []string{"*"}, nil, []string{"*"})}, members("a", "b", "c"), pay, []string{"a.acme", "b.acme", "c.acme"}},
		{"named but no member", []policy.ExportRule{rule("r", []string{"a"}, []string{"*"}, nil, []string{"x"})}, members("a", "b"), pay, []string{"a.acme"}},
		{"other origin", []policy.ExportRule{rule("r", []string{"b"}, []string{"*"}, nil, []string{"*"})}, members("a", "b"), pay, []string{"a.acme"}},
		{"token forbids", []policy.ExportRule{rule("r", []string{"a"}, []string{"*"}, nil, []string{"*"})}, members("a", "b"), model.ServiceKey{Namespace: "hr", Name: "x"}, []string{"a.acme"}},
		{"shared domain stands once", []policy.ExportRule{rule("r", []string{"a"}, []string{"*"}, nil, []string{"*"})}, shared, pay, []string{"a.acme", "b.acme"}},
		{"origin is no member", []policy.ExportRule{rule("r", []string{"*"}, []string{"*"}, nil, []string{"*"})}, members("b"), pay, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Callers(tt.rules, tt.members, "a", tt.service); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// A domain is a caller exactly when it is the origin's own or that of a member which the rules let in.
func TestCallersAreThoseWhomRulesName(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	pick := rapid.SliceOfN(rapid.SampledFrom(append([]string{"*"}, names...)), 0, 2)
	rapid.Check(t, func(t *rapid.T) {
		var rules []policy.ExportRule
		for i := range rapid.IntRange(0, 3).Draw(t, "rules") {
			rules = append(rules, rule(fmt.Sprint(i), pick.Draw(t, "from"), []string{rapid.SampledFrom([]string{"shop", "hr", "*"}).Draw(t, "ns")}, nil, pick.Draw(t, "to")))
		}
		m := members(names...)
		got := Callers(rules, m, "a", pay)
		for _, n := range names {
			named := n == "a"
			for _, r := range rules {
				named = named || hit(r.Spec.From, "a") && hit(r.Spec.Namespaces, "shop") && hit(r.Spec.To, n)
			}
			if slices.Contains(got, n+".acme") != named {
				t.Fatalf("caller %s: got %v with rules %+v", n, got, rules)
			}
		}
	})
}

func hit(names []string, name string) bool {
	return slices.Contains(names, "*") || slices.Contains(names, name)
}

func service(identities ...string) model.Record {
	return model.Record{Cluster: "a", Service: &model.ServiceRecord{Service: pay, Identities: identities}}
}

func gateways(g ...model.Gateway) model.Record { return model.Record{Cluster: "a", Gateways: g} }

func gw(address string) model.Gateway {
	return model.Gateway{Name: "g", Address: address, Port: 15443, Locality: model.Locality{Region: "eu"}}
}

func verdicts(cluster string, list ...model.Verdict) model.Record {
	return model.Record{Cluster: "a", Verdicts: &model.VerdictSet{Cluster: model.ClusterName(cluster), Verdicts: list}}
}

func TestCheckRecord(t *testing.T) {
	origin := members("a")["a"]
	open := []policy.ExportRule{rule("open", []string{"a"}, []string{"shop"}, nil, []string{"b"})}
	some := []policy.ExportRule{rule("some", []string{"a"}, []string{"shop"}, []string{"carts"}, []string{"b"})}
	nobody := []policy.ExportRule{rule("nobody", []string{"a"}, []string{"shop"}, nil, nil)}
	good := "spiffe://a.acme/ns/shop/sa/payments"
	hr := service("spiffe://a.acme/ns/hr/sa/x")
	hr.Service.Service.Namespace = "hr"
	both := service(good)
	both.Gateways = []model.Gateway{gw("10.0.0.1")}
	twofold := gateways(gw("10.0.0.1"))
	twofold.Verdicts = &model.VerdictSet{Cluster: "b"}
	foreign := service(good)
	foreign.Cluster = "b"
	exported := func(change func(*model.ServiceRecord)) model.Record {
		r := service()
		e := model.ServiceExport{Service: pay, CreatedAt: time.Unix(1, 0), IPFamilies: []model.IPFamily{model.IPv4}}
		r.Service.Export = &e
		change(r.Service)
		return r
	}
	here := []model.Capacity{{Locality: model.Locality{Region: "eu"}, Ready: 1, Total: 1}}
	noPort, noRegion := gw("10.0.0.1"), gw("10.0.0.1")
	noPort.Port, noRegion.Locality.Region = 0, ""
	tests := []struct {
		name  string
		rules []policy.ExportRule
		rec   model.Record
		want  string // part of the error; empty: accepted
	}{
		{"good", open, service(good), ""},
		{"no rule", nil, service(good), `no export rule opens namespace "shop" of cluster "a": add an ExportRule`},
		{"a rule that opens to nobody", nobody, service(good), `no export rule opens namespace "shop" of cluster "a"`},
		{"a rule for other services", some, service(good), `add it to the services of ExportRule "some"`},
		{"token scope", open, hr, `cluster's join token does not allow exporting namespace "hr"`},
		{"foreign domain", open, service(good, "spiffe://b.acme/ns/shop/sa/payments"), "not the cluster's to claim"},
		{"longer domain", open, service("spiffe://a.acme.evil/ns/shop/sa/payments"), "not the cluster's to claim"},
		{"foreign namespace", open, service("spiffe://a.acme/ns/hr/sa/payments"), "not the cluster's to claim"},
		{"longer path", open, service("spiffe://a.acme/ns/shop/sa/x/y"), "not the cluster's to claim"},
		{"dots", open, service("spiffe://a.acme/ns/shop/sa/.."), "not the cluster's to claim"},
		{"no account", open, service("spiffe://a.acme/ns/shop/sa/"), "not the cluster's to claim"},
		{"no identity", open, service(), "names no server identity"},
		{"an export without pods", open, exported(func(*model.ServiceRecord) {}), ""},
		{"gateways answer", open, exported(func(s *model.ServiceRecord) { s.Terminated, s.Export = here, nil }), ""},
		{"pods with Envoys", open, exported(func(s *model.ServiceRecord) { s.Capacity = here }), "names no server identity"},
		{"an export of another service", open, exported(func(s *model.ServiceRecord) { s.Export.Service.Name = "x" }), "its export is of service"},
		{"a bad export", open, exported(func(s *model.ServiceRecord) { s.Export.IPFamilies = nil }), "export: ipFamilies"},
		{"too many ports", open, exported(func(s *model.ServiceRecord) { s.Ports = make([]model.Port, MaxPorts+1) }), "65 ports"},
		{"a port twice", open, exported(func(s *model.ServiceRecord) {
			s.Ports = []model.Port{{Number: 1}, {Number: 1, Protocol: model.ProtocolTCP}}
		}), "stands twice"},
		{"too many localities", open, exported(func(s *model.ServiceRecord) { s.Terminated = make([]model.Capacity, MaxLocalities+1) }), "more than 256 localities"},
		{"too many identities", open, service(slices.Repeat([]string{good}, MaxIdentities+1)...), "at most 256"},
		{"other cluster's record", open, foreign, `speaks for cluster "b"`},
		{"two contents", open, both, "more than one content"},
		{"gateways need no rule", nil, gateways(gw("10.0.0.1")), ""},
		{"host name", nil, gateways(gw("lb-1.eu.example.com.")), ""},
		{"upper case host name", nil, gateways(gw("LB.Example.com")), ""},
		{"ipv6", nil, gateways(gw("2001:db8::1")), ""},
		{"no gateways", nil, gateways(), ""},
		{"status", nil, model.Record{Cluster: "a", Status: &model.SiteStatus{}}, ""},
		{"verdicts need no rule", nil, verdicts("b", model.Verdict{Gateway: "g", Address: "10.0.0.1", Port: 1}), ""},
		{"no verdicts", nil, verdicts("b"), ""},
		{"verdicts on itself", open, verdicts("a"), `cluster "a" judges its own gateways`},
		{"verdicts on no cluster", open, verdicts("B!"), "verdicts: cluster"},
		{"too many verdicts", open, verdicts("b", slices.Repeat([]model.Verdict{{Gateway: "g", Address: "10.0.0.1", Port: 1}}, MaxVerdicts+1)...), "at most 1024"},
		{"verdict without gateway", nil, verdicts("b", model.Verdict{Address: "10.0.0.1", Port: 1}), "gateway is empty"},
		{"verdict on a name", nil, verdicts("b", model.Verdict{Gateway: "g", Address: "gw.example.com", Port: 1}), "is not an IP address"},
		{"verdict on no port", nil, verdicts("b", model.Verdict{Gateway: "g", Address: "10.0.0.1"}), "port is 0"},
		{"verdict on nowhere", nil, verdicts("b", model.Verdict{Gateway: "g", Address: "0.0.0.0", Port: 1}), "can not be dialled"},
		{"verdict on a zone", nil, verdicts("b", model.Verdict{Gateway: "g", Address: "fe80::1%eth0", Port: 1}), "can not be dialled"},
		{"gateways and verdicts", nil, twofold, "more than one content"},
		{"empty address", nil, gateways(gw("")), "neither an IP address nor a host name"},
		{"misspelt ip", nil, gateways(gw("10.0.0.256")), "neither an IP address nor a host name"},
		{"blank in address", nil, gateways(gw("a b")), "neither an IP address nor a host name"},
		{"unspecified", nil, gateways(gw("0.0.0.0")), "can not be dialled"},
		{"multicast", nil, gateways(gw("224.0.0.1")), "can not be dialled"},
		{"zoned", nil, gateways(gw("fe80::1%eth0")), "can not be dialled"},
		{"no port", nil, gateways(noPort), "port is 0"},
		{"no region", nil, gateways(noRegion), "region is empty"},
		{"same name", nil, gateways(gw("10.0.0.1"), gw("10.0.0.2")), "stands twice"},
		{"too many", nil, gateways(slices.Repeat([]model.Gateway{gw("10.0.0.1")}, MaxGateways+1)...), "at most 64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckRecord(origin, tt.rules, tt.rec)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A member without a trust domain can claim nothing.
func TestNoTrustDomainNoIdentity(t *testing.T) {
	origin := model.Cluster{Name: "a", ExportNamespaces: []string{"*"}}
	rules := []policy.ExportRule{rule("r", []string{"*"}, []string{"*"}, nil, []string{"*"})}
	if CheckRecord(origin, rules, service("spiffe:///ns/shop/sa/x")) == nil {
		t.Error("an identity without a trust domain was accepted")
	}
}

func FuzzCheckRecord(f *testing.F) {
	f.Add("spiffe://a.acme/ns/shop/sa/x", "10.0.0.1")
	origin := members("a")["a"]
	rules := []policy.ExportRule{rule("r", []string{"*"}, []string{"*"}, nil, []string{"*"})}
	f.Fuzz(func(t *testing.T, id, address string) {
		if CheckRecord(origin, rules, service(id)) == nil && !strings.HasPrefix(id, "spiffe://a.acme/ns/shop/sa/") {
			t.Errorf("accepted %q", id)
		}
		_ = CheckRecord(origin, rules, gateways(gw(address)))
	})
}
