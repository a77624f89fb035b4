package main

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/cluster-agent/source/kube"
	"github.com/hanse-mesh/hanse/cluster-agent/uplink"
	"github.com/hanse-mesh/hanse/trust/records"
)

// paper is an API server on which plans are written.
type paper struct {
	mu      sync.Mutex
	plans   []mcs.Plan
	fails   error
	changed chan struct{}
	wrote   chan struct{}
}

func newPaper() *paper {
	return &paper{changed: make(chan struct{}, 1), wrote: make(chan struct{}, 100)}
}

func (p *paper) Apply(_ context.Context, plan mcs.Plan) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.wrote <- struct{}{} }()
	if p.fails != nil {
		return p.fails
	}
	p.plans = append(p.plans, plan)
	return nil
}

func (p *paper) Changed() <-chan struct{} { return p.changed }

func (p *paper) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = err
}

// kubeSite is a Kubernetes cluster under test in which namespace shop exports service cart.
type kubeSite struct {
	*site
	paper    *paper
	importer *importer
	facts    kube.Facts
	known    bool
}

func newKubeSite(t *testing.T, dir string, own peer) *kubeSite {
	t.Helper()
	k := &kubeSite{site: siteOf(t, dir, own, fromProxies, fromKubernetes), paper: newPaper(), known: true}
	cart := exportOf("cart")
	cart.Ports = []model.Port{{Name: "http", Number: 8080, Protocol: model.ProtocolHTTP}}
	k.facts = kube.Facts{
		Namespaces: map[string]bool{"shop": true}, Families: []string{"IPv4"}, Egress: []mcs.Egress{{Address: "10.0.0.9", Ready: true}},
		Exports: []mcs.LocalExport{{Service: cart.Service, Export: &cart}},
	}
	k.source(fromProxies, all())
	k.source(fromKubernetes, source.Update{Full: true, Exports: []model.ServiceExport{cart}})
	k.importer = &importer{
		core: k.siteCore, facts: func() (kube.Facts, bool) { return k.facts, k.known }, factsChanged: make(chan struct{}),
		writer: k.paper, clock: k.site.clock, logger: k.log.logger(),
	}
	return k
}

// pass is what one look leads to.
func (k *kubeSite) pass(t *testing.T) mcs.Plan {
	t.Helper()
	done, err := k.importer.pass(t.Context())
	if err != nil || !done || len(k.paper.plans) == 0 {
		t.Fatalf("nothing was written: %v, %v", done, err)
	}
	return k.paper.plans[len(k.paper.plans)-1]
}

func (k *kubeSite) waits(t *testing.T, why string) {
	t.Helper()
	if done, err := k.importer.pass(t.Context()); done || err != nil || len(k.paper.plans) > 0 {
		t.Fatalf("%s, and yet something was written: %v, %v", why, done, err)
	}
}

func ready(p mcs.Plan, k model.ServiceKey) metav1.Condition {
	for _, c := range p.Conditions[k] {
		if c.Type == string(mcsv1beta1.ServiceExportConditionReady) {
			return c
		}
	}
	return metav1.Condition{}
}

func imports(p mcs.Plan) (names []string) {
	for _, i := range p.Imports {
		names = append(names, i.Namespace+"/"+i.Name)
	}
	return names
}

func TestNothingIsTakenBackThatIsMerelyUnknown(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	k := newKubeSite(t, t.TempDir(), own)
	k.known = false
	k.State(open(view(t, own, us)).Proto(false))
	k.Connected("n1", true)
	k.waits(t, "the API server has not told everything")
	k.known = true
	k.waits(t, "the other member has not been heard")
	k.Import(us.offers(t, 1, "pay"))
	if got := imports(k.pass(t)); !slices.Equal(got, []string{"shop/cart", "shop/pay"}) {
		t.Errorf("imports %q", got)
	}
}

func TestAMemberThatNeverSaysAnythingIsNotWaitedForForever(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	k := newKubeSite(t, t.TempDir(), own)
	k.State(open(view(t, own, us)).Proto(false))
	k.Connected("n1", true)
	k.site.clock.Advance(settleTime - time.Second)
	k.waits(t, "the other member may be heard yet")
	k.site.clock.Advance(time.Second)
	if got := imports(k.pass(t)); !slices.Equal(got, []string{"shop/cart"}) {
		t.Errorf("imports %q", got)
	}
}

func TestARestartWithoutTheFederationGoesOn(t *testing.T) {
	own, us, dir := newPeer(t, "eu", 1), newPeer(t, "us", 2), t.TempDir()
	before := newKubeSite(t, dir, own)
	before.State(open(view(t, own, us)).Proto(false))
	before.Import(us.offers(t, 1, "pay"))
	before.pass(t)
	ports := maps.Clone(before.egress)
	before.save()
	after := newKubeSite(t, dir, own)
	if err := after.load(); err != nil {
		t.Fatal(err)
	}
	if got := imports(after.pass(t)); !slices.Equal(got, []string{"shop/cart", "shop/pay"}) {
		t.Errorf("imports %q", got)
	}
	if len(ports) != 2 || !maps.Equal(after.egress, ports) {
		t.Errorf("egress ports %v, before the restart %v", after.egress, ports)
	}
}

func TestEgressPortsComeBackFromTheAPIServer(t *testing.T) {
	own := newPeer(t, "eu", 1)
	k := newKubeSite(t, t.TempDir(), own)
	k.State(open(view(t, own)).Proto(false))
	held := mcs.PortKey{Service: cartKey, Number: 8080}
	k.recoverEgress(map[mcs.PortKey]uint16{held: 23456})
	k.pass(t)
	if k.egress[held] != 23456 {
		t.Errorf("egress port %d", k.egress[held])
	}
	in, _ := k.inputs()
	if len(in.EgressPorts) != 1 || len(in.OwnExports) != 1 {
		t.Errorf("the snapshot is derived from egress ports %v and exports %v", in.EgressPorts, in.OwnExports)
	}
	// A service that is gone keeps its port for its return.
	k.source(fromKubernetes, source.Update{Unexported: []model.ServiceKey{cartKey}})
	k.facts.Exports = nil
	k.pass(t)
	if k.egress[held] != 23456 {
		t.Errorf("the port of a service that is gone is %d", k.egress[held])
	}
}

func TestRefusalsStandAtTheExport(t *testing.T) {
	own := newPeer(t, "eu", 1)
	k := newKubeSite(t, t.TempDir(), own)
	k.State(view(t, own).Proto(false))
	if c := ready(k.pass(t), cartKey); c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "no export rule opens it") {
		t.Errorf("without a rule: %+v", c)
	}
	if in, _ := k.inputs(); len(in.OwnExports) != 1 {
		// The loop, which this test does not run, leaves refused exports out.
		t.Errorf("own exports %v", in.OwnExports)
	}
	next := open(view(t, own))
	next.Index++
	k.State(next.Proto(false))
	if c := ready(k.pass(t), cartKey); c.Status != metav1.ConditionTrue {
		t.Errorf("with a rule: %+v", c)
	}
	k.Refused([]uplink.Refusal{{Key: model.RecordKey(cartKey), Reason: "too much"}})
	if c := ready(k.pass(t), cartKey); c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "too much") {
		t.Errorf("refused by a node: %+v", c)
	}
}

func TestASiteWithoutKubernetesIsImportedToo(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	k := newKubeSite(t, t.TempDir(), own)
	k.State(open(view(t, own, us)).Proto(false))
	b := us.offers(t, 1)
	service := model.ServiceRecord{
		Service: model.ServiceKey{Namespace: "shop", Name: "vm"}, Identities: []string{model.WorkloadID(us.TrustDomain, "shop", "vm")},
		Ports:    []model.Port{{Number: 80, Protocol: model.ProtocolHTTP}, {Name: "db", Number: 81, Protocol: model.ProtocolTCP}},
		Capacity: []model.Capacity{{Locality: model.Locality{Region: "us"}, Ready: 1, Total: 1}},
	}
	signed, err := records.Sign(us.agent, model.Record{Cluster: us.Name, Version: b.To, Service: &service})
	if err != nil {
		t.Fatal(err)
	}
	b.Upserts = append(b.Upserts, signed)
	k.Import(b)
	p := k.pass(t)
	i := slices.IndexFunc(p.Imports, func(i *mcsv1beta1.ServiceImport) bool { return i.Name == "vm" })
	if i < 0 || len(p.Imports[i].Spec.Ports) != 2 || p.Imports[i].Spec.Ports[0].Name != "port-80" {
		t.Fatalf("imports %q: %+v", imports(p), p.Imports)
	}
	if service.Ports[0].Name != "" {
		t.Error("the record was changed")
	}
}

// While the API server is away for minutes nothing is lost: what changed meanwhile is written when it is back.
func TestImportsOutliveTheAPIServer(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	k := newKubeSite(t, t.TempDir(), own)
	k.State(open(view(t, own, us)).Proto(false))
	k.Import(us.offers(t, 1, "pay"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.importer.run(ctx) }()
	// advance lets time pass until the importer has written n times.
	advance := func(n int) {
		for deadline := patience(t); n > 0; {
			select {
			case <-k.paper.wrote:
				n--
			case <-deadline.Done():
				t.Fatal("nothing is written")
			default:
				k.site.clock.Advance(time.Second)
				runtime.Gosched()
			}
		}
	}
	advance(1)
	k.paper.fail(errors.New("connection refused"))
	k.Import(us.offers(t, 2, "pay", "search"))
	advance(8)
	if n := k.log.count("written later"); n != 1 {
		t.Errorf("one trouble is logged %d times", n)
	}
	k.paper.fail(nil)
	advance(1)
	cancel()
	<-done
	k.paper.mu.Lock()
	defer k.paper.mu.Unlock()
	if got := imports(k.paper.plans[len(k.paper.plans)-1]); !slices.Equal(got, []string{"shop/cart", "shop/pay", "shop/search"}) {
		t.Errorf("imports %q", got)
	}
	if deref(k.importer.trouble.Load()) != "" || k.log.count("written again") != 1 {
		t.Errorf("the trouble is not over: %q", deref(k.importer.trouble.Load()))
	}
}
