package serve

import (
	"context"
	"fmt"
	"strings"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/gateway/xds"
)

const (
	cds = xds.ClusterType
	eds = xds.EndpointType
	lds = xds.ListenerType
	rds = xds.RouteType
	sds = xds.SecretType
)

func TestNamedSubscriptionReceivesOnlyWhatChanged(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{eds: set(eds, "a=1", "b=1", "c=1", "d=1")})
	c := r.open(t, "w")
	c.subscribe(eds, "a", "c")
	c.expect("ClusterLoadAssignment a=1 c=1")
	r.cache.Set("w", xds.Resources{eds: set(eds, "a=1", "b=2", "c=2", "d=1")})
	c.expect("ClusterLoadAssignment c=2")
	c.subscribe(eds, "d")
	c.expect("ClusterLoadAssignment d=1")
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: eds, ResourceNamesUnsubscribe: []string{"c"}})
	c.silent()
	r.cache.Set("w", xds.Resources{eds: set(eds, "a=1", "b=2", "c=3", "d=2")})
	c.expect("ClusterLoadAssignment d=2")
}

func TestNameSubscribedAgainIsSentAgain(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{sds: set(sds, "default=1", "trust=1")})
	c := r.open(t, "w")
	c.subscribe(sds, "default", "trust")
	c.expect("Secret default=1 trust=1")
	c.subscribe(sds, "trust")
	c.expect("Secret trust=1")
	c.silent()
}

func TestMissingNameIsAnsweredOnceAndSentWhenItAppears(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{rds: set(rds, "x=1")})
	c := r.open(t, "w")
	c.subscribe(rds, "x", "y")
	c.expect("RouteConfiguration x=1 -y")
	c.silent()
	r.cache.Set("w", xds.Resources{rds: set(rds, "x=1", "y=1")})
	c.expect("RouteConfiguration y=1")
	r.cache.Set("w", xds.Resources{})
	c.expect("RouteConfiguration -x -y")
}

func TestUnknownClassIsNotAnsweredUntilItIsSet(t *testing.T) {
	r := newRig(t)
	c := r.open(t, "w")
	c.subscribe(cds)
	c.subscribe(eds, "a")
	r.events.wait(t, "opened w", 1)
	r.cache.Set("other", xds.Resources{cds: set(cds, "a=1")})
	if r.cache.Has("w") {
		t.Fatal("a class with a stream but no set is said to be known")
	}
	r.cache.Set("w", xds.Resources{cds: set(cds, "a=1"), eds: set(eds, "a=1")})
	c.expect("Cluster a=1", "ClusterLoadAssignment a=1")
	r.cache.Drop("w")
	r.cache.Set("w", xds.Resources{cds: set(cds, "b=1"), eds: set(eds, "a=1")})
	c.expect("Cluster b=1", "Cluster -a")
	c.silent()
}

func TestEmptySetAnswersAWildcard(t *testing.T) {
	for _, names := range [][]string{nil, {"*"}} {
		t.Run(fmt.Sprint(names), func(t *testing.T) {
			r := newRig(t)
			r.cache.Set("w", nil)
			c := r.open(t, "w")
			c.subscribe(lds, names...)
			c.expect("Listener")
			r.cache.Set("w", xds.Resources{lds: set(lds, "l=1")})
			c.expect("Listener l=1")
			r.cache.Set("w", nil)
			c.expect("Listener -l")
		})
	}
}

func TestExplicitWildcardOfEveryType(t *testing.T) {
	r := newRig(t)
	all := xds.Resources{}
	for _, ty := range xds.Types {
		all[ty] = set(ty, "n=1")
	}
	r.cache.Set("w", all)
	c := r.open(t, "w")
	for _, ty := range xds.Types {
		c.subscribe(ty, "*")
		c.expect(short(ty) + " n=1")
	}
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: eds, ResourceNamesUnsubscribe: []string{"*"}})
	c.silent()
	all = xds.Resources{cds: set(cds, "n=2"), eds: set(eds, "n=2"), sds: set(sds, "n=1"), lds: set(lds, "n=1"), rds: set(rds, "n=1")}
	r.cache.Set("w", all)
	c.expect("Cluster n=2")
	c.silent()
}

func TestNameLeavesButWildcardStaysIsAnswered(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{cds: set(cds, "a=1")})
	c := r.open(t, "w")
	c.subscribe(cds, "*", "a", "gone")
	c.expect("Cluster a=1 -gone")
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: cds, ResourceNamesUnsubscribe: []string{"a", "gone"}})
	c.expect("Cluster a=1 -gone")
}

func TestAdditionsInOrderThenRemovalsInReverse(t *testing.T) {
	r := newRig(t)
	before, after := xds.Resources{}, xds.Resources{}
	for _, ty := range xds.Types {
		before[ty], after[ty] = set(ty, "keep=1", "old=1"), set(ty, "keep=2", "new=1")
	}
	r.cache.Set("w", before)
	c := r.open(t, "w")
	for i := range xds.Types {
		ty := xds.Types[len(xds.Types)-1-i]
		c.subscribe(ty, "*")
		c.expect(short(ty) + " keep=1 old=1")
	}
	c.silent()
	r.cache.Set("w", after)
	c.expect("Secret keep=2 new=1", "Cluster keep=2 new=1", "ClusterLoadAssignment keep=2 new=1", "Listener keep=2 new=1",
		"RouteConfiguration keep=2 new=1", "RouteConfiguration -old", "Listener -old", "ClusterLoadAssignment -old", "Cluster -old", "Secret -old")
}

// Endpoints must never overtake a change of their cluster, not even when the client has yet to acknowledge an earlier one.
func TestEndpointsDoNotOvertakeAClusterThatIsNotAcknowledged(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{cds: set(cds, "a=1"), eds: set(eds, "a=1")})
	c := r.open(t, "w")
	c.subscribe(cds)
	c.expect("Cluster a=1")
	c.subscribe(eds, "a")
	c.expect("ClusterLoadAssignment a=1")
	r.events.wait(t, "acked w ClusterLoadAssignment", 1)
	r.cache.Set("w", xds.Resources{cds: set(cds, "a=2"), eds: set(eds, "a=1")})
	c.expectNoAck("Cluster a=2")
	r.cache.Set("w", xds.Resources{cds: set(cds, "a=3"), eds: set(eds, "a=3")})
	c.expectNoAck("Cluster a=3")
	c.expect("ClusterLoadAssignment a=3")
}

// A client that acknowledges nothing holds up nobody and grows no queue; when it comes back it gets the newest, in order.
func TestSlowClientGetsTheNewest(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{cds: set(cds, "a=0"), eds: set(eds, "a=0")})
	c := r.open(t, "w")
	c.subscribe(cds)
	c.expect("Cluster a=0")
	c.subscribe(eds, "a")
	c.expect("ClusterLoadAssignment a=0")
	const last = 20000
	for i := 1; i <= last; i++ {
		v := fmt.Sprintf("a=%d", i)
		r.cache.Set("w", xds.Resources{cds: set(cds, v), eds: set(eds, v)})
	}
	cluster, end := "", fmt.Sprintf("a=%d", last)
	for {
		got := c.receive()
		if version, ok := strings.CutPrefix(got, "Cluster "); ok {
			cluster = version
		} else if version, ok = strings.CutPrefix(got, "ClusterLoadAssignment "); ok && version != cluster {
			t.Fatalf("endpoints %s came after cluster %s", version, cluster)
		} else if version == end {
			return
		}
		c.ack()
	}
}

func TestReconnectSendsOnlyTheDifference(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", xds.Resources{
		cds: set(cds, "changed=2", "new=1", "same=1"), eds: set(eds, "changed=2", "new=1", "same=1"),
	})
	brought := map[string]string{"changed": "1", "gone": "1", "same": "1"}
	c := r.open(t, "w")
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: cds, InitialResourceVersions: brought})
	c.expect("Cluster changed=2 new=1", "Cluster -gone")
	c.send(&discovery.DeltaDiscoveryRequest{
		TypeUrl: eds, InitialResourceVersions: brought, ResourceNamesSubscribe: []string{"changed", "gone", "new", "same"},
	})
	c.expect("ClusterLoadAssignment changed=2 new=1", "ClusterLoadAssignment -gone")
	c.silent()
}

func TestReconnectToAServerThatKnowsNothingYetLosesNothing(t *testing.T) {
	r := newRig(t)
	c := r.open(t, "w")
	c.send(&discovery.DeltaDiscoveryRequest{
		TypeUrl: cds, ResourceNamesSubscribe: []string{"*"}, InitialResourceVersions: map[string]string{"a": "1", "b": "1"},
	})
	r.events.wait(t, "opened w", 1)
	r.cache.Set("w", xds.Resources{cds: set(cds, "a=1")})
	// The first word on a wildcard is additions, even if there are none.
	c.expect("Cluster", "Cluster -b")
}

func TestClassComesFromThePeerAlone(t *testing.T) {
	r := newRig(t)
	r.cache.Set("mine", xds.Resources{cds: set(cds, "m=1")})
	r.cache.Set("someone-else", xds.Resources{cds: set(cds, "secret=1")})
	c := r.open(t, "mine")
	c.subscribe(cds)
	c.expect("Cluster m=1")
	c.cancel()
	r.events.wait(t, "closed mine", 1)
}

func TestPeerWithoutAClassIsRefused(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	st, err := discovery.NewAggregatedDiscoveryServiceClient(r.conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = st.Recv(); err == nil || !strings.Contains(err.Error(), "no class") {
		t.Fatalf("the stream ended with %v, want the reason of the refusal", err)
	}
}

func TestStateOfTheWorldIsRefused(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	st, err := discovery.NewAggregatedDiscoveryServiceClient(r.conn).StreamAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = st.Recv(); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "delta") {
		t.Fatalf("the stream ended with %v, want Unimplemented and the remedy", err)
	}
}

func TestTooManyTypesEndTheStream(t *testing.T) {
	r := newRig(t)
	r.cache.Set("w", nil)
	c := r.open(t, "w")
	for i := range maxTypes + 1 {
		c.subscribe(fmt.Sprintf("type.googleapis.com/test.T%d", i), "x")
	}
	var err error
	for err == nil {
		_, err = c.stream.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("the stream ended with %v, want ResourceExhausted", err)
	}
}
