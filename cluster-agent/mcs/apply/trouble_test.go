package apply

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

func TestNothingIsWrittenBeforeAllIsKnown(t *testing.T) {
	core, multi := exported(t).clients()
	a := New(Config{Client: core, MCS: multi, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := a.Apply(t.Context(), mcs.Make(facts(), start)); err == nil || !strings.Contains(err.Error(), "not read yet") {
		t.Errorf("%v", err)
	}
}

func TestMissingDefinitionsAreNamed(t *testing.T) {
	s := newAPIServer(t)
	s.unserved = []string{"v1beta1", "v1alpha1"}
	a := started(t, s)
	for {
		<-a.Changed()
		err := a.Apply(t.Context(), mcs.Plan{})
		if err == nil {
			t.Fatal("a plan was written without definitions")
		}
		if strings.Contains(err.Error(), "install the CustomResourceDefinitions") {
			break
		}
	}
	if got := s.told(); len(got) > 0 {
		t.Errorf("writes %q", got)
	}
}

func TestDefinitionsThatGoWhileItRuns(t *testing.T) {
	s := exported(t)
	a := running(t, s)
	s.mu.Lock()
	s.unserved = []string{"v1beta1", "v1alpha1"}
	s.mu.Unlock()
	if err := a.Apply(t.Context(), s.plan(facts())); err == nil || !strings.Contains(err.Error(), "install the CustomResourceDefinitions") {
		t.Errorf("%v", err)
	}
}

func TestRefusals(t *testing.T) {
	forbidden := refusal(403, metav1.StatusReasonForbidden, "services", "x")
	terminating := refusal(403, metav1.StatusReasonForbidden, "services", "x", metav1.StatusCause{Type: corev1.NamespaceTerminatingCause})
	busy := refusal(500, metav1.StatusReasonInternalError, "services", "x")
	for name, c := range map[string]struct {
		status *metav1.Status
		times  int
		// tries is how often the Service is written, text what the error says.
		tries int
		text  string
	}{
		"forbidden":             {forbidden, 9, 1, "grant the agent's ServiceAccount the verb patch for services"},
		"invalid":               {refusal(422, metav1.StatusReasonInvalid, "services", "x"), 9, 1, "write Service demo/derived-"},
		"namespace terminating": {terminating, 9, 1, ""},
		"fails once":            {busy, 1, 2, ""},
		"fails":                 {busy, 9, attempts, "write Service demo/derived-"},
	} {
		s := exported(t)
		a := running(t, s)
		s.mu.Lock()
		s.fail = func(request string) *metav1.Status {
			if strings.HasPrefix(request, "patch services ") && c.times > 0 {
				c.times--
				return c.status
			}
			return nil
		}
		s.mu.Unlock()
		err := a.Apply(t.Context(), s.plan(facts()))
		tries := 0
		for _, r := range s.told() {
			if strings.HasPrefix(r, "patch services ") {
				tries++
			}
		}
		if tries != c.tries || (err != nil) != (c.text != "") || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %d tries: %v", name, tries, err)
		}
		if s.get(importKey) == nil {
			t.Errorf("%s: one refusal kept the rest out", name)
		}
	}
}

func TestNamespaceThatIsGoneIsNoError(t *testing.T) {
	s := exported(t)
	a := running(t, s)
	s.mu.Lock()
	s.absent = []string{"demo"}
	s.mu.Unlock()
	if err := a.Apply(t.Context(), s.plan(facts())); err != nil {
		t.Error(err)
	}
}

func TestServerThatIsAwayEndsTheApply(t *testing.T) {
	s := exported(t)
	a := running(t, s)
	f := facts()
	for i := range 20 {
		e := export()
		e.Service.Name = "hello-" + string(rune('a'+i))
		f.Remotes = append(f.Remotes, mcs.Remote{Cluster: "west", Export: e})
	}
	f.Ports, _ = mcs.AllotPorts(nil, mcs.WantedPorts(f), mcs.FirstEgressPort, mcs.LastEgressPort)
	p := s.plan(f)
	s.http.CloseClientConnections()
	s.http.Listener.Close()
	limit := a.cfg.Limiter.(*counter)
	if err := a.Apply(t.Context(), p); err == nil || !strings.Contains(err.Error(), "does not answer") || limit.n.Load() != maxUnanswered {
		t.Errorf("after %d writes: %v", limit.n.Load(), err)
	}
}

func TestEveryWriteIsCounted(t *testing.T) {
	s := exported(t)
	a := running(t, s)
	must(t, a.Apply(t.Context(), s.plan(facts())))
	if n, writes := a.cfg.Limiter.(*counter).n.Load(), len(s.told()); n != int64(writes) {
		t.Errorf("%d writes, of which the limiter saw %d", writes, n)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	f := facts()
	f.Exports, f.Remotes = nil, nil
	if err := a.Apply(ctx, s.plan(f)); err == nil {
		t.Error("an Apply that was stopped says that all is written")
	}
}

// TestObjectThatSomebodyTookOverStays: whoever removes the label has it for himself.
func TestObjectThatSomebodyTookOverStays(t *testing.T) {
	s := exported(t)
	a := running(t, s)
	settle(t, s, a, facts())
	f := facts()
	f.Exports, f.Remotes = nil, nil
	p := s.plan(f)
	changes, err := a.changes(p)
	must(t, err)
	s.edit(importKey, func(f fields) { delete(f["metadata"].(fields), "labels") })
	if err := a.write(t.Context(), changes); err == nil {
		t.Error("an object that was changed meanwhile is said to be deleted")
	}
	if s.get(importKey) == nil {
		t.Error("an object that was the agent's no more was deleted")
	}
}
