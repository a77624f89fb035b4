package main

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
)

func pod(id, address string) model.Workload {
	w := workload(id, "cart")
	w.Plain, w.Ports = true, slices.Clone(w.Ports)
	w.Ports[0].Target = address + ":8080"
	return w
}

func exportOf(name string) model.ServiceExport {
	return model.ServiceExport{Service: model.ServiceKey{Namespace: "shop", Name: name}, CreatedAt: start, IPFamilies: []model.IPFamily{model.IPv4}}
}

func (f *siteFacts) has() (ids []string) {
	for _, w := range f.current() {
		ids = append(ids, w.ID)
	}
	slices.Sort(ids)
	return ids
}

func TestAFullUpdateOfOneSourceLeavesTheOthersAlone(t *testing.T) {
	f := newSiteFacts(fromProxies, fromKubernetes)
	f.take(fromProxies, all(workload("cart-1", "cart")))
	if f.complete() {
		t.Fatal("complete without a word from Kubernetes")
	}
	f.take(fromKubernetes, source.Update{Full: true, Upserts: []model.Workload{pod("shop/cart/a", "10.0.0.1")}, Exports: []model.ServiceExport{exportOf("cart"), exportOf("pay")}})
	if !f.complete() {
		t.Fatal("not complete after both have told everything")
	}
	f.take(fromProxies, all(workload("cart-2", "cart")))
	if got := f.has(); !slices.Equal(got, []string{"cart-2", "shop/cart/a"}) || len(f.exports) != 2 {
		t.Errorf("after the proxies' full update: %q, exports %v", got, f.exports)
	}
	f.take(fromKubernetes, source.Update{Full: true, Upserts: []model.Workload{pod("shop/cart/b", "10.0.0.2")}, Exports: []model.ServiceExport{exportOf("pay")}})
	if got := f.has(); !slices.Equal(got, []string{"cart-2", "shop/cart/b"}) {
		t.Errorf("after Kubernetes' full update: %q", got)
	}
	if got := slices.Collect(maps.Keys(f.exports)); len(got) != 1 || got[0].Name != "pay" {
		t.Errorf("exports %v, want pay alone", got)
	}
	f.take(fromKubernetes, source.Update{Removals: []string{"cart-2"}, Unexported: []model.ServiceKey{exportOf("pay").Service}})
	if got := f.has(); !slices.Equal(got, []string{"cart-2", "shop/cart/b"}) || len(f.exports) != 0 {
		t.Errorf("one source removed what another told: %q, exports %v", got, f.exports)
	}
}

func TestAPodWithItsOwnProxyIsOneWorkload(t *testing.T) {
	f := newSiteFacts(fromProxies, fromKubernetes)
	own := workload("cart-1", "cart")
	own.Address = "10.0.0.1"
	f.take(fromKubernetes, source.Update{Full: true, Upserts: []model.Workload{pod("shop/cart/a", "10.0.0.1"), pod("shop/cart/b", "10.0.0.2")}})
	f.take(fromProxies, all(own))
	if got := f.has(); !slices.Equal(got, []string{"cart-1", "shop/cart/b"}) {
		t.Errorf("got %q", got)
	}
	f.take(fromProxies, all())
	if got := f.has(); !slices.Equal(got, []string{"shop/cart/a", "shop/cart/b"}) {
		t.Errorf("without the proxy: %q", got)
	}
}

func TestGatewayAddressesStayUntilOthersAreTold(t *testing.T) {
	f := newSiteFacts(fromProxies, fromKubernetes)
	f.take(fromKubernetes, source.Update{Full: true, Gateways: []model.Gateway{{Name: "lb"}}})
	f.take(fromKubernetes, source.Update{})
	if len(f.gateways) != 1 {
		t.Error("an update that says nothing of gateways took their addresses away")
	}
	f.take(fromKubernetes, source.Update{Gateways: []model.Gateway{}})
	if f.gateways == nil || len(f.gateways) != 0 {
		t.Errorf("got %v, want none, and not those that gateways advertise", f.gateways)
	}
}

// A site that takes long to look at is looked at less often under churn: what changes meanwhile waits for twice as long as the last pass took.
func TestTheLoopRestsAfterALongPass(t *testing.T) {
	s := newSite(t, t.TempDir(), newPeer(t, "eu", 1))
	const long = 30 * time.Millisecond
	s.siteCore.took = func(time.Time) time.Duration { return long }
	passes, status := make(chan time.Time, 100), s.siteCore.out.status
	s.siteCore.out.status = func() model.SiteStatus {
		passes <- s.clock.Now()
		return status()
	}
	s.run()
	first := <-passes
	for deadline := patience(t); ; {
		s.touch()
		if err := s.clock.BlockUntil(deadline, 2); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(time.Millisecond)
		select {
		case second := <-passes:
			if waited := second.Sub(first); waited < 2*long {
				t.Errorf("the next pass began %v after the last one, which took %v", waited, long)
			}
			return
		default:
		}
	}
}
