package serve

import (
	"fmt"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	gcpstream "github.com/envoyproxy/go-control-plane/pkg/server/stream/v3"
	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/gateway/xds"
)

// tap opens a stream on the cache without a server and returns its channel.
func tap(t testing.TB, c *Cache, class, typeURL string, names ...string) chan cache.DeltaResponse {
	t.Helper()
	out := make(chan cache.DeltaResponse, 20)
	req := &discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: c.open(class)}, TypeUrl: typeURL, ResourceNamesSubscribe: names}
	if _, err := c.CreateDeltaWatch(req, gcpstream.NewDeltaSubscription(names, nil, nil, true), out); err != nil {
		t.Fatal(err)
	}
	return out
}

func body(t testing.TB, r cache.DeltaResponse) *discovery.DeltaDiscoveryResponse {
	t.Helper()
	resp, err := r.GetDeltaDiscoveryResponse()
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestAllClassesShareOneBody(t *testing.T) {
	c := NewCache()
	shared := res(cds, "shared", "1")
	for i := range 50 {
		class := fmt.Sprint(i)
		c.Set(class, xds.Resources{cds: {shared}})
		for range 2 {
			resp := body(t, <-tap(t, c, class, cds))
			if resp.GetResources()[0].GetResource() != shared.Body {
				t.Fatalf("class %s received a copy of the body", class)
			}
		}
	}
}

func TestUnrelatedChangeWakesNobody(t *testing.T) {
	c := NewCache()
	first := xds.Resources{cds: set(cds, "a=1", "b=1"), eds: set(eds, "a=1", "b=1")}
	c.Set("x", first)
	c.Set("y", first)
	a, b, other := tap(t, c, "x", eds, "a"), tap(t, c, "x", eds, "b"), tap(t, c, "y", eds, "a")
	all := tap(t, c, "x", cds)
	for _, ch := range []chan cache.DeltaResponse{a, b, other, all} {
		<-ch
	}
	c.Set("x", xds.Resources{cds: set(cds, "a=1", "b=1"), eds: set(eds, "a=2", "b=1")})
	equal(t, "responses to who asked for what changed", len(a), 1)
	equal(t, "responses to who asked for another name", len(b), 0)
	equal(t, "responses to who asked for all of another type", len(all), 0)
	equal(t, "responses to another class", len(other), 0)
}

func TestNothingIsLeftOfClosedStreamsAndDroppedSets(t *testing.T) {
	c := NewCache()
	c.Set("x", nil)
	id := c.open("x")
	c.Drop("x")
	c.close(id)
	equal(t, "number of classes", len(c.classes), 0)
	equal(t, "number of sessions", len(c.sessions), 0)
}

// Whatever is set, unordered or with doubles, a client that applies every response holds exactly the last set.
func TestClientConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := NewCache()
		out := make(chan cache.DeltaResponse, 20)
		req := &discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: c.open("w")}, TypeUrl: cds, ResourceNamesSubscribe: []string{"*"}}
		sub := gcpstream.NewDeltaSubscription([]string{"*"}, nil, nil, true)
		if _, err := c.CreateDeltaWatch(req, sub, out); err != nil {
			rt.Fatal(err)
		}
		held, want := map[string]string{}, map[string]string{}
		for range rapid.IntRange(1, 12).Draw(rt, "sets") {
			names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 0, 6).Draw(rt, "names")
			want = map[string]string{}
			var list []*xds.Resource
			for _, n := range names {
				if _, double := want[n]; !double {
					want[n] = fmt.Sprint(rapid.IntRange(1, 3).Draw(rt, "version"))
				}
				list = append(list, res(cds, n, want[n]))
			}
			c.Set("w", xds.Resources{cds: list})
			for len(out) > 0 {
				apply(rt, held, <-out)
			}
		}
		if fmt.Sprint(held) != fmt.Sprint(want) {
			rt.Fatalf("the client holds %v, want %v", held, want)
		}
	})
}

func apply(rt *rapid.T, held map[string]string, r cache.DeltaResponse) {
	resp, err := r.GetDeltaDiscoveryResponse()
	if err != nil {
		rt.Fatal(err)
	}
	seen := map[string]bool{}
	for _, x := range resp.GetResources() {
		if seen[x.GetName()] {
			rt.Fatalf("%s stands twice in one response", x.GetName())
		}
		if held[x.GetName()] == x.GetVersion() {
			rt.Fatalf("%s=%s is sent although the client holds it", x.GetName(), x.GetVersion())
		}
		seen[x.GetName()], held[x.GetName()] = true, x.GetVersion()
	}
	for _, n := range resp.GetRemovedResources() {
		if _, ok := held[n]; !ok {
			rt.Fatalf("%s is removed although the client does not hold it", n)
		}
		delete(held, n)
	}
}

func TestStateOfTheWorldMethods(t *testing.T) {
	c := NewCache()
	if _, err := c.CreateWatch(nil, nil, nil); err != ErrStateOfTheWorld {
		t.Fatalf("CreateWatch returned %v", err)
	}
	if _, err := c.Fetch(t.Context(), nil); err != ErrStateOfTheWorld {
		t.Fatalf("Fetch returned %v", err)
	}
}
