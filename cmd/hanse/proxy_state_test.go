package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/gateway/xds"
)

func reasonsOf(s *proxyState) string { return strings.Join(s.notReady(), "; ") }

func TestReadyTakesEverything(t *testing.T) {
	s := newProxyState()
	steps := []struct {
		what   string
		do     func()
		absent string
	}{
		{"configuration", func() { s.configured(xds.Resources{}); s.certified(&xds.Resource{Name: xds.DefaultSecret}) }, "no configuration"},
		{"envoy", func() { s.missing("envoy", "") }, "Envoy is not live"},
		{"workload", func() { s.checked(true, "") }, "has not been checked"},
	}
	for _, step := range steps {
		if !strings.Contains(reasonsOf(s), step.absent) {
			t.Errorf("%q is no reason before the %s: %s", step.absent, step.what, reasonsOf(s))
		}
		step.do()
		if strings.Contains(reasonsOf(s), step.absent) {
			t.Errorf("%q is a reason still: %s", step.absent, reasonsOf(s))
		}
	}
	if r := s.notReady(); len(r) != 0 {
		t.Fatalf("not ready: %v", r)
	}
	s.checked(false, "refused")
	s.drain(true)
	s.missing("registration", "the agent refused")
	if r := s.notReady(); len(r) != 3 || !slices.IsSorted(r) || !strings.Contains(reasonsOf(s), "the workload's check fails: refused") {
		t.Errorf("reasons: %q", r)
	}
	s.checked(true, "")
	s.drain(false)
	s.missing("registration", "")
	if r := s.notReady(); len(r) != 0 {
		t.Errorf("not ready again: %v", r)
	}
}

func TestAnEnvoyIsGivenCompleteConfigurationsOnly(t *testing.T) {
	s := newProxyState()
	var given []xds.Resources
	s.onChange = func(c configuration) { given = append(given, c.resources()) }
	relayed := xds.Resources{
		xds.SecretType:  {{Name: "zebra"}},
		xds.ClusterType: {{Name: "c"}},
	}
	s.configured(relayed)
	if len(given) != 0 {
		t.Fatal("given without the proxy's own certificate")
	}
	s.certified(&xds.Resource{Name: "own", Version: "1"})
	s.certified(&xds.Resource{Name: "own", Version: "2"})
	s.configured(xds.Resources{})
	if len(given) != 3 {
		t.Fatalf("given %d times", len(given))
	}
	for i, want := range []string{"own@1 zebra@", "own@2 zebra@", "own@2"} {
		var got []string
		for _, r := range given[i][xds.SecretType] {
			got = append(got, r.Name+"@"+r.Version)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("secrets %d: %v, want %s", i, got, want)
		}
	}
	if len(given[1][xds.ClusterType]) != 1 {
		t.Error("the rest of the set is lost")
	}
	if len(relayed[xds.SecretType]) != 1 {
		t.Error("the agent's set was changed in place")
	}
	early := newProxyState()
	early.certified(&xds.Resource{Name: "own"})
	if early.configured(relayed); strings.Contains(reasonsOf(early), "configuration") {
		t.Errorf("complete before anybody listens, and not noticed: %s", reasonsOf(early))
	}
}

func TestSettled(t *testing.T) {
	checked := func(s *proxyState) { s.checked(false, "x") }
	live := func(s *proxyState) { s.missing("envoy", "") }
	configured := func(s *proxyState) { s.configured(xds.Resources{}) }
	for name, c := range map[string]struct {
		cached bool
		did    []func(*proxyState)
		want   bool
	}{
		"nothing yet": {false, nil, false},
		"unchecked":   {false, []func(*proxyState){live}, false},
		"first start: the Envoy waits for the rest": {false, []func(*proxyState){checked}, true},
		"restart: the Envoy will come up":           {true, []func(*proxyState){checked}, false},
		"restart: the Envoy is up":                  {true, []func(*proxyState){checked, live}, true},
		"configured, the Envoy will come up":        {false, []func(*proxyState){checked, configured}, false},
		"configured and up":                         {false, []func(*proxyState){checked, configured, live}, true},
	} {
		s := newProxyState()
		for _, do := range c.did {
			do(s)
		}
		if got := s.settled(c.cached); got != c.want {
			t.Errorf("%s: settled is %v", name, got)
		}
	}
}

func TestHealthThatTheSiteIsTold(t *testing.T) {
	s := newProxyState()
	if _, known := s.workloadHealth(); known {
		t.Error("a verdict before the first check")
	}
	s.drain(true)
	if h, known := s.workloadHealth(); known || !h.Draining {
		t.Errorf("draining before the first check: %+v, %v", h, known)
	}
	s.drain(false)
	s.checked(true, "")
	if h, known := s.workloadHealth(); !known || h.Ready || h.Reason == "" {
		t.Errorf("ready without an Envoy: %+v", h)
	}
	s.missing("envoy", "")
	if h, _ := s.workloadHealth(); !h.Ready || h.Reason != "" || h.Draining {
		t.Errorf("not ready although all is well: %+v", h)
	}
	s.drain(true)
	if h, _ := s.workloadHealth(); !h.Ready || !h.Draining {
		t.Errorf("drained: %+v", h)
	}
	s.drain(false)
	s.checked(false, "connection refused")
	s.missing("envoy", "Envoy is not live")
	if h, _ := s.workloadHealth(); h.Ready || h.Reason != "connection refused" {
		t.Errorf("the workload's own reason is hidden: %+v", h)
	}
}

func TestTheEnvoysReleaseIsKeptWhileItIsDown(t *testing.T) {
	s := newProxyState()
	s.running("1.40.0")
	s.running("")
	if got := s.release(); got != "1.40.0" {
		t.Errorf("release %q", got)
	}
}
