package server

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/feed"
	"github.com/hanse-mesh/hanse/federation/state"
)

func TestImportsFollowRules(t *testing.T) {
	f := newFederation(t)
	a, b := f.join("alpha"), f.join("beta")
	from, to := f.connect(t, "n1", a, "i1"), f.connect(t, "n2", b, "i2")
	f.putRule("all", toAll)
	from.publish(nil, from.service("shop", "cart"), from.service("shop", "pay"), gateways(), model.Record{Status: &model.SiteStatus{AgentVersion: "v1"}})
	to.sees("alpha", model.GatewaysKey, serviceKey("cart"), serviceKey("pay"))
	before := to.held["alpha"][serviceKey("cart")]

	f.putRule("all", `{"from":["alpha"],"namespaces":["shop"],"services":["cart"],"to":["beta"]}`)
	to.sees("alpha", model.GatewaysKey, serviceKey("cart"))
	from.publish(func(b *hansev1.Batch) { b.Removals = []string{serviceKey("pay")} }, from.service("shop", "cart"))
	to.until("the new cart", func() bool { return to.held["alpha"][serviceKey("cart")] != before })

	f.propose(state.DeletePolicy{Kind: "ExportRule", Name: "all"})
	to.until("alpha is dropped", func() bool { return to.held["alpha"] == nil })
	f.putRule("others", `{"from":["alpha"],"namespaces":["shop"],"to":["gamma"]}`)
	f.putRule("all", toAll)
	to.sees("alpha", model.GatewaysKey, serviceKey("cart"))

	to.send(&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Resync{Resync: &hansev1.ImportResync{Origin: "alpha"}}})
	again := find(to, (*hansev1.SessionResponse).GetImport)
	if !again.GetFull() || len(again.GetUpserts()) != 2 {
		t.Fatalf("asked for the full state, got %v", again)
	}
	to.send(&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Resync{Resync: &hansev1.ImportResync{Origin: "nobody"}}})
	if d := find(to, (*hansev1.SessionResponse).GetDropped); d.GetOrigin() != "nobody" {
		t.Fatalf("dropped %v", d)
	}
	f.propose(state.RemoveCluster{Name: "alpha"})
	to.until("alpha is dropped", func() bool { return to.held["alpha"] == nil })
}

func TestConfirmationsReachImporters(t *testing.T) {
	f := newFederation(t)
	f.putRule("all", toAll)
	from, to := f.connect(t, "n1", f.join("alpha"), "i1"), f.connect(t, "n1", f.join("beta"), "i2")
	from.publish(nil, from.service("shop", "cart"))
	to.sees("alpha", serviceKey("cart"))
	from.send(&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Batch{Batch: &hansev1.Batch{
		Origin: "alpha", From: codec.VersionToProto(from.version), To: codec.VersionToProto(from.version), Instance: "i1", ProducedAt: timestamppb.New(start.Add(feed.FreshEvery)),
	}}})
	refreshed := find(to, (*hansev1.SessionResponse).GetImport)
	if refreshed.GetFull() || len(refreshed.GetUpserts()) != 0 || !refreshed.GetProducedAt().AsTime().Equal(start.Add(feed.FreshEvery)) {
		t.Fatalf("got %v", refreshed)
	}
}

func TestRefusedRecordsAreReportedAndHidden(t *testing.T) {
	f := newFederation(t)
	f.putRule("all", `{"from":["*"],"namespaces":["*"],"to":["*"]}`)
	a := f.join("alpha")
	from, to := f.connect(t, "n1", a, "i1"), f.connect(t, "n1", f.join("beta"), "i2")
	stolen := from.service("shop", "pay")
	stolen.Service.Identities = []string{model.WorkloadID("beta.acme", "shop", "pay")}
	forged := from.sign(from.service("shop", "forged"))
	forged.Signature[10] ^= 1
	from.publish(func(b *hansev1.Batch) { b.Upserts = append(b.Upserts, forged) },
		from.service("shop", "cart"), stolen, from.service("secret", "vault"))
	refused := find(from, (*hansev1.SessionResponse).GetRefused)
	got := map[string]string{}
	for _, r := range refused.GetRefusals() {
		got[r.GetKey()] = r.GetReason()
	}
	vault := model.RecordKey(model.ServiceKey{Namespace: "secret", Name: "vault"})
	for key, say := range map[string]string{serviceKey("pay"): "beta.acme", serviceKey("forged"): "signature", vault: "secret"} {
		if !strings.Contains(got[key], say) {
			t.Errorf("refusal of %s is %q, which does not say %q", key, got[key], say)
		}
	}
	to.sees("alpha", serviceKey("cart"))
	if r := f.nodes["n1"].Refusals("alpha"); len(r) != 3 {
		t.Fatalf("refusals %+v", r)
	}
	from.publish(nil, from.service("shop", "pay"))
	to.sees("alpha", serviceKey("cart"), serviceKey("pay"))
	if r := f.nodes["n1"].Refusals("alpha"); len(r) != 2 {
		t.Fatalf("refusals %+v", r)
	}
	// What no rule opens is refused, until one does.
	f.propose(state.DeletePolicy{Kind: "ExportRule", Name: "all"})
	for len(find(from, (*hansev1.SessionResponse).GetRefused).GetRefusals()) != 4 {
	}
	f.putRule("all", toAll)
	for len(find(from, (*hansev1.SessionResponse).GetRefused).GetRefusals()) != 2 {
	}
	to.sees("alpha", serviceKey("cart"), serviceKey("pay"))
}

func TestBatchesThatEndTheSession(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*hansev1.Batch)
		code   codes.Code
		say    []string
	}{
		"of another cluster":     {func(b *hansev1.Batch) { b.Origin = "beta" }, codes.PermissionDenied, []string{"alpha", "beta"}},
		"of another process":     {func(b *hansev1.Batch) { b.Instance = "i9" }, codes.InvalidArgument, []string{"i9", "i1"}},
		"of another incarnation": {func(b *hansev1.Batch) { b.To.Incarnation++ }, codes.FailedPrecondition, []string{"incarnation"}},
		"malformed":              {func(b *hansev1.Batch) { b.Removals = []string{"x"} }, codes.InvalidArgument, nil},
		"leading backwards":      {func(b *hansev1.Batch) { b.Full, b.From.Epoch, b.From.Seq = false, b.To.Epoch, 9 }, codes.InvalidArgument, []string{"backwards"}},
		"of too many records": {func(b *hansev1.Batch) {
			for i := range codec.MaxBatchRecords + 1 {
				b.Upserts = append(b.Upserts, &hansev1.SignedRecord{Key: serviceKey(fmt.Sprint("s", i))})
			}
		}, codes.InvalidArgument, []string{"more than"}},
		"of a negative sequence": {func(b *hansev1.Batch) { b.To.Seq = 1<<64 - 1 }, codes.InvalidArgument, []string{"negative"}},
		"without an origin":      {func(b *hansev1.Batch) { b.Reset() }, codes.InvalidArgument, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFederation(t)
			f.join("beta")
			l := f.connect(t, "n1", f.join("alpha"), "i1")
			l.publish(c.change)
			refusedWith(t, l.ended(), c.code, c.say...)
			if o := f.store.Origins(); len(o) != 0 {
				t.Fatalf("the batch was taken: %+v", o)
			}
		})
	}
}

func TestGapAsksForTheFullState(t *testing.T) {
	f := newFederation(t)
	f.putRule("all", toAll)
	l := f.connect(t, "n1", f.join("alpha"), "i1")
	l.publish(nil, l.service("shop", "cart"))
	l.version.Seq += 5
	l.publish(nil, l.service("shop", "pay"))
	if r := find(l, (*hansev1.SessionResponse).GetResync); r.GetReason() == "" {
		t.Fatal("no reason given")
	}
	l.version.Epoch, l.version.Seq = l.version.Epoch+1, 0
	l.publish(nil, l.service("shop", "cart"), l.service("shop", "pay"))
	to := f.connect(t, "n2", f.join("beta"), "i2")
	to.sees("alpha", serviceKey("cart"), serviceKey("pay"))
}

func TestTooMuchIsRefusedAndTheSessionGoesOn(t *testing.T) {
	f := newFederation(t)
	f.putRule("all", toAll)
	from, to := f.connect(t, "n1", f.join("alpha"), "i1"), f.connect(t, "n1", f.join("beta"), "i2")
	var many []model.Record
	for i := range 21 {
		many = append(many, from.service("shop", fmt.Sprintf("s%d", i)))
	}
	from.publish(nil, many...)
	refused := find(from, func(m *hansev1.SessionResponse) *hansev1.Refusals {
		if r := m.GetRefused(); len(r.GetRefusals()) > 0 {
			return r
		}
		return nil
	})
	if r := refused.GetRefusals(); r[0].GetKey() != catalogKey || !strings.Contains(r[0].GetReason(), "limit of 20") {
		t.Fatalf("refusals %v", r)
	}
	// A change to a state that was not taken is left aside; a state that fits is taken.
	from.publish(nil, from.service("shop", "late"))
	from.version.Epoch, from.version.Seq = from.version.Epoch+1, 0
	from.publish(nil, from.service("shop", "cart"))
	to.sees("alpha", serviceKey("cart"))
	if r := f.nodes["n1"].Refusals("alpha"); len(r) != 0 {
		t.Fatalf("refusals %+v", r)
	}
}
