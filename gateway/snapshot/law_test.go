package snapshot

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
)

var (
	genKey = rapid.Custom(func(t *rapid.T) model.ServiceKey {
		return model.ServiceKey{Namespace: rapid.SampledFrom([]string{"shop", "hr"}).Draw(t, "namespace"), Name: rapid.SampledFrom([]string{"pay", "cart"}).Draw(t, "name")}
	})
	genPort = rapid.Custom(func(t *rapid.T) model.Port {
		return port(rapid.Uint16Range(80, 82).Draw(t, "number"), rapid.SampledFrom([]string{"", "http", "raw"}).Draw(t, "name"),
			rapid.SampledFrom([]model.Protocol{"", model.ProtocolTCP, model.ProtocolHTTP, model.ProtocolUDP, model.ProtocolSCTP}).Draw(t, "protocol"))
	})
	genLocality    = rapid.SampledFrom([]model.Locality{euA, euB, usA})
	genEgressPorts = rapid.MapOfN(rapid.Custom(func(t *rapid.T) EgressPort {
		return EgressPort{genKey.Draw(t, "service"), rapid.Uint16Range(80, 82).Draw(t, "number"), rapid.Bool().Draw(t, "udp")}
	}), rapid.Uint16Range(20000, 20010), 0, 4)
	genNames = rapid.SliceOfN(rapid.SampledFrom([]string{"*", "a", "b", "c"}), 0, 2)
)

// genPorts are ports as a record may have them: no socket and no name stands twice.
func genPorts(t *rapid.T, least, most int) (out []model.Port) {
	for _, p := range rapid.SliceOfN(genPort, least, most).Draw(t, "ports") {
		if model.ValidatePorts(append(slices.Clone(out), p)) == nil {
			out = append(out, p)
		}
	}
	return out
}

// genExport is an export of a service, or none.
func genExport(t *rapid.T, k model.ServiceKey, ports ...model.Port) *model.ServiceExport {
	if rapid.Bool().Draw(t, "by the API") {
		return nil
	}
	return &model.ServiceExport{Service: k, CreatedAt: time.Unix(int64(rapid.IntRange(1, 3).Draw(t, "age")), 0), Ports: ports, IPFamilies: []model.IPFamily{model.IPv4},
		SessionAffinity: rapid.SampledFrom([]string{"", "None", "ClientIP"}).Draw(t, "affinity")}
}

func genInputs(t *rapid.T) Inputs {
	in := Inputs{Federation: "acme", Cluster: "a", TrustDomain: "a.acme", Members: members(member("a", 3), member("b", 2), member("c", 1)),
		Gateways: map[model.ClusterName][]route.GatewayPoint{}, VIPs: map[model.ServiceKey]netip.Addr{pay: netip.MustParseAddr("127.64.0.1")}}
	for i := range rapid.IntRange(0, 5).Draw(t, "workloads") {
		w := workload(fmt.Sprint("w", i), genKey.Draw(t, "service"), genLocality.Draw(t, "locality"), rapid.SliceOfN(genPort, 0, 2).Draw(t, "ports")...)
		w.Address = fmt.Sprint("10.0.0.", rapid.IntRange(1, 4).Draw(t, "address"))
		w.Export, w.Health.Ready = rapid.Bool().Draw(t, "export"), rapid.Bool().Draw(t, "ready")
		if w.Plain = rapid.Bool().Draw(t, "plain"); w.Plain {
			w.InboundPort = 0
			for j := range w.Ports {
				w.Ports[j].Target = rapid.SampledFrom([]string{w.Address + ":8080", w.Address + ":8081", "[2001:db8::1]:8080", "pod:8080"}).Draw(t, "target")
			}
		}
		w.Upstreams = []model.Upstream{{Service: genKey.Draw(t, "upstream"), Port: rapid.SampledFrom([]string{"", "80", "http"}).Draw(t, "port"), Bind: "127.0.0.1:1"}}
		in.Workloads = append(in.Workloads, w)
	}
	for range rapid.IntRange(0, 6).Draw(t, "imports") {
		imp := imported1(rapid.SampledFrom([]string{"a", "b", "c", "x"}).Draw(t, "cluster"), genKey.Draw(t, "service"),
			genLocality.Draw(t, "locality"), rapid.Uint32Range(0, 3).Draw(t, "ready"), genPorts(t, 1, 3)...)
		if imp.Record.Export = genExport(t, imp.Record.Service, imp.Record.Ports...); imp.Record.Export != nil {
			imp.Record.Terminated = []model.Capacity{{Locality: genLocality.Draw(t, "pods in"), Ready: rapid.Uint32Range(0, 2).Draw(t, "pods"), Total: 2}}
		}
		in.Imports = append(in.Imports, imp)
	}
	for _, k := range rapid.SliceOfNDistinct(genKey, 0, 2, rapid.ID).Draw(t, "exports") {
		if e := genExport(t, k, genPorts(t, 0, 2)...); e != nil {
			in.OwnExports = append(in.OwnExports, *e)
		}
	}
	in.EgressPorts = genEgressPorts.Draw(t, "egress")
	for i, c := range []model.ClusterName{"b", "c"} {
		in.Gateways[c] = []route.GatewayPoint{{Address: fmt.Sprint("192.0.2.", i), Port: 1}, {Address: fmt.Sprint("192.0.3.", i), Port: 1}}
	}
	if rapid.Bool().Draw(t, "open") {
		in.Exports = openAll()
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "rules") {
		in.Exports = append(in.Exports, policy.ExportRule{Name: fmt.Sprint(i), Spec: policy.ExportRuleSpec{From: genNames.Draw(t, "from"),
			Namespaces: []string{rapid.SampledFrom([]string{"*", "shop"}).Draw(t, "opens")}, To: genNames.Draw(t, "to")}})
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "bundles") {
		in.Bundles = append(in.Bundles, model.Bundle{TrustDomain: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "domain"), Sequence: 1, Roots: [][]byte{{byte(i)}}})
	}
	return in
}

func shuffle(t *rapid.T, in Inputs) Inputs {
	in.Workloads = rapid.Permutation(in.Workloads).Draw(t, "workload order")
	in.Imports = rapid.Permutation(in.Imports).Draw(t, "import order")
	in.Exports = rapid.Permutation(in.Exports).Draw(t, "rule order")
	in.OwnExports = rapid.Permutation(in.OwnExports).Draw(t, "export order")
	in.Bundles = rapid.Permutation(in.Bundles).Draw(t, "bundle order")
	gateways := map[model.ClusterName][]route.GatewayPoint{}
	for _, c := range []model.ClusterName{"b", "c"} {
		gateways[c] = rapid.Permutation(in.Gateways[c]).Draw(t, "gateway order")
	}
	in.Gateways = gateways
	return in
}

func TestOrderOfInputsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInputs(t)
		want := Build(in)
		if got := Build(shuffle(t, in)); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

func TestSnapshotsAreConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInputs(t)
		s := Build(in)
		snis := map[string]bool{}
		for i, p := range s.Services {
			if i > 0 && s.Services[i-1].SNI >= p.SNI {
				t.Fatalf("services are not sorted: %s", p.SNI)
			}
			checkVerifiable(t, p)
			snis[p.SNI] = true
		}
		for _, w := range s.Workloads {
			if len(w.Calls)+len(w.Problems) != len(w.Upstreams) {
				t.Fatalf("an upstream is neither offered nor a problem: %+v", w)
			}
			for _, c := range w.Calls {
				if !snis[c.SNI] {
					t.Fatalf("call to %s, which is no service port", c.SNI)
				}
			}
		}
	})
}

// checkVerifiable verifies that a service port has endpoints only of those kinds that it says how to verify: none is ever called in the clear
// that should not be.
func checkVerifiable(t *rapid.T, p *ServicePort) {
	if !p.Port.Protocol.Carried() {
		t.Fatalf("%s is offered, but nothing carries %s", p.SNI, p.Port.Protocol)
	}
	if !slices.IsSorted(p.Identities) || !slices.IsSorted(p.Terminators) {
		t.Fatalf("identities of %s: %v, %v", p.SNI, p.Identities, p.Terminators)
	}
	for _, a := range p.Assignments {
		for _, e := range endpointsOf(a.Assignment) {
			known := map[route.Via]bool{
				route.ViaEnvoy: len(p.Identities) > 0, route.ViaTerminated: len(p.Terminators) > 0 && e.Gateway, route.ViaPlain: p.Plain && !e.Gateway,
			}
			if !known[e.Via] || p.Port.Protocol == model.ProtocolUDP && e.Via == route.ViaEnvoy {
				t.Fatalf("%s has endpoint %+v, and identities %v, %v, plain %v", p.SNI, e, p.Identities, p.Terminators, p.Plain)
			}
		}
	}
}

func endpointsOf(a route.Assignment) (out []route.Endpoint) {
	for _, p := range a.Priorities {
		for _, g := range p.Groups {
			out = append(out, g.Endpoints...)
		}
	}
	return out
}

func TestNothingUnexportedLeaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInputs(t)
		s := Build(in)
		open := map[string]bool{}
		for _, w := range in.Workloads {
			for _, p := range w.Ports {
				switch {
				case !w.Export || !policy.Exported(in.Exports, in.Members["a"], w.Service):
				case w.Plain:
					open[model.TerminatedSNI(w.Service, p.Port)+" "+p.Target] = true
				default:
					open[model.PassthroughSNI(w.Service, p.Number)+" "+w.Address+":15008"] = true
				}
			}
		}
		reaches := func(sni string, list []route.Endpoint, via route.Via) {
			for _, e := range list {
				if !open[sni+" "+netip.AddrPortFrom(netip.MustParseAddr(e.Address), e.Port).String()] || e.Via != via {
					t.Fatalf("%s leads to %+v", sni, e)
				}
			}
		}
		for _, p := range s.Passthrough {
			reaches(p.SNI, p.Endpoints, route.ViaEnvoy)
		}
		for _, p := range s.Terminated {
			reaches(p.SNI, p.Endpoints, route.ViaPlain)
			k := keyOf(p.SNI)
			for _, domain := range p.Callers {
				if name := model.ClusterName(domain[:1]); name != "a" && !policy.Exports(in.Exports, in.Members["a"], k, name) {
					t.Fatalf("%s admits %s, which no rule names", p.SNI, domain)
				}
			}
			if !policy.Exported(in.Exports, in.Members["a"], k) {
				t.Fatalf("%s is answered and no rule opens it", p.SNI)
			}
		}
		for _, w := range s.Workloads {
			for _, domain := range w.Callers {
				name := model.ClusterName(domain[:1])
				if name != "a" && !(w.Export && policy.Exports(in.Exports, in.Members["a"], w.Service, name)) {
					t.Fatalf("%s admits %s, which no rule names", w.ID, domain)
				}
			}
		}
	})
}

// keyOf reads a server name.
func keyOf(sni string) model.ServiceKey {
	parts := strings.Split(sni, ".")
	return model.ServiceKey{Name: parts[2], Namespace: parts[3]}
}

func TestReuseKeepsUnchangedParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInputs(t)
		prev := Build(in)
		if got := Reuse(prev, Build(in)); got != prev {
			t.Fatal("nothing changed, but the snapshot is another")
		}
		changed := genInputs(t)
		if rapid.Bool().Draw(t, "small change") {
			changed = in
			changed.Workloads = in.Workloads[:len(in.Workloads)/2]
			changed.Imports = in.Imports[len(in.Imports)/2:]
		}
		fresh, next := Build(changed), Build(changed)
		got := Reuse(prev, next)
		if !reflect.DeepEqual(got, fresh) {
			t.Fatalf("reuse changed the content: got %+v, want %+v", got, fresh)
		}
		old := map[string]*ServicePort{}
		for _, p := range prev.Services {
			old[p.Digest] = p
		}
		for _, p := range got.Services {
			if o := old[p.Digest]; o != nil && o != p {
				t.Fatalf("%s is equal, but another pointer", p.SNI)
			}
		}
		workloads := map[string]*Workload{}
		for _, w := range prev.Workloads {
			workloads[w.Digest] = w
		}
		for _, w := range got.Workloads {
			if o := workloads[w.Digest]; o != nil && o != w {
				t.Fatalf("%s is equal, but another pointer", w.ID)
			}
		}
		answered := map[string]*Terminated{}
		for _, p := range prev.Terminated {
			answered[p.Digest] = p
		}
		for _, p := range got.Terminated {
			if o := answered[p.Digest]; o != nil && o != p {
				t.Fatalf("%s is equal, but another pointer", p.SNI)
			}
		}
		if prev.Trust.Digest == got.Trust.Digest && prev.Trust != got.Trust {
			t.Fatal("the trust is equal, but another pointer")
		}
	})
}

func TestReuseOfNothing(t *testing.T) {
	s := Build(base())
	if Reuse(nil, s) != s {
		t.Error("the first snapshot is not taken as it is")
	}
}
