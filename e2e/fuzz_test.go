//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The variables of TestFuzz: the tool's path (without it the test is skipped; `make fuzz` and `make e2e` set it), and how many examples
// each operation gets in each phase.
const (
	fuzzVariable     = "HANSE_SCHEMATHESIS"
	examplesVariable = "HANSE_FUZZ_EXAMPLES"
	fewExamples      = "10"
)

// TestFuzz has a property-based fuzzer send what the OpenAPI document allows, and what it does not, to a running federation of three, and
// check every answer against the document: no error of the server, no status or content that is not documented, what is wrong is refused,
// what is right is taken, credentials matter, and chains of calls hold together.
func TestFuzz(t *testing.T) {
	tool := os.Getenv(fuzzVariable)
	if tool == "" {
		t.Skipf("%s names no schemathesis: run this by `make fuzz`", fuzzVariable)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
	defer cancel()
	f := newFederation(t, ctx, 3, nil)
	leader := f.waitLeader(ctx)
	f.seed(ctx, leader)
	report := filepath.Join(f.dir, "report")
	config, err := filepath.Abs(filepath.Join("testdata", "schemathesis.toml"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, tool, "--config-file", config, "run", "https://"+leader.rest+"/openapi.json",
		"--url", "https://"+leader.rest, "--tls-verify", "false",
		"--header", "Authorization: Bearer "+f.operator,
		"--phases", "examples,coverage,fuzzing,stateful",
		"--max-examples", cmp.Or(os.Getenv(examplesVariable), fewExamples),
		"--request-timeout", "10", "--seed", "1", "--no-color", "--workers", "1", "--continue-on-failure",
		"--report", "junit", "--report-dir", report, "--suppress-health-check", "all", "--warnings", "off",
		// The stream of a watch does not end: it has tests of its own.
		"--exclude-path", "/v1/watch",
	)
	cmd.Dir = f.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("schemathesis: %v", err)
	}
	for _, n := range f.nodes {
		if !n.running() {
			t.Errorf("node %s has ended", n.name)
		}
	}
}

// seed writes one document of each kind, so that reads by name find something.
func (f *federation) seed(ctx context.Context, n *node) {
	f.t.Helper()
	for path, body := range map[string]string{
		"/v1/export-rules/shop":      `{"spec":{"from":["*"],"namespaces":["shop"],"to":["*"]}}`,
		"/v1/failover-policies/shop": `{"spec":{"failover":[{"from":"r1","to":["r2"]}]}}`,
		"/v1/role-bindings/shop":     `{"spec":{"role":"viewer","subjects":[{"kind":"certificate","name":"ann"}]}}`,
	} {
		r, err := n.api.do(ctx, "PUT", path, json.RawMessage(body))
		if err != nil || r.status != 200 {
			f.t.Fatalf("PUT %s: %v, %d %s", path, err, r.status, r.body)
		}
	}
}
