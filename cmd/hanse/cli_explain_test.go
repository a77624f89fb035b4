package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/gateway/explain"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func goldenText(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the text differs from %s: if that is meant, run the test with -update and read the difference\n%s", path, got)
	}
}

// TestExplanationsAsText prints what gateway/explain has to say of its scenarios.
func TestExplanationsAsText(t *testing.T) {
	for _, name := range []string{"well", "cluster", "export-rule-for-others", "gateway-unreachable", "nack", "left-out-by-policy"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "gateway", "explain", "testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var e explain.Explanation
		if err := json.Unmarshal(data, &e); err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		printExplanation(&text, e)
		goldenText(t, "explain-"+name+".txt", text.Bytes())
	}
}

func TestExplainQuery(t *testing.T) {
	for service, want := range map[string]string{
		"shop/payments":      "proxy=web&service=shop%2Fpayments",
		"shop/payments:http": "port=http&proxy=web&service=shop%2Fpayments",
		"payments":           "", "shop/": "", "/payments": "", "": "",
	} {
		q, err := explainQuery("web", service)
		if got := q.Encode(); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", service, got, err, want)
		}
	}
}

// answering is a node that answers with each of the texts in turn, and with the last one from then on; an empty one is "unavailable".
func answering(t *testing.T, paths chan<- string, answers ...string) *client {
	t.Helper()
	at := 0
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := answers[min(at, len(answers)-1)]
		at++
		paths <- r.URL.RequestURI()
		if answer == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(s.Close)
	c := &client{nodes: []string{s.URL}, http: s.Client(), known: knownServers{filepath.Join(t.TempDir(), "servers")}, clock: clock.Real{}, progress: io.Discard}
	t.Cleanup(s.Client().CloseIdleConnections)
	return c
}

const (
	notYet = `{"index":7,"acknowledged":false,"clusters":[{"cluster":"eu","known":7,"derived":7,"proxies":2,"waiting":[{"proxy":"web","index":3,"reason":"its Envoy refuses a part of its configuration: bad","nacks":[{"typeUrl":"t","reason":"bad"},{"typeUrl":"t","reason":"worse"}]}],"more":2},{"cluster":"sa","known":5,"derived":5,"proxies":1,"waiting":[]},{"cluster":"us","waiting":[],"problem":"the agent of cluster us is connected to no node"}]}`
	done   = `{"index":7,"acknowledged":true,"clusters":[{"cluster":"eu","acknowledged":true,"known":7,"derived":7,"proxies":2,"waiting":[]}]}`
)

func TestWaitAsksUntilAllFollow(t *testing.T) {
	paths := make(chan string, 10)
	a, err := waitOptions{cluster: "eu", limit: time.Minute}.wait(patience(t), answering(t, paths, notYet, "", done))
	if err != nil || !a.Acknowledged {
		t.Fatalf("%+v, %v", a, err)
	}
	for _, want := range []string{"/v1/acknowledged?cluster=eu&consistent=true", "/v1/acknowledged?cluster=eu&index=7", "/v1/acknowledged?cluster=eu&index=7"} {
		if got := <-paths; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	}
}

func TestWaitGivesUp(t *testing.T) {
	paths := make(chan string, 100)
	a, err := waitOptions{index: 7, limit: 600 * time.Millisecond}.wait(patience(t), answering(t, paths, notYet))
	if err != nil || a.Acknowledged || len(a.Clusters) != 3 {
		t.Fatalf("%+v, %v", a, err)
	}
	_, err = waitOptions{limit: 300 * time.Millisecond}.wait(patience(t), answering(t, paths, ""))
	if !unavailable(err) {
		t.Errorf("while nobody answers: %v", err)
	}
	ctx, cancel := context.WithCancel(patience(t))
	cancel()
	if _, err := (waitOptions{limit: time.Minute}).wait(ctx, answering(t, paths, notYet)); err == nil {
		t.Error("whoever is told to stop has not waited in vain")
	}
}

func TestAcknowledgementsAsText(t *testing.T) {
	for name, text := range map[string]string{"not-yet": notYet, "done": done} {
		var a rest.Acknowledgement
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		cmd := newWaitCommand(&operatorOptions{})
		cmd.SetOut(&out)
		if err := (&output{format: "table"}).print(cmd, a, func(w io.Writer) { printAcknowledgement(w, a) }); err != nil {
			t.Fatal(err)
		}
		goldenText(t, "wait-"+name+".txt", out.Bytes())
	}
}

// Ask answers as the agent of eu, where everybody follows index 12; the agent of us is connected nowhere.
func (f *federation) Ask(_ context.Context, cluster model.ClusterName, kind model.QueryKind, request []byte) ([]byte, error) {
	if cluster != "eu" {
		return nil, &model.QueryError{Code: model.QueryDisconnected, Message: "not here"}
	}
	if kind == model.QueryAcknowledged {
		return []byte(`{"known":12,"derived":12,"proxies":2,"waiting":[]}`), nil
	}
	if kind == model.QueryWorkload || kind == model.QueryRegister {
		return (&agentParts{site: f.site}).answer(context.Background(), kind, request)
	}
	var q explain.Question
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, err
	}
	switch q.Proxy {
	case "web-1":
		return os.ReadFile(f.explanations + "well.json")
	case "":
		return os.ReadFile(f.explanations + "cluster.json")
	case "web-2":
		return os.ReadFile(f.explanations + "export-rule-missing.json")
	default:
		return nil, &model.QueryError{Code: model.QueryNotFound, Message: "cluster eu has no proxy " + q.Proxy}
	}
}
