package xds

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ads is just enough of a delta server for one Envoy: it sends what is subscribed to, in the order of Types, and notes refusals.
type ads struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	mu      sync.Mutex
	set     Resources
	changed chan struct{}
	nacks   []string
}

func serveADS(t *testing.T, socket string, set Resources) *ads {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	a := &ads{set: set, changed: make(chan struct{})}
	s := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s, a)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return a
}

func (a *ads) Set(set Resources) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.set = set
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *ads) current() (Resources, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.set, a.changed
}

func (a *ads) refusals() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.nacks)
}

func (a *ads) refused(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nacks = append(a.nacks, what)
}

// DeltaAggregatedResources serves one stream.
func (a *ads) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	requests := make(chan *discoveryv3.DeltaDiscoveryRequest)
	go func() {
		defer close(requests)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case requests <- r:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	// sent holds the version of each name by type; a subscribed name that was not sent has none.
	sent := map[string]map[string]string{}
	for n := 0; ; n++ {
		set, changed := a.current()
		for _, typeURL := range Types {
			if sent[typeURL] == nil {
				continue
			}
			if r := delta(typeURL, set[typeURL], sent[typeURL]); r != nil {
				r.Nonce = fmt.Sprint(n)
				if err := stream.Send(r); err != nil {
					return err
				}
			}
		}
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-changed:
		case r, ok := <-requests:
			if !ok {
				return status.Error(codes.Canceled, "the stream ended")
			}
			if r.GetErrorDetail() != nil {
				a.refused(r.GetTypeUrl() + ": " + r.GetErrorDetail().GetMessage())
			}
			if sent[r.GetTypeUrl()] == nil {
				sent[r.GetTypeUrl()] = map[string]string{}
			}
			for _, name := range r.GetResourceNamesSubscribe() {
				sent[r.GetTypeUrl()][name] = ""
			}
			for _, name := range r.GetResourceNamesUnsubscribe() {
				delete(sent[r.GetTypeUrl()], name)
			}
		}
	}
}

func delta(typeURL string, set []*Resource, sent map[string]string) *discoveryv3.DeltaDiscoveryResponse {
	out := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: typeURL}
	wildcard := typeURL == ClusterType || typeURL == ListenerType
	for _, r := range set {
		if version, subscribed := sent[r.Name]; version != r.Version && (subscribed || wildcard) {
			sent[r.Name] = r.Version
			out.Resources = append(out.Resources, &discoveryv3.Resource{Name: r.Name, Version: r.Version, Resource: r.Body})
		}
	}
	if wildcard {
		for name := range sent {
			if find(set, name) == nil {
				delete(sent, name)
				out.RemovedResources = append(out.RemovedResources, name)
			}
		}
	}
	if len(out.GetResources())+len(out.GetRemovedResources()) == 0 {
		return nil
	}
	return out
}
