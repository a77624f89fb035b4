package vm

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
)

func TestRegistrationAndHealthArriveAtOnce(t *testing.T) {
	s := newSite(t, t.TempDir())
	updates, _ := s.run()
	if u := s.next(updates); !u.Full || len(u.Upserts) != 0 {
		t.Fatalf("first update is %+v, want full and empty", u)
	}
	l, welcome, err := s.open(s.enrolled("vm-1"), payments())
	if err != nil {
		t.Fatal(err)
	}
	if welcome.GetCluster() != "hamburg" || welcome.GetTrustDomain() != domain || welcome.GetProtocol() != model.ProtocolMax {
		t.Errorf("welcome is %v", welcome)
	}
	want := payments()
	want.ID, want.ServiceAccount = "vm-1", "default"
	if u := s.next(updates); u.Full || len(u.Upserts) != 1 || !reflect.DeepEqual(u.Upserts[0], want) {
		t.Fatalf("got %+v, want %+v", u, want)
	}
	// The fake clock stands still: nothing here may wait for a timer.
	for i, h := range []model.WorkloadHealth{{Reason: "port closed"}, {Ready: true}, {Ready: true, Draining: true}} {
		l.health(t, h)
		if u := s.next(updates); len(u.Upserts) != 1 || u.Upserts[0].Health != h {
			t.Fatalf("flip %d: got %+v, want %+v", i, u, h)
		}
	}
}

func TestWithdrawRemovesAtOnce(t *testing.T) {
	s := newSite(t, t.TempDir())
	updates, _ := s.run()
	s.next(updates)
	l := s.attach(s.enrolled("vm-1"), payments())
	s.next(updates)
	if err := l.Send(&hansev1.AttachRequest{Message: &hansev1.AttachRequest_Withdraw{Withdraw: &hansev1.Withdraw{}}}); err != nil {
		t.Fatal(err)
	}
	if u := s.next(updates); !reflect.DeepEqual(u, source.Update{Removals: []string{"vm-1"}}) {
		t.Errorf("got %+v, want the removal", u)
	}
	for {
		if _, err := l.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the withdrawn stream ended with %v", err)
		}
	}
}

func TestBrokenStreamWithdrawsAfterTheTTL(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := s.enrolled("vm-1")
	l := s.attach(m, payments())
	s.take(true)
	l.cancel()
	s.until("the stream has ended", func() bool { return !s.Attached("vm-1") })
	s.clock.Advance(10*time.Second - 1)
	if u, next := s.take(false); len(u.Upserts)+len(u.Removals) != 0 || !next.Equal(start.Add(10*time.Second)) {
		t.Fatalf("before the TTL: %+v, next %v", u, next)
	}
	if w := s.Workloads(); len(w) != 1 || !w[0].Health.Ready {
		t.Fatalf("the last health was not kept: %+v", w)
	}
	s.clock.Advance(1)
	if u, _ := s.take(false); !reflect.DeepEqual(u, source.Update{Removals: []string{"vm-1"}}) {
		t.Fatalf("after the TTL: %+v", u)
	}
}

func TestRunRemovesWhatIsDue(t *testing.T) {
	s := newSite(t, t.TempDir())
	updates, _ := s.run()
	s.next(updates)
	l := s.attach(s.enrolled("vm-1"), payments())
	s.next(updates)
	l.cancel()
	s.until("the stream has ended", func() bool { return !s.Attached("vm-1") })
	s.clock.Advance(10 * time.Second)
	if u := s.next(updates); !reflect.DeepEqual(u.Removals, []string{"vm-1"}) {
		t.Errorf("got %+v", u)
	}
}

func TestReturningProxyChangesNothing(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := s.enrolled("vm-1")
	l := s.attach(m, payments())
	s.take(true)
	l.cancel()
	s.until("the stream has ended", func() bool { return !s.Attached("vm-1") })
	s.attach(m, payments())
	s.clock.Advance(time.Hour)
	if u, next := s.take(false); len(u.Upserts)+len(u.Removals) != 0 || !next.IsZero() {
		t.Errorf("got %+v, next %v", u, next)
	}
}

func TestNewerStreamReplacesTheOlder(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := s.enrolled("vm-1")
	older := s.attach(m, payments())
	changed := payments()
	changed.Export = true
	newer := s.attach(m, changed)
	_, err := older.Recv()
	wantStatus(t, err, codes.Aborted, "another proxy")
	s.take(true)
	newer.health(t, model.WorkloadHealth{Reason: "down"})
	s.until("the newer stream counts", func() bool { return !s.Workloads()[0].Health.Ready })
	if !s.Attached("vm-1") || !s.Workloads()[0].Export {
		t.Errorf("the older stream's end touched the newer: %+v", s.Workloads())
	}
}

func TestMessagesOfAReplacedStreamCountForNothing(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := s.enrolled("vm-1")
	who := peer{id: m.id, spiffeID: m.spiffe, keyHash: m.hash}
	w := payments()
	older, newer := newAttachment(m.id), newAttachment(m.id)
	for _, a := range []*attachment{older, newer} {
		if err := s.register(who, a, w); err != nil {
			t.Fatal(err)
		}
	}
	wantStatus(t, s.register(who, older, w), codes.Aborted, "another proxy")
	s.setHealth(older, model.WorkloadHealth{})
	s.withdraw(older)
	s.detach(older)
	if got := s.Workloads(); len(got) != 1 || !got[0].Health.Ready || !s.Attached("vm-1") {
		t.Errorf("the replaced stream changed %+v", got)
	}
}

func TestRegistrationsBeyondTheEnrolment(t *testing.T) {
	s := newSite(t, t.TempDir())
	gateway := &model.WorkloadGateway{Bind: "0.0.0.0:15443", AdvertiseAddress: "10.0.0.1", AdvertisePort: 15443}
	cases := map[string]struct {
		token  TokenSpec
		change func(*model.Workload)
		code   codes.Code
		says   string
	}{
		"as allowed":        {TokenSpec{Namespace: "shop", Services: []string{"x", "payments"}}, nil, codes.OK, ""},
		"any service":       {TokenSpec{Namespace: "shop", Services: []string{AnyService}}, nil, codes.OK, ""},
		"another service":   {TokenSpec{Namespace: "shop", Services: []string{"cart"}}, nil, codes.PermissionDenied, `allows only cart; mint a workload token of namespace "shop" that names service "payments"`},
		"calls only":        {TokenSpec{Namespace: "shop"}, nil, codes.PermissionDenied, "no service (calls only)"},
		"another namespace": {TokenSpec{Namespace: "bank", Services: []string{AnyService}}, nil, codes.PermissionDenied, `namespace "shop"`},
		"not a gateway":     {TokenSpec{Namespace: "shop", Services: []string{AnyService}}, func(w *model.Workload) { w.Gateway = gateway }, codes.PermissionDenied, "gateway"},
		"a gateway": {TokenSpec{Gateway: true}, func(w *model.Workload) {
			*w = model.Workload{Namespace: model.SystemNamespace, Locality: w.Locality, Gateway: gateway}
		}, codes.OK, ""},
		"a caller": {TokenSpec{Namespace: "shop"}, func(w *model.Workload) {
			*w = model.Workload{Namespace: "shop", Locality: w.Locality}
		}, codes.OK, ""},
		"malformed": {TokenSpec{Namespace: "shop", Services: []string{AnyService}}, func(w *model.Workload) { w.Address = "" }, codes.InvalidArgument, "address"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, "vm-1")
			_ = s.Forget("vm-1")
			if _, err := s.enroll(m, s.mint(c.token)); err != nil {
				t.Fatal(err)
			}
			w := payments()
			if c.change != nil {
				c.change(&w)
			}
			_, _, err := s.open(m, w)
			wantStatus(t, err, c.code, c.says)
			if got := s.Attached("vm-1"); got != (c.code == codes.OK) {
				t.Errorf("attached is %v", got)
			}
		})
	}
}

func TestStreamsThatAreNotAdmitted(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := s.enrolled("vm-1")
	stale := *m
	stale.spiffe = "spiffe://hamburg.example/ns/bank/sa/default"
	_, _, err := s.open(&stale, payments())
	wantStatus(t, err, codes.PermissionDenied, "certificate is for spiffe://hamburg.example/ns/bank")
	for name, c := range map[string]struct {
		first *hansev1.AttachRequest
		code  codes.Code
	}{
		"health first": {&hansev1.AttachRequest{Message: &hansev1.AttachRequest_Health{Health: &hansev1.WorkloadHealth{}}}, codes.InvalidArgument},
		"nothing":      {&hansev1.AttachRequest{}, codes.InvalidArgument},
		"future protocol": {&hansev1.AttachRequest{Message: &hansev1.AttachRequest_Registration{Registration: &hansev1.Registration{
			ProtocolMin: model.ProtocolMax + 1, ProtocolMax: model.ProtocolMax + 2,
		}}}, codes.FailedPrecondition},
		"no protocol": {&hansev1.AttachRequest{Message: &hansev1.AttachRequest_Registration{Registration: codec.RegistrationToProto(payments())}}, codes.FailedPrecondition},
	} {
		stream, err := s.client.Attach(m.context(s.ctx))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(c.first)
		_, err = stream.Recv()
		t.Log(name)
		wantStatus(t, err, c.code, "")
	}
}

func TestRestartKeepsRegistrationsForTheGrace(t *testing.T) {
	dir := t.TempDir()
	s := newSite(t, dir)
	updates, stop := s.run()
	s.next(updates)
	for _, id := range []string{"vm-1", "vm-2"} {
		s.attach(s.enrolled(id), payments())
		s.next(updates)
	}
	stop()

	s = newSite(t, dir)
	s.clock.Advance(time.Hour) // the grace counts from Run, however long the agent took to come up
	updates, _ = s.run()
	u := s.next(updates)
	if !u.Full || len(u.Upserts) != 2 || u.Upserts[0].ID != "vm-1" || !u.Upserts[0].Health.Ready {
		t.Fatalf("first update after the restart: %+v", u)
	}
	back := newMachine(t, "vm-2")
	if _, err := s.enroll(back, s.mint(TokenSpec{Namespace: "shop", Services: []string{"payments"}})); err != nil {
		t.Fatal(err)
	}
	s.attach(back, payments())
	s.clock.Advance(30*time.Second - 1)
	if n := len(s.Workloads()); n != 2 {
		t.Fatalf("%d workloads are left within the grace, want 2", n)
	}
	s.clock.Advance(1)
	if u := s.next(updates); !reflect.DeepEqual(u, source.Update{Removals: []string{"vm-1"}}) {
		t.Errorf("after the grace: %+v", u)
	}
}

func TestDamagedRegistrationsAreLeftOut(t *testing.T) {
	for content, want := range map[string]int{"{half": 0, `[{"id":"vm-1"}]`: 0, `[{"id":"vm-1","namespace":"shop","serviceAccount":"a","locality":{"region":"eu"}},{}]`: 1} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "registrations.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := len(newSite(t, dir).Workloads()); n != want {
			t.Errorf("%s: %d workloads, want %d", content, n, want)
		}
	}
}

func TestReportsAndProblems(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := s.enrolled("vm-1")
	l := s.attach(m, payments())
	if !s.EarliestExpiry().IsZero() {
		t.Error("an expiry is known before any report")
	}
	expiry := start.Add(time.Hour)
	report := &hansev1.ProxyReport{
		EnvoyVersion: "1.36.0", CertificateExpiry: timestamppb.New(expiry),
		Nacks: []*hansev1.Nack{{TypeUrl: "t", Reason: "r", At: timestamppb.New(start)}},
	}
	if got := s.Reports(); len(got) != 1 || !reflect.DeepEqual(got[0], Report{Workload: "vm-1", Connected: true}) {
		t.Errorf("before the first report: %+v", got)
	}
	if err := l.Send(&hansev1.AttachRequest{Message: &hansev1.AttachRequest_Report{Report: report}}); err != nil {
		t.Fatal(err)
	}
	s.until("the report is in", func() bool { return s.EarliestExpiry().Equal(expiry) })
	want := []model.ProxyStatus{{
		Workload: "vm-1", Connected: true, Ready: true, EnvoyVersion: "1.36.0",
		Nacks: []model.Nack{{TypeURL: "t", Reason: "r", At: start}},
	}}
	if got := s.Proxies(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	told := Report{Workload: "vm-1", Connected: true, CertificateExpiry: expiry, Nacks: want[0].Nacks}
	if got := s.Reports(); !reflect.DeepEqual(got, []Report{told}) {
		t.Errorf("an older proxy's report: %+v", got)
	}
	set := strings.Repeat("s", maxText)
	report.Acknowledged = &hansev1.Acknowledgement{Set: set + "more"}
	if err := l.Send(&hansev1.AttachRequest{Message: &hansev1.AttachRequest_Report{Report: report}}); err != nil {
		t.Fatal(err)
	}
	s.until("the proxy tells what its Envoy follows", func() bool { return s.Reports()[0].Acknowledged != nil })
	if told.Acknowledged = &set; !reflect.DeepEqual(s.Reports(), []Report{told}) {
		t.Errorf("a proxy's report: %+v", s.Reports())
	}

	wantProblems := func(l *link, want ...string) {
		t.Helper()
		m, err := l.Recv()
		if err != nil || !reflect.DeepEqual(m.GetProblems().GetProblems(), want) {
			t.Fatalf("got %v, %v, want %q", m, err, want)
		}
	}
	s.SendProblems("vm-1", []string{"a"})
	wantProblems(l, "a")
	s.SendProblems("vm-1", []string{"a"})
	s.SendProblems("vm-1", []string{"b"})
	wantProblems(l, "b")
	s.SendProblems("unknown", []string{"c"})
	again := s.attach(m, payments())
	wantProblems(again, "b")
	s.SendProblems("vm-1", nil)
	wantProblems(again)
}

func TestForgetEndsTheStream(t *testing.T) {
	s := newSite(t, t.TempDir())
	l := s.attach(s.enrolled("vm-1"), payments())
	if err := s.Forget("vm-1"); err != nil {
		t.Fatal(err)
	}
	_, err := l.Recv()
	wantStatus(t, err, codes.PermissionDenied, "removed by an operator")
	if w := s.Workloads(); len(w) != 0 {
		t.Errorf("still registered: %+v", w)
	}
}

// Whatever a proxy with a valid certificate sends, the site neither panics nor lets a workload go beyond its enrolment.
func TestJunkNeverEscapesTheEnrolment(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := s.enrolled("vm-1")
	who := peer{id: m.id, spiffeID: m.spiffe, keyHash: m.hash}
	r := codec.RegistrationToProto(payments())
	seed, err := proto.Marshal(&hansev1.AttachRequest{Message: &hansev1.AttachRequest_Registration{Registration: r}})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		data := append([]byte(nil), seed...)
		for range rapid.IntRange(0, 6).Draw(t, "flips") {
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		var message hansev1.AttachRequest
		if proto.Unmarshal(data, &message) != nil {
			return
		}
		_, _ = s.handle(who, newAttachment(m.id), &message)
		for _, w := range s.Workloads() {
			if w.ID != "vm-1" || w.Namespace != "shop" || w.Serves() && w.Service.Name != "payments" || w.Gateway != nil {
				t.Fatalf("registered %+v", w)
			}
		}
	})
}
