package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/diagnose"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// fakeAPI answers from a map of paths; answers of one node stand under ADDRESS/PATH. Lists come one item at a time.
type fakeAPI struct {
	clock   *clock.Fake
	answers map[string]any
}

func (a *fakeAPI) get(ctx context.Context, path string, out any) (met, error) {
	return a.at(ctx, "", path, out)
}

func (a *fakeAPI) at(_ context.Context, address, path string, out any) (met, error) {
	m := met{
		sent: a.clock.Now(), received: a.clock.Now().Add(20 * time.Millisecond), header: http.Header{rest.AgeHeader: {"0.2"}},
		certificate: &x509.Certificate{NotBefore: start, NotAfter: start.Add(90 * 24 * time.Hour)},
	}
	u, err := url.Parse(path)
	if err != nil {
		return m, err
	}
	v, ok := a.answers[address+u.Path]
	if !ok {
		v, ok = a.answers[u.Path]
	}
	if err, failed := v.(error); failed {
		return m, err
	}
	if !ok {
		return m, fmt.Errorf("no %s", path)
	}
	if list, isList := v.([]any); isList {
		v = pageOf(list, u.Query().Get("continue"))
	}
	text, err := json.Marshal(v)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, out)
}

func pageOf(list []any, after string) rest.List[any] {
	at := 0
	_, _ = fmt.Sscan(after, &at)
	if at >= len(list) {
		return rest.List[any]{Items: []any{}}
	}
	return rest.List[any]{Items: list[at : at+1], Continue: fmt.Sprint(at + 1)}
}

// fakeFederation is two nodes and two clusters with nothing wrong.
func fakeFederation() *fakeAPI {
	c := clock.NewFake(start)
	view := func(name string, age float64) rest.ClusterView {
		member := model.Cluster{Name: model.ClusterName(name), Region: name + "-west", TrustDomain: name + ".test", ExportNamespaces: []string{"shop"}, JoinedAt: start.Add(-time.Hour)}
		return rest.ClusterView{
			Cluster: member, Feed: &rest.Feed{AgeSeconds: age, Instance: "one"}, Status: &model.SiteStatus{AgentVersion: "v1"},
			Gateways: []model.Gateway{{Name: "gw", Address: "10.0.0.1", Port: 7722}},
		}
	}
	agent := model.AgentClock{Now: start, Version: "v1"}
	node := func(name string) rest.NodeView {
		return rest.NodeView{Node: model.Node{Name: name, RESTAddress: name + ":1", ProtocolMax: 3}, Alive: true}
	}
	return &fakeAPI{clock: c, answers: map[string]any{
		"/v1/status":     rest.Status{Federation: "test", Node: "n1", Leader: "n1", Version: "v1", Now: start},
		"n2:1/v1/status": rest.Status{Federation: "test", Node: "n2", Leader: "n1", Version: "v1", Now: start},
		"/v1/nodes":      []any{node("n1"), node("n2")},
		"/v1/clusters":   []any{view("eu", 1), view("us", 2)},
		"/v1/services": []any{rest.ServiceView{ServiceKey: cartKey, Offers: []rest.Offer{{
			Cluster: "us", ImportedBy: []string{"eu"}, Ports: []model.Port{{Number: 80}}, Capacity: []model.Capacity{{Locality: model.Locality{Region: "us-west"}}},
		}}}},
		"/v1/failover-policies": []any{policy.FailoverPolicy{Name: "default", Spec: policy.FailoverPolicySpec{Failover: []policy.RegionOrder{{From: "eu-west", To: []string{"us-west"}}}}}},
		"/v1/import-rules":      []any{},
		"/v1/export-rules":      []any{policy.ExportRule{Name: "shop", Spec: policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"shop"}, To: []string{"*"}}}},
		"/v1/tokens":            []any{model.Token{ID: "ann", Kind: model.TokenOperator}},
		"/v1/verdicts":          []any{},
		"/v1/trust-domains":     []any{rest.TrustDomain{Name: "eu.test", Bundle: &rest.TrustBundle{Roots: []rest.TrustRoot{{Subject: "CN=eu", NotAfter: start.Add(1000 * 24 * time.Hour)}}}}},
		"/v1/agents/eu/clock":   agent, "/v1/agents/us/clock": agent,
		"/v1/agents/eu/gateways": []any{model.GatewayFinding{Cluster: "us", Gateway: "gw", Address: "10.0.0.1:7722", Reachable: "good"}}, "/v1/agents/us/gateways": []any{},
	}}
}

func (a *fakeAPI) gatherer() *gatherer {
	return &gatherer{api: a, clock: a.clock, say: func(string, ...any) {}}
}

// checked runs a check on a fake federation and returns what it prints.
func (a *fakeAPI) checked(t *testing.T, o checkOptions) (checkResult, string) {
	t.Helper()
	g := a.gatherer()
	g.only = model.ClusterName(o.cluster)
	got, err := g.gather(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	result := o.judge(got)
	var text bytes.Buffer
	printCheck(&text, result, got.report, o)
	return result, text.String()
}

func TestCheckOfAHealthyFederation(t *testing.T) {
	result, text := fakeFederation().checked(t, checkOptions{})
	if len(result.Findings) != 0 {
		t.Errorf("it finds %+v", result.Findings)
	}
	for _, want := range []string{"federation test: 2 nodes, 2 clusters, 1 services", "✓ nodes: 2 alive", "✓ clocks\n", "✓ gateways: eu→us\n", "✓ policies: 2\n", "no faults found"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not print %q:\n%s", want, text)
		}
	}
}

func TestCheckFindsAndMarks(t *testing.T) {
	f := fakeFederation()
	f.answers["n2:1/v1/status"] = errors.New("connection refused")
	f.answers["/v1/agents/us/clock"] = model.AgentClock{Now: start.Add(time.Minute), Version: "v1"}
	f.answers["/v1/tokens"] = errors.New("it needs the role admin")
	result, text := f.checked(t, checkOptions{})
	if result.Errors != 1 {
		t.Errorf("%+v", result)
	}
	for _, want := range []string{
		"✗ clocks\n    ✗ agent/us  [clock-skew]\n      its clock is 1m0s ahead of the nodes' clocks\n", "to do: synchronise it", "? certificates\n",
		"? not looked at", "? node/n2  [not-looked-at]\n      could not be looked at (connection refused)", "? tokens  [not-looked-at]", "1 error; 2 could not be looked at",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not print %q:\n%s", want, text)
		}
	}
}

// What is asked for is shown, and what nobody could look at.
func TestCheckShowsWhatIsAskedFor(t *testing.T) {
	f := fakeFederation()
	f.answers["/v1/agents/us/clock"] = model.AgentClock{Now: start.Add(time.Minute)}
	f.answers["/v1/agents/eu/clock"] = errors.New("no session")
	subjects := func(o checkOptions) []string {
		result, _ := f.checked(t, o)
		var out []string
		for _, x := range result.Findings {
			out = append(out, x.Subject)
		}
		slices.Sort(out)
		return out
	}
	for name, c := range map[string]struct {
		options checkOptions
		want    []string
	}{
		"all":             {checkOptions{}, []string{"agent/eu", "agent/us"}},
		"a code":          {checkOptions{only: []string{"clock-skew"}}, []string{"agent/eu", "agent/us"}},
		"another code":    {checkOptions{only: []string{"nack"}}, []string{"agent/eu"}},
		"a cluster":       {checkOptions{cluster: "us"}, []string{"agent/us"}},
		"another cluster": {checkOptions{cluster: "eu"}, []string{"agent/eu"}},
	} {
		if got := subjects(c.options); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestCheckNeedsSomebodyWhoAnswers(t *testing.T) {
	f := fakeFederation()
	f.answers["/v1/status"] = codedError{exitUnavailable, errors.New("nobody")}
	if _, err := f.gatherer().gather(t.Context()); exitCodeOf(err) != exitUnavailable {
		t.Errorf("got %v", err)
	}
}

// By the socket of one node, that node is asked, and the others are said not to have been.
func TestCheckBySocket(t *testing.T) {
	f := fakeFederation()
	for _, node := range []string{"n1", "n2"} {
		f.answers[node+":1/v1/status"] = errBySocket
		f.answers[node+":1/v1/clusters"] = errBySocket
	}
	result, _ := f.checked(t, checkOptions{})
	if len(result.Findings) != 1 || result.Findings[0].Subject != "node/n2" || !strings.Contains(result.Findings[0].Message, "socket") {
		t.Errorf("%+v", result.Findings)
	}
}

// What another node says must not pass for a node's own words.
func TestCheckTellsWhoAnswers(t *testing.T) {
	f := fakeFederation()
	f.answers["n2:1/v1/status"] = f.answers["/v1/status"]
	result, _ := f.checked(t, checkOptions{})
	if len(result.Findings) != 1 || result.Findings[0].Subject != "node/n2" || !strings.Contains(result.Findings[0].Message, "node n1 answers at its REST address n2:1") {
		t.Errorf("%+v", result.Findings)
	}
}

// The newest of what the nodes hold counts, and every complaint.
func TestCheckJoinsWhatNodesSay(t *testing.T) {
	f := fakeFederation()
	old := rest.ClusterView{Cluster: model.Cluster{Name: "eu", Region: "eu-west"}, Feed: &rest.Feed{AgeSeconds: 60, Rivals: []string{"two"}}, Refused: []string{"gateways: no"}}
	f.answers["n2:1/v1/clusters"] = []any{old}
	result, _ := f.checked(t, checkOptions{})
	for _, want := range []string{"feed-stuck node/n2", "two-publishers cluster/eu", "record-refused record/eu/gateways"} {
		if !slices.ContainsFunc(result.Findings, func(x diagnose.Finding) bool { return string(x.Code)+" "+x.Subject == want }) {
			t.Errorf("no %s in %+v", want, result.Findings)
		}
	}
	if slices.ContainsFunc(result.Findings, func(x diagnose.Finding) bool { return x.Code == "gateway-missing" }) {
		t.Error("the older state counts")
	}
}

func TestCheckRefusesUnknownNames(t *testing.T) {
	if err := (checkOptions{only: []string{"nacks"}}).validate(); err == nil || !strings.Contains(err.Error(), "nack") {
		t.Errorf("got %v", err)
	}
	got, err := fakeFederation().gatherer().gather(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := (checkOptions{cluster: "moon"}).member(got.report); err == nil || !strings.Contains(err.Error(), "eu, us") {
		t.Errorf("got %v", err)
	}
}

// A clock without fractions is known to half a second.
func TestNodeClock(t *testing.T) {
	m := met{sent: start, received: start.Add(200 * time.Millisecond), header: http.Header{"Date": {start.Add(3 * time.Second).Format(http.TimeFormat)}}}
	if got := nodeClock(time.Time{}, m).Value(); got.Ahead != 3400*time.Millisecond || got.Within != 600*time.Millisecond {
		t.Errorf("by the header: %+v", got)
	}
	if got := nodeClock(start.Add(time.Second), m).Value(); got.Ahead != 900*time.Millisecond || got.Within != 100*time.Millisecond {
		t.Errorf("by its word: %+v", got)
	}
	if got := nodeClock(time.Time{}, met{}); got.Had() {
		t.Errorf("from nothing: %+v", got)
	}
}
