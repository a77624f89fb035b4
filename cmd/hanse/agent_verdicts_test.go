package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/export"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/gateway/route"
)

func TestOthersVerdictsStandInForOnesOwn(t *testing.T) {
	f := newFleet(t, "eu", "us", "ap")
	eu, us, ap := f.sites[0], f.sites[1], f.sites[2]
	for _, s := range f.sites {
		s.finds(verdict.Unknown)
	}
	f.round()
	ap.expect("nobody knows anything", route.ReachUnknown, false)

	eu.finds(verdict.Bad)
	f.after(1)
	ap.expect("one says bad", route.ReachUnknown, true)

	us.finds(verdict.Bad)
	f.after(1)
	ap.expect("two say bad", route.ReachBad, true)
	eu.expect("its own result", route.ReachBad, false)

	ap.finds(verdict.Good)
	f.after(1)
	ap.expect("its own probe says good", route.ReachGood, true)
	eu.expect("one says good", route.ReachBad, true)

	ap.finds(verdict.Unknown)
	f.after(1)
	ap.expect("as after a restart", route.ReachBad, true)
	f.after(30)
	ap.expect("the others live, and say so still", route.ReachBad, true)
	if r, ok := ap.out.record(model.VerdictKey("zug")); ok {
		t.Errorf("nothing is known, but published: %+v", r.Verdicts)
	}

	eu.silent, us.silent = true, true
	f.after(7)
	ap.expect("the others are silent for a moment", route.ReachBad, true)
	f.after(4)
	ap.expect("their words have expired", route.ReachUnknown, false)
	eu.silent, us.silent = false, false
	f.after(2)
	ap.expect("they speak again", route.ReachBad, true)
}

func TestAnExpiryIsNoticedWithoutAnyNews(t *testing.T) {
	f := newFleet(t, "eu", "us", "ap")
	f.sites[0].finds(verdict.Bad)
	f.sites[1].finds(verdict.Bad)
	ap := f.sites[2]
	ap.finds(verdict.Unknown)
	f.after(1)
	f.sites[0].silent, f.sites[1].silent = true, true
	for len(ap.out.said) > 0 {
		<-ap.out.said
	}
	kicked := 0
	for range 20 {
		next := ap.pass(&ap.loop, false, ap.clock.Now())
		for len(ap.out.said) > 0 {
			if <-ap.out.said == "kick" {
				kicked++
			}
		}
		ap.clock.Advance(pause(next, ap.clock.Now()))
	}
	if ap.expect("after a while", route.ReachUnknown, false); kicked != 1 {
		t.Errorf("the configuration was made anew %d times", kicked)
	}
}

func TestVerdictsStayWithinTheRules(t *testing.T) {
	f := newFleet(t, "eu", "us", "ap")
	eu, ap := f.sites[0], f.sites[2]
	eu.finds(verdict.Bad)
	f.after(1)
	heard := func() (out []string) {
		for _, o := range ap.imports.All() {
			for _, r := range o.Records {
				out = append(out, string(o.Origin)+" "+r.Key())
			}
		}
		return out
	}
	if want := []string{"eu verdicts/zug", "zug gateways", "zug service/shop/pay"}; !slices.Equal(heard(), want) {
		t.Errorf("ap holds %q, want %q", heard(), want)
	}
	var targets []string
	for _, x := range ap.targets() {
		targets = append(targets, string(x.Cluster))
	}
	if !slices.Equal(targets, []string{"zug"}) {
		t.Errorf("ap probes gateways of %q", targets)
	}
	// Nobody imports from zug any more.
	f.view.Exports = nil
	f.revision++
	for _, s := range f.sites {
		s.State(f.view.Proto(false))
		s.out.points = nil
	}
	f.after(2)
	if got := heard(); len(got) != 0 {
		t.Errorf("ap still holds %q", got)
	}
	if _, ok := eu.last[model.VerdictKey("zug")]; ok {
		t.Error("a cluster that is not imported from is still judged")
	}
}

func TestAnEarlierMembershipSaysNothing(t *testing.T) {
	f := newFleet(t, "eu", "us", "ap")
	for _, s := range f.sites[:2] {
		s.finds(verdict.Bad)
	}
	ap := f.sites[2]
	ap.finds(verdict.Unknown)
	f.after(1)
	ap.expect("two members say bad", route.ReachBad, true)
	again := f.view.Clusters["eu"]
	again.Incarnation = 99
	f.view.Clusters["eu"] = again
	ap.State(f.view.Proto(false))
	ap.pass(&ap.loop, true, ap.clock.Now())
	ap.expect("one of them has joined anew", route.ReachUnknown, true)
}

func TestFlappingVerdictsAreFewRecords(t *testing.T) {
	f := newFleet(t, "eu")
	eu := f.sites[0]
	published := 0
	var last model.Record
	for i := range 1000 {
		eu.finds(verdict.State(1 + i/10%2))
		eu.pass(&eu.loop, true, eu.clock.Now())
		if r, _ := eu.out.record(model.VerdictKey("zug")); r.Verdicts != nil && (last.Verdicts == nil || !export.Equal(r, last)) {
			last = r
			published++
		}
		for len(eu.out.said) > 0 {
			<-eu.out.said
		}
		eu.clock.Advance(10 * time.Millisecond)
	}
	if published < 5 || published > 13 {
		t.Errorf("%d records in ten seconds", published)
	}
}

func TestTheStatusNamesUnreachableGateways(t *testing.T) {
	f := newFleet(t, "eu", "us", "ap")
	for i, found := range []verdict.State{verdict.Bad, verdict.Good, verdict.Bad} {
		f.sites[i].finds(found)
	}
	f.after(2)
	dropped := func(s *fleetSite) string {
		r, _ := s.out.record(model.StatusKey)
		return strings.Join(r.Status.Dropped, "\n")
	}
	if got, want := dropped(f.sites[0]), "gateway gw of zug at 192.0.2.9 port 7722 is unreachable since 2030-01-02T03:04:05Z, also for ap; us can reach it"; got != want {
		t.Errorf("eu says %q, want %q", got, want)
	}
	if got := dropped(f.sites[1]); got != "" {
		t.Errorf("us can reach it, but says %q", got)
	}
	f.sites[1].finds(verdict.Unknown)
	f.after(2)
	if got, want := dropped(f.sites[1]), "gateway gw of zug at 192.0.2.9 port 7722 has not answered yet and is unreachable for ap, eu"; got != want {
		t.Errorf("us says %q, want %q", got, want)
	}
}

func TestADegradedPathIsGoneByAndTold(t *testing.T) {
	f := newFleet(t, "eu", "us")
	eu := f.sites[0]
	eu.finds(verdict.Good)
	f.after(1)
	if changed, _ := eu.judge(eu.clock.Now()); changed {
		t.Fatal("something changes by itself")
	}
	eu.out.points["zug"][0].Degraded = true
	if changed, _ := eu.judge(eu.clock.Now()); !changed {
		t.Error("a path that has become worse changes nothing")
	}
	eu.mu.Lock()
	points, avoided := eu.routePoints(eu.gatewayPoints()), eu.avoided()
	eu.mu.Unlock()
	if len(points) != 1 || !points[0].Degraded || points[0].Reach != route.ReachGood {
		t.Errorf("calls go by %+v", points)
	}
	if len(avoided) != 1 || !strings.Contains(avoided[0], "the path to gateway gw of zug at 192.0.2.9 port 7722 is degraded") {
		t.Errorf("told is %q", avoided)
	}
	var list strings.Builder
	if printGateways(&list, eu.gateways()); !strings.Contains(list.String(), "good (degraded path)") {
		t.Errorf("the list says\n%s", &list)
	}
}
