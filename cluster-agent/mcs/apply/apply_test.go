package apply

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hello is a service that two clusters export, this one among them.
var hello = model.ServiceKey{Namespace: "demo", Name: "hello"}

func export() model.ServiceExport {
	return model.ServiceExport{Service: hello, CreatedAt: start, IPFamilies: []model.IPFamily{model.IPv4}, SessionAffinity: "ClientIP",
		Ports:  []model.Port{{Name: "tcp", Number: 42, Protocol: model.ProtocolTCP}, {Name: "udp", Number: 42, Protocol: model.ProtocolUDP}},
		Labels: map[string]string{"tier": "gold"}}
}

func facts() mcs.Facts {
	e := export()
	f := mcs.Facts{Cluster: "east", Namespaces: map[string]bool{"demo": true}, EndpointSlices: true, Families: []string{"IPv4"},
		Exports: []mcs.LocalExport{{Service: hello, Generation: 1, Export: &e}}, Remotes: []mcs.Remote{{Cluster: "west", Export: export()}},
		Egress: []mcs.Egress{{Address: "10.9.0.1", Ready: true}}}
	f.Ports, _ = mcs.AllotPorts(nil, mcs.WantedPorts(f), mcs.FirstEgressPort, mcs.LastEgressPort)
	return f
}

// plan is of the facts and of the derived Service as the API server has it.
func (s *apiServer) plan(f mcs.Facts) mcs.Plan {
	if d := s.get(derivedKey); d != nil {
		ip := d["spec"].(fields)["clusterIP"].(string)
		f.Derived = map[model.ServiceKey]mcs.Derived{hello: {ClusterIPs: []string{ip}, IPFamilies: []string{"IPv4"}}}
	}
	return mcs.Make(f, start)
}

var (
	derivedKey = "services/demo/" + mcs.DerivedName(hello)
	importKey  = "serviceimports/demo/hello"
	exportKey  = "serviceexports/demo/hello"
)

// counter lets everything pass and counts it.
type counter struct{ n atomic.Int64 }

func (c *counter) Wait(ctx context.Context) error {
	c.n.Add(1)
	return ctx.Err()
}

// running is an Applier that knows what there is.
func running(t *testing.T, s *apiServer) *Applier {
	t.Helper()
	a := started(t, s)
	for slices.ContainsFunc(a.kinds(), func(k *kind) bool { return k.ready() != nil }) {
		<-a.Changed()
	}
	return a
}

func started(t *testing.T, s *apiServer) *Applier {
	t.Helper()
	core, multi := s.clients()
	a := New(Config{Client: core, MCS: multi, Limiter: &counter{}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return a
}

func exported(t *testing.T) *apiServer {
	t.Helper()
	s := newAPIServer(t)
	s.edit(exportKey, func(f fields) {
		f["apiVersion"], f["kind"] = "multicluster.x-k8s.io/v1beta1", "ServiceExport"
	})
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// settle applies plans until there is nothing to do.
func settle(t *testing.T, s *apiServer, a *Applier, f mcs.Facts) {
	t.Helper()
	must(t, a.Apply(t.Context(), s.plan(f)))
	must(t, a.Apply(t.Context(), s.plan(f)))
	s.told()
}

// mend applies the plan at each signal until the object is as it should be: the first signal may be an old one.
func mend(t *testing.T, s *apiServer, a *Applier, right func() bool) {
	t.Helper()
	for !right() {
		<-a.Changed()
		must(t, a.Apply(t.Context(), s.plan(facts())))
	}
}

func TestPlanIsWrittenOnce(t *testing.T) {
	s := exported(t)
	a := running(t, s)
	must(t, a.Apply(t.Context(), s.plan(facts())))
	first := s.told()
	if i := slices.Index(first, "patch "+strings.Replace(importKey, "/", " ", 1)); i < 1 || first[i+1] != "patch serviceimports demo/hello/status" {
		t.Errorf("writes %q", first)
	}
	must(t, a.Apply(t.Context(), s.plan(facts())))
	if got := s.told(); !slices.Equal(got, []string{"patch serviceimports demo/hello", "patch serviceimports demo/hello/status"}) {
		t.Errorf("the second round wrote %q", got)
	}
	must(t, a.Apply(t.Context(), s.plan(facts())))
	if got := s.told(); len(got) > 0 {
		t.Errorf("what is there was written again: %q", got)
	}
	i := s.get(importKey)
	if i["spec"].(fields)["ips"] == nil || i["metadata"].(fields)["labels"].(fields)["tier"] != "gold" {
		t.Errorf("import %v", i)
	}
	if status := i["status"].(fields); len(status["clusters"].([]any)) != 2 || status["endpointSliceObjects"] != "Present" {
		t.Errorf("status %v", status)
	}
	if c := s.get(exportKey)["status"].(fields)["conditions"].([]any); len(c) != 3 {
		t.Errorf("conditions %v", c)
	}
}

func TestRestartWritesNothing(t *testing.T) {
	s := exported(t)
	settle(t, s, running(t, s), facts())
	a := running(t, s)
	must(t, a.Apply(t.Context(), s.plan(facts())))
	if got := s.told(); len(got) > 0 {
		t.Errorf("a restarted agent wrote %q", got)
	}
	ports, err := a.Ports(t.Context())
	must(t, err)
	if want := facts().Ports; len(ports) != 2 || ports[mcs.PortKey{Service: hello, Number: 42}] != want[mcs.PortKey{Service: hello, Number: 42}] {
		t.Errorf("ports %v, want %v", ports, want)
	}
}

func TestWhatIsUnexportedGoesAndNothingElse(t *testing.T) {
	s := exported(t)
	for key, labels := range map[string]fields{
		"services/hanse-system/hanse-agent": {mcs.LabelManagedBy: mcs.Manager},
		"services/demo/derived-by-somebody": {"multicluster.kubernetes.io/service-name": "other"},
		"endpointslices/demo/hello-abc":     {mcs.LabelSliceManagedBy: "endpointslice-controller.k8s.io"},
		"serviceimports/demo/other":         {"tier": "gold"},
	} {
		s.edit(key, func(f fields) { f["metadata"].(fields)["labels"] = labels })
	}
	before := s.keys()
	a := running(t, s)
	settle(t, s, a, facts())
	f := facts()
	f.Exports, f.Remotes = nil, nil
	must(t, a.Apply(t.Context(), s.plan(f)))
	if got := s.told(); len(got) != 4 || got[0] != "delete serviceimports demo/hello" || !strings.HasPrefix(got[3], "delete services ") {
		t.Errorf("names end before what they lead to, but: %q", got)
	}
	if got := s.keys(); !slices.Equal(got, before) {
		t.Errorf("left are %q, want %q", got, before)
	}
}

func TestClusterThatGoesTakesItsSlices(t *testing.T) {
	s := exported(t)
	a := running(t, s)
	settle(t, s, a, facts())
	f := facts()
	f.Remotes = nil
	must(t, a.Apply(t.Context(), s.plan(f)))
	got := s.told()
	if len(got) != 3 || !slices.Contains(got, "patch serviceimports demo/hello/status") || !slices.Contains(got, "patch serviceexports demo/hello/status") ||
		!strings.HasPrefix(got[2], "delete endpointslices ") {
		t.Errorf("writes %q", got)
	}
}

func TestEditsArePutBack(t *testing.T) {
	slice := ""
	for _, s := range mcs.Make(facts(), start).Slices {
		slice = "endpointslices/demo/" + s.Name
	}
	for key, edit := range map[string]func(fields){
		importKey:  func(f fields) { f["spec"].(fields)["type"] = "Headless" },
		derivedKey: func(f fields) { f["spec"].(fields)["sessionAffinity"] = "None" },
		exportKey:  func(f fields) { f["status"].(fields)["conditions"] = []any{} },
		slice:      func(f fields) { f["endpoints"] = []any{} },
	} {
		s := exported(t)
		a := running(t, s)
		settle(t, s, a, facts())
		whole := s.get(key)
		s.edit(key, func(f fields) {
			edit(f)
			f["metadata"].(fields)["annotations"] = fields{"mine": "stays"}
		})
		mend(t, s, a, func() bool {
			now := s.get(key)
			return sameJSON([]any{now["spec"], now["status"], now["endpoints"]}, []any{whole["spec"], whole["status"], whole["endpoints"]})
		})
		if s.get(key)["metadata"].(fields)["annotations"].(fields)["mine"] != "stays" {
			t.Errorf("%s lost a field that is not the agent's", key)
		}
		s.told()
		must(t, a.Apply(t.Context(), s.plan(facts())))
		if got := s.told(); len(got) > 0 {
			t.Errorf("%s: what was put back is written again: %q", key, got)
		}
	}
}

func TestDeletedImportComesBackWithItsAddress(t *testing.T) {
	s := exported(t)
	a := running(t, s)
	settle(t, s, a, facts())
	ips := s.get(importKey)["spec"].(fields)["ips"]
	s.erase(importKey)
	mend(t, s, a, func() bool { i := s.get(importKey); return i != nil && i["status"] != nil })
	if now := s.get(importKey); now == nil || !sameJSON(now["spec"].(fields)["ips"], ips) {
		t.Errorf("import %v", now)
	}
}

func TestOldVersionIsEnough(t *testing.T) {
	s := exported(t)
	s.unserved = []string{"v1beta1"}
	a := running(t, s)
	settle(t, s, a, facts())
	if i := s.get(importKey); i["apiVersion"] != "multicluster.x-k8s.io/v1alpha1" || i["status"] == nil {
		t.Errorf("import %v", i)
	}
	must(t, a.Apply(t.Context(), s.plan(facts())))
	if got := s.told(); len(got) > 0 {
		t.Errorf("written again: %q", got)
	}
	s.edit(importKey, func(f fields) { f["spec"].(fields)["type"] = "Headless" })
	mend(t, s, a, func() bool { return s.get(importKey)["spec"].(fields)["type"] == "ClusterSetIP" })
	f := facts()
	f.Exports, f.Remotes = nil, nil
	must(t, a.Apply(t.Context(), s.plan(f)))
	if got := s.keys(); !slices.Equal(got, []string{exportKey}) {
		t.Errorf("left are %q", got)
	}
}

func TestFieldThatTheServerDropsIsNotWrittenForEver(t *testing.T) {
	s := exported(t)
	s.prune = func(f fields) {
		if status, ok := f["status"].(fields); ok {
			delete(status, "endpointSliceObjects")
		}
		if spec, ok := f["spec"].(fields); ok && f["kind"] == "ServiceImport" {
			delete(spec, "ipFamilies")
		}
	}
	a := running(t, s)
	settle(t, s, a, facts())
	// The status was written behind the spec: once more, which changes nothing, and all is known to be as good as it gets.
	must(t, a.Apply(t.Context(), s.plan(facts())))
	s.told()
	must(t, a.Apply(t.Context(), s.plan(facts())))
	if got := s.told(); len(got) > 0 {
		t.Errorf("written again: %q", got)
	}
}

func TestTransitionTimesStay(t *testing.T) {
	s := exported(t)
	settle(t, s, running(t, s), facts())
	a := running(t, s)
	f := facts()
	f.Remotes = nil
	later := mcs.Make(func() mcs.Facts { f.Derived = derived(s); return f }(), start.Add(time.Hour))
	must(t, a.Apply(t.Context(), later))
	for _, key := range []string{importKey, exportKey} {
		for _, c := range s.get(key)["status"].(fields)["conditions"].([]any) {
			if at := c.(fields)["lastTransitionTime"]; at != start.Format(time.RFC3339) {
				t.Errorf("%s: %v changed only its message, but its time", key, c)
			}
		}
	}
}

func derived(s *apiServer) map[model.ServiceKey]mcs.Derived {
	ip := s.get(derivedKey)["spec"].(fields)["clusterIP"].(string)
	return map[model.ServiceKey]mcs.Derived{hello: {ClusterIPs: []string{ip}, IPFamilies: []string{"IPv4"}}}
}
