package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/bundle"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/records"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// patience bounds what a test waits for.
func patience(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// logBook keeps what is logged.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBook) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

func (l *logBook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// peer is another member: its CA, its agent's key and what the federation holds of it.
type peer struct {
	model.Cluster
	authority *ca.Authority
	agent     crypto.Signer
}

func newPeer(t testing.TB, name string, incarnation uint64) peer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	p := peer{agent: key, Cluster: model.Cluster{
		Name: model.ClusterName(name), Incarnation: incarnation, TrustDomain: name + ".example.org", AgentKey: public, Region: name,
		ExportNamespaces: []string{"*"}, JoinedAt: start,
	}}
	if p.authority, err = ca.NewRoot(ca.RootOptions{TrustDomain: p.TrustDomain, CommonName: name, Now: start}); err != nil {
		t.Fatal(err)
	}
	return p
}

// bundle is the peer's first bundle.
func (p peer) bundle(t testing.TB) model.SignedBundle {
	t.Helper()
	signed, err := bundle.Sign(model.Bundle{TrustDomain: p.TrustDomain, Sequence: 1, Roots: [][]byte{p.authority.Root()}}, p.authority.Signer())
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// offers is a full state of the peer with one ready workload of each service, and a gateway.
func (p peer) offers(t testing.TB, seq uint64, services ...string) model.Batch {
	t.Helper()
	b := model.Batch{Origin: p.Name, Full: true, To: model.Version{Incarnation: p.Incarnation, Epoch: 1, Seq: seq}, ProducedAt: start, Instance: "i"}
	locality := model.Locality{Region: p.Region}
	recs := []model.Record{{Gateways: []model.Gateway{{Name: "gw", Address: "192.0.2.9", Port: 7722, Locality: locality}}}}
	for _, s := range services {
		recs = append(recs, model.Record{Service: &model.ServiceRecord{
			Service:    model.ServiceKey{Namespace: "shop", Name: s},
			Ports:      []model.Port{{Name: "http", Number: 8080, Protocol: model.ProtocolHTTP}},
			Identities: []string{model.WorkloadID(p.TrustDomain, "shop", s)},
			Capacity:   []model.Capacity{{Locality: locality, Ready: 1, Total: 1}},
		}})
	}
	for _, r := range recs {
		r.Cluster, r.Version = p.Name, b.To
		signed, err := records.Sign(p.agent, r)
		if err != nil {
			t.Fatal(err)
		}
		b.Upserts = append(b.Upserts, signed)
	}
	return b
}

// view is the federation's state with the given members and their bundles. No rule opens anything.
func view(t testing.TB, members ...peer) *state.View {
	t.Helper()
	v := state.New(nil).View()
	v.Index, v.Federation = 7, "example.org"
	v.Clusters, v.Bundles = map[model.ClusterName]model.Cluster{}, map[string]model.SignedBundle{}
	for _, m := range members {
		v.Clusters[m.Name], v.Bundles[m.TrustDomain] = m.Cluster, m.bundle(t)
	}
	return v
}

// open adds a rule by which every member opens everything to all.
func open(v *state.View) *state.View {
	v.Exports = map[string]policy.ExportRule{"all": {Name: "all", Spec: policy.ExportRuleSpec{
		From: []string{policy.Any}, Namespaces: []string{policy.Any}, To: []string{policy.Any},
	}}}
	return v
}

// outside records what a core says, and answers what it asks.
type outside struct {
	// said holds an entry for each decision; status is asked once in every pass of the loop.
	said chan string

	mu        sync.Mutex
	published map[string]model.Record
	removed   []string
	sights    []string
	targets   []probe.Target
	points    map[model.ClusterName][]probe.Point
	suspects  map[verdict.Address]bool
	node      string
}

func (o *outside) outputs() coreOutputs {
	return coreOutputs{
		kick:     func() { o.said <- "kick" },
		complete: func() { o.said <- "complete" },
		publish: func(upserts []model.Record, removals []string) {
			o.mu.Lock()
			for _, r := range upserts {
				o.published[r.Key()] = r
			}
			o.removed = append(o.removed, removals...)
			o.mu.Unlock()
			o.said <- "publish"
		},
		targets: func(targets []probe.Target) {
			o.mu.Lock()
			o.targets = targets
			o.mu.Unlock()
			o.said <- "targets"
		},
		points: func(cluster model.ClusterName) []probe.Point {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.points[cluster]
		},
		suspect: func(suspects map[verdict.Address]bool) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.suspects = suspects
		},
		node:   func() string { return o.node },
		resync: func(origin model.ClusterName) { o.said <- "resync " + string(origin) },
		sight: func(b model.SignedBundle, shownBy string) {
			parsed, _ := bundle.Parse(b)
			o.mu.Lock()
			defer o.mu.Unlock()
			o.sights = append(o.sights, parsed.TrustDomain+" by "+shownBy)
		},
		status: func() model.SiteStatus {
			o.said <- "pass"
			return model.SiteStatus{AgentVersion: "test", EarliestExpiry: start.Add(24 * time.Hour)}
		},
	}
}

// record is what was published last under a key.
func (o *outside) record(key string) (model.Record, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, ok := o.published[key]
	return r, ok
}

// site is a core under test in region eu, as cluster eu of incarnation 1.
type site struct {
	*siteCore
	t     testing.TB
	own   peer
	out   *outside
	clock *clock.Fake
	log   *logBook
}

func newSite(t testing.TB, dir string, own peer) *site { return siteOf(t, dir, own, fromProxies) }

func siteOf(t testing.TB, dir string, own peer, sources ...origin) *site {
	t.Helper()
	s := &site{
		t: t, own: own, clock: clock.NewFake(start), log: &logBook{},
		out: &outside{said: make(chan string, 1000), published: map[string]model.Record{}, node: "n1:7700"},
	}
	m := member{
		Federation: "example.org", Cluster: own.Name, TrustDomain: own.TrustDomain, Incarnation: own.Incarnation, Region: own.Region,
		Servers: []string{"told:7700"},
	}
	s.siteCore = newSiteCore(m, dir, s.clock, s.log.logger(), sources...)
	s.siteCore.out = s.out.outputs()
	// Tests move the clock while the loop works.
	s.siteCore.took = func(time.Time) time.Duration { return 0 }
	return s
}

// run starts the loop until the test ends.
func (s *site) run() {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.siteCore.run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done })
}

// await reads what the core says up to the first of the kind.
func (s *site) await(kind string) {
	s.t.Helper()
	ctx := patience(s.t)
	for {
		select {
		case said := <-s.out.said:
			if said == kind {
				return
			}
		case <-ctx.Done():
			s.t.Fatalf("the core never says %q", kind)
		}
	}
}

// tick lets one idle pause pass, and waits until the loop sleeps again.
func (s *site) tick() {
	s.t.Helper()
	s.clock.Advance(idlePause)
	if err := s.clock.BlockUntil(patience(s.t), 1); err != nil {
		s.t.Fatal("the loop does not go back to sleep")
	}
}

// rest lets the loop finish what it has begun, and forgets what it said.
func (s *site) rest() {
	s.t.Helper()
	for s.tick(); len(s.wake) > 0; {
		s.tick()
	}
	s.tick()
	for len(s.out.said) > 0 {
		<-s.out.said
	}
}

// workload is a ready one of a service in namespace shop.
func workload(id, service string) model.Workload {
	return model.Workload{
		ID: id, Service: model.ServiceKey{Namespace: "shop", Name: service}, Namespace: "shop", ServiceAccount: service,
		Locality: model.Locality{Region: "eu"}, Address: "192.0.2.1", InboundPort: 7721, Export: true,
		Ports:  []model.WorkloadPort{{Port: model.Port{Name: "http", Number: 8080, Protocol: model.ProtocolHTTP}, Target: "127.0.0.1:8080"}},
		Health: model.WorkloadHealth{Ready: true},
	}
}

func all(workloads ...model.Workload) source.Update {
	return source.Update{Full: true, Upserts: workloads}
}
