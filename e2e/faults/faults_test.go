//go:build e2e

package faults

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
	"github.com/hanse-mesh/hanse/e2e/sample"
	"github.com/hanse-mesh/hanse/federation/diagnose"
)

// patience is how long a fault may take to be named, and its end to be believed.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "app" {
		if err := sample.Run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "faults:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// plant is a fault, and the finding that names it.
type plant struct {
	name         string
	strike, mend func(context.Context, *world) error
	// after is how long it takes until the fault is one.
	after   time.Duration
	code    diagnose.Code
	subject string
	// says is part of the finding.
	says string
	// explained, when its caller is set, is what "hanse explain" says of a caller's calls of cart meanwhile.
	explained explanation
}

// explanation is a caller, as CLUSTER/PROXY, and a part of why its calls go where they go.
type explanation struct{ caller, says string }

// TestPlantedFaults plants one fault after the other. The expired certificate is planted first and looked at last: it takes a minute.
func TestPlantedFaults(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	// A short path: Unix sockets live below it, and their paths are limited to 107 bytes.
	dir, err := os.MkdirTemp("", "hanse-faults-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w, err := newWorld(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			w.showLogs(t)
		}
		w.fleet.Close()
	})
	if err := w.raise(ctx); err != nil {
		t.Fatal(err)
	}
	t.Run("nothing is wrong", func(t *testing.T) { w.eventually(t, ctx, patience, w.well) })
	expired := expiredCertificate()
	if err := expired.strike(ctx, w); err != nil {
		t.Fatal(err)
	}
	for _, p := range plants() {
		t.Run(p.name, func(t *testing.T) {
			if err := p.strike(ctx, w); err != nil {
				t.Fatal(err)
			}
			w.seen(t, ctx, p)
		})
	}
	t.Run(expired.name, func(t *testing.T) { w.seen(t, ctx, expired) })
	t.Run("nothing is wrong any more", func(t *testing.T) { w.eventually(t, ctx, patience, w.well) })
	// Clocks go back at their ends, which no clock of a process does by itself: what had been measured and planned until then is of no use.
	for _, last := range []plant{skewed(), stale()} {
		t.Run(last.name, func(t *testing.T) {
			if err := last.strike(ctx, w); err != nil {
				t.Fatal(err)
			}
			w.seen(t, ctx, last)
		})
	}
}

// seen waits until a fault is named, mends it, and waits until it is not named any more.
func (w *world) seen(t *testing.T, ctx context.Context, p plant) {
	t.Helper()
	w.eventually(t, ctx, p.after+patience, func(ctx context.Context) error {
		r, err := w.check(ctx)
		if err != nil {
			return err
		}
		f, ok := r.find(p.code, p.subject)
		if text := f.Message + strings.Join(f.Evidence, "\n"); !ok || !strings.Contains(text, p.says) {
			return fmt.Errorf("no %s of %s that says %q in %s", p.code, p.subject, p.says, r)
		}
		return nil
	})
	if e := p.explained; e.caller != "" {
		w.eventually(t, ctx, patience, func(ctx context.Context) error {
			text, err := w.cli(ctx, "explain", e.caller, "shop/cart")
			if err == nil && !strings.Contains(text, e.says) {
				err = fmt.Errorf("explain does not say %q:\n%s", e.says, text)
			}
			return err
		})
	}
	if err := p.mend(ctx, w); err != nil {
		t.Fatal(err)
	}
	w.eventually(t, ctx, patience, func(ctx context.Context) error {
		r, err := w.check(ctx)
		if err != nil {
			return err
		}
		if f, ok := r.find(p.code, p.subject); ok {
			return fmt.Errorf("it is still named: %+v", f)
		}
		return nil
	})
}

func (w *world) eventually(t *testing.T, ctx context.Context, within time.Duration, check func(context.Context) error) {
	t.Helper()
	start := time.Now()
	if err := fleet.Eventually(ctx, within, func() error { return check(ctx) }); err != nil {
		t.Fatal(err)
	}
	t.Logf("after %s", time.Since(start).Round(100*time.Millisecond))
}

// result is what `hanse check -o json` prints.
type result struct {
	Errors   int                `json:"errors"`
	Findings []diagnose.Finding `json:"findings"`
}

func (r result) find(code diagnose.Code, subject string) (diagnose.Finding, bool) {
	for _, f := range r.Findings {
		if f.Code == code && f.Subject == subject {
			return f, true
		}
	}
	return diagnose.Finding{}, false
}

// String lists what was found.
func (r result) String() string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %s %s: %s", f.Severity, f.Code, f.Subject, f.Message))
	}
	return strings.Join(out, "\n")
}

// check runs `hanse check` and holds its exit code against what it says.
func (w *world) check(ctx context.Context) (result, error) {
	a, err := w.run(ctx, "check", "-o", "json")
	if err != nil {
		return result{}, err
	}
	var r result
	if err := decode(a.out, &r); err != nil {
		return r, fmt.Errorf("exit code %d, %s: %w", a.code, a.err, err)
	}
	want := 0
	if r.Errors > 0 {
		want = 7
	}
	if a.code != want {
		return r, fmt.Errorf("exit code %d with %d errors", a.code, r.Errors)
	}
	return r, nil
}

// well checks that nothing is found but that ap's certificates are short.
func (w *world) well(ctx context.Context) error {
	r, err := w.check(ctx)
	if err != nil {
		return err
	}
	for _, f := range r.Findings {
		if f.Code != "certificate-expiring" || !strings.HasPrefix(f.Subject, "proxy/ap/") {
			return fmt.Errorf("it finds %s", r)
		}
	}
	return nil
}

// nodesAhead moves the clocks of all nodes.
func (w *world) nodesAhead(d time.Duration) error {
	for _, site := range sites {
		if err := w.setClock("node-"+site, d); err != nil {
			return err
		}
	}
	return nil
}
