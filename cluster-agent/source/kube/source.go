package kube

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"

	"k8s.io/client-go/kubernetes"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// Config is what a Source is made of; every field is required.
type Config struct {
	// Client and MCS talk to the cluster's own API server.
	Client kubernetes.Interface
	MCS    mcsclient.Interface
	// SystemNamespace is where the cluster's gateways run.
	SystemNamespace string
	// Region is that of nodes without a region label.
	Region string
	Clock  clock.Clock
	Logger *slog.Logger
}

// Source tells of a Kubernetes cluster's exported services and their pods. It is safe for concurrent use.
type Source struct {
	cfg Config
	// wake says that there may be something to tell, changed that Facts or Problems are others; both are of capacity 1.
	wake, changed chan struct{}

	mu    sync.Mutex
	index *index
	// unseen are the kinds that nothing is known of yet, troubles those that cannot be seen now.
	unseen   map[string]bool
	troubles map[request]trouble
}

var _ source.Source = (*Source)(nil)

// New returns a Source that watches nothing before Run is called.
func New(cfg Config) *Source {
	s := &Source{
		cfg: cfg, wake: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		index: newIndex(cfg.Region, cfg.SystemNamespace), troubles: map[request]trouble{}, unseen: map[string]bool{},
	}
	s.forget()
	return s
}

// Run is as source.Source says. It sends nothing before everything was listed once, and nothing that a new list merely repeats.
func (s *Source) Run(ctx context.Context, out chan<- source.Update) error {
	ctx, cancel := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel()
	s.forget()
	for _, k := range s.kinds() {
		watchers.Go(func() { s.follow(ctx, k) })
	}
	for first := true; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		u, ok := s.take(first)
		if !ok {
			continue
		}
		select {
		case out <- u:
			first = false
		case <-ctx.Done():
			return nil
		}
	}
}

// forget makes everything unseen: what was seen while nobody watched may be gone.
func (s *Source) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kinds() {
		s.unseen[k.resource] = true
	}
}

// take returns what there is to tell, if there is something and everything was seen.
func (s *Source) take(full bool) (source.Update, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unseen) > 0 {
		return source.Update{}, false
	}
	var u source.Update
	if full {
		u = s.index.all()
	} else {
		u = s.index.next()
	}
	if s.index.news {
		s.index.news = false
		notify(s.changed)
	}
	return u, full || len(u.Upserts)+len(u.Removals)+len(u.Exports)+len(u.Unexported)+len(u.Gateways) > 0
}

// Facts returns what the cluster is like now; false until everything was seen once.
func (s *Source) Facts() (Facts, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unseen) > 0 {
		return Facts{}, false
	}
	return s.index.facts(), true
}

// Changed is sent to after Facts or Problems changed; of several changes one value may be left. It has one receiver.
func (s *Source) Changed() <-chan struct{} { return s.changed }

// Locality says where a pod runs; false when its address is unknown, as that of a pod on a new node may be for a moment.
func (s *Source) Locality(podIP string) (model.Locality, bool) {
	ip, err := netip.ParseAddr(podIP)
	if err != nil {
		return model.Locality{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.localityOf(ip)
}

// Problems says what cannot be seen, why, since when and what to do about it; empty when all is well.
func (s *Source) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return problems(s.troubles)
}

// notify leaves one value in a channel of capacity 1.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
