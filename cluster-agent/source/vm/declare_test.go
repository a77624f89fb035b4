package vm

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
)

func registration() model.Registration {
	return model.Registration{
		Namespace: "shop", Service: "payments", Address: "10.0.0.9", InboundPort: 15006, Export: true,
		Ports: []model.RegistrationPort{{Name: "http", Number: 80, Protocol: model.ProtocolHTTP}},
	}
}

// write asks for what change makes of a good registration of "old-1".
func write(change func(*model.WorkloadWrite)) model.WorkloadWrite {
	r := registration()
	w := model.WorkloadWrite{Workload: "old-1", Registration: &r, Actor: model.Actor{Name: "ann"}}
	if change != nil {
		change(&w)
	}
	return w
}

func (s *site) declared(change func(*model.WorkloadWrite)) model.WorkloadWritten {
	s.t.Helper()
	out, err := s.Declare(write(change))
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func toEnd(w *model.WorkloadWrite) { w.Registration = nil }

func TestADeclaredWorkloadStaysUntilItIsEnded(t *testing.T) {
	dir := t.TempDir()
	s := newSite(t, dir)
	s.take(true)
	if out := s.declared(func(w *model.WorkloadWrite) { w.DryRun = true }); !out.Changed || out.Before != nil || out.After == nil || len(s.Workloads()) != 0 {
		t.Fatalf("tried: %+v, registered %v", out, s.Workloads())
	}
	out := s.declared(nil)
	u, next := s.take(false)
	if !out.Changed || len(u.Upserts) != 1 || !next.IsZero() {
		t.Fatalf("%+v; %+v, next %v", out, u, next)
	}
	w := u.Upserts[0]
	if w.ID != "old-1" || w.ServiceAccount != "default" || w.Locality.Region != "eu" || w.Ports[0].Target != "127.0.0.1:80" || !w.Available() || !w.Export {
		t.Errorf("registered as %+v", w)
	}
	if again := s.declared(nil); again.Changed || again.After.Version != out.After.Version {
		t.Errorf("the same once more: %+v", again)
	}
	if p := s.Proxies(); len(p) != 1 || !p[0].Declared || p[0].Connected {
		t.Errorf("proxies %+v", p)
	}
	// It outlives the agent, and no grace ends it.
	s = newSite(t, dir)
	s.startGrace()
	s.clock.Advance(time.Hour)
	if u, next := s.take(true); len(u.Upserts) != 1 || !reflect.DeepEqual(u.Upserts[0], w) || !next.IsZero() {
		t.Fatalf("after a restart: %+v, next %v", u, next)
	}
	drained := s.declared(func(w *model.WorkloadWrite) { w.Registration.Draining = true; w.Version = out.After.Version })
	if !drained.Changed || s.Workloads()[0].Available() {
		t.Errorf("drained: %+v", drained)
	}
	s.take(false)
	if out := s.declared(toEnd); !out.Changed || out.After != nil || !out.Before.Draining {
		t.Errorf("toEnd: %+v", out)
	}
	if u, _ := s.take(false); !reflect.DeepEqual(u, source.Update{Removals: []string{"old-1"}}) {
		t.Errorf("after its end: %+v", u)
	}
	if s = newSite(t, dir); len(s.Workloads()) != 0 {
		t.Error("it is back after a restart")
	}
}

func TestWhatMayNotBeDeclared(t *testing.T) {
	s := newSite(t, t.TempDir())
	s.declared(func(w *model.WorkloadWrite) { w.Workload = "there-1" })
	s.attach(s.enrolled("vm-1"), payments())
	s.enrolled("vm-2")
	for name, c := range map[string]struct {
		change func(*model.WorkloadWrite)
		code   model.QueryCode
		says   string
	}{
		"a namespace that is not open": {func(w *model.WorkloadWrite) { w.Registration.Namespace = "bank" }, model.QueryDenied, "--api-workloads bank"},
		"the site's own namespace":     {func(w *model.WorkloadWrite) { w.Registration.Namespace = model.SystemNamespace }, model.QueryDenied, ""},
		"no address":                   {func(w *model.WorkloadWrite) { w.Registration.Address = "web" }, model.QueryInvalid, "address"},
		"no ports":                     {func(w *model.WorkloadWrite) { w.Registration.Ports = nil }, model.QueryInvalid, "no ports"},
		"no service":                   {func(w *model.WorkloadWrite) { w.Registration.Service = "" }, model.QueryInvalid, "service"},
		"no name":                      {func(w *model.WorkloadWrite) { w.Workload = "A/b" }, model.QueryInvalid, "workload"},
		"a proxy's":                    {func(w *model.WorkloadWrite) { w.Workload = "vm-1" }, model.QueryConflict, "registered by its proxy"},
		"the end of a proxy's":         {func(w *model.WorkloadWrite) { toEnd(w); w.Workload = "vm-1" }, model.QueryConflict, "registered by its proxy"},
		"enrolled as another": {func(w *model.WorkloadWrite) { w.Workload = "vm-2"; w.Registration.ServiceAccount = "pay" },
			model.QueryConflict, "enrolled as shop/default"},
		"the end of nothing":   {toEnd, model.QueryNotFound, "no workload"},
		"one that is there":    {func(w *model.WorkloadWrite) { w.Workload = "there-1"; w.Absent = true }, model.QueryMismatch, "exists already"},
		"one that is not":      {func(w *model.WorkloadWrite) { w.Version = model.AnyVersion }, model.QueryMismatch, "does not exist"},
		"one that has changed": {func(w *model.WorkloadWrite) { w.Workload = "there-1"; w.Version = 7 }, model.QueryMismatch, "changed meanwhile"},
	} {
		before := s.Workloads()
		_, err := s.Declare(write(c.change))
		var refused *model.QueryError
		if !errors.As(err, &refused) || refused.Code != c.code || !strings.Contains(refused.Message, c.says) {
			t.Errorf("%s: %v, want %s that says %q", name, err, c.code, c.says)
		}
		if !reflect.DeepEqual(s.Workloads(), before) {
			t.Errorf("%s: refused, and %v became %v", name, before, s.Workloads())
		}
	}
	if _, err := s.Workload("nobody"); err == nil {
		t.Error("a workload that is not there is found")
	}
}

// A proxy's word counts more than an operator's from elsewhere; it still needs a token for that very identity.
func TestAProxyTakesOver(t *testing.T) {
	dir := t.TempDir()
	s := newSite(t, dir)
	s.declared(nil)
	stranger := newMachine(t, "old-1")
	_, err := s.enroll(stranger, s.mint(TokenSpec{Namespace: "web", Services: []string{"payments"}}))
	wantStatus(t, err, codes.AlreadyExists, "registered by an operator as shop/default")
	m := s.enrolled("old-1")
	if w, err := s.Workload("old-1"); err != nil || !w.Declared {
		t.Fatalf("to enrol is not to attach: %+v, %v", w, err)
	}
	l := s.attach(m, payments())
	if w, err := s.Workload("old-1"); err != nil || w.Declared || !w.Connected || w.Registration.Address != "10.0.0.1" {
		t.Fatalf("taken over: %+v, %v", w, err)
	}
	_ = s.flush()
	l.cancel()
	s.until("the stream has toEnd", func() bool { return !s.Attached("old-1") })
	s.clock.Advance(10 * time.Second)
	s.take(false)
	if len(s.Workloads()) != 0 || len(newSite(t, dir).workloads(byOperator)) != 0 {
		t.Error("the operator's registration came back")
	}
}

func TestADamagedFileOfDeclarationsStopsTheSite(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "declared.json"), []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Dir: dir, TrustDomain: domain, Cluster: "hamburg", Signer: &fakeSigner{}, Peer: peerOf}); err == nil || !strings.Contains(err.Error(), "declared.json") {
		t.Errorf("got %v", err)
	}
}
