//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/rest"
)

const (
	writerCount = 16
	// namesPerWriter is how many names a writer has in turn: each is overwritten again and again.
	namesPerWriter = 40
	// pause is between two writes of a writer, so that the machine is busy and not drowned.
	pause = 5 * time.Millisecond
	// checkEvery is after how many writes a writer reads one back with consistent=true.
	checkEvery = 10
)

const policyPath = "/v1/failover-policies/"

// writers write policies through all nodes until stop is called.
type writers struct {
	t      *testing.T
	ledger *ledger
	// pause is between two writes of a writer.
	pause time.Duration
	// acknowledged is called after each acknowledged write. It may be nil.
	acknowledged func(name, value string, index uint64)
	// avoid is a node that no write goes through, if there is one: at a frozen one each would wait for its end.
	avoid atomic.Pointer[node]
	// stopped is closed when the writers are to stop.
	stopped <-chan struct{}
	cancel  context.CancelFunc
	group   sync.WaitGroup
}

func startWriters(t *testing.T, ctx context.Context, f *federation, seed uint64) *writers {
	w := &writers{t: t, ledger: newLedger(), pause: pause}
	w.start(ctx, f, writerCount, seed)
	return w
}

func (w *writers) start(ctx context.Context, f *federation, count int, seed uint64) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.stopped = ctx.Done()
	w.t.Cleanup(w.stop)
	for i := range count {
		w.group.Go(func() { w.write(ctx, f, i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
}

// stop ends the writers and waits for them.
func (w *writers) stop() {
	w.cancel()
	w.group.Wait()
}

// write is one writer: each write goes through another node, and each value is written once in the whole test.
func (w *writers) write(ctx context.Context, f *federation, writer int, random *rand.Rand) {
	names, fresh := make([]string, namesPerWriter), 0
	for n := 0; ctx.Err() == nil; n++ {
		name := &names[n%namesPerWriter]
		if *name == "" {
			*name = fmt.Sprintf("w%d-%d", writer, fresh)
			fresh++
		}
		value, node := fmt.Sprintf("w%d-v%d", writer, n), w.pick(f, random).api
		switch w.put(ctx, node, *name, value) {
		case done:
			if n%checkEvery == 0 {
				w.readBack(ctx, w.pick(f, random).api, *name, value)
			}
			sleep(ctx, w.pause)
		case unknown:
			*name = ""
			sleep(ctx, 10*pause)
		case refused:
			sleep(ctx, 10*pause)
		}
	}
}

// pick picks a node by chance.
func (w *writers) pick(f *federation, random *rand.Rand) *node {
	for {
		if n := f.nodes[random.IntN(len(f.nodes))]; n != w.avoid.Load() {
			return n
		}
	}
}

// outcome is what a writer knows of its write.
type outcome int

const (
	// done: a node acknowledged it.
	done outcome = iota
	// refused: nobody got it.
	refused
	// unknown: it may have taken effect or may yet, whatever the answer was.
	unknown
)

func (w *writers) put(ctx context.Context, node *api, name, value string) outcome {
	document := rest.FailoverPolicy{Spec: policy.FailoverPolicySpec{Failover: []policy.RegionOrder{{From: "a", To: []string{value}}}}}
	r, err := node.do(ctx, http.MethodPut, policyPath+name, document)
	var written rest.Written
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		w.ledger.refuse()
		return refused
	case err != nil || r.status == http.StatusServiceUnavailable:
		w.ledger.lose(name, value)
		return unknown
	case r.status != http.StatusOK:
		w.t.Errorf("%s=%s: status %d: %s", name, value, r.status, r.body)
		w.ledger.lose(name, value)
		return unknown
	}
	if err := json.Unmarshal(r.body, &written); err != nil {
		w.t.Errorf("%s=%s: %v in %s", name, value, err, r.body)
	}
	if err := w.ledger.acknowledge(name, value, written.Index); err != nil {
		w.t.Error(err)
	}
	if w.acknowledged != nil {
		w.acknowledged(name, value, written.Index)
	}
	return done
}

// readBack checks that a consistent read shows the write that was acknowledged just before.
func (w *writers) readBack(ctx context.Context, node *api, name, value string) {
	got, err := readPolicy(ctx, node, name, true)
	if err == nil && got != value {
		w.t.Errorf("a consistent read of %s gives %q right after %q was acknowledged", name, got, value)
	}
}

// heldPolicies reads the values of all names from a node's own replica.
func heldPolicies(ctx context.Context, node *api) (map[string]string, error) {
	held := map[string]string{}
	for next := ""; ; {
		var list rest.List[policy.FailoverPolicy]
		if _, err := node.get(ctx, policyPath[:len(policyPath)-1]+"?continue="+next, &list); err != nil {
			return nil, err
		}
		for _, p := range list.Items {
			held[p.Name] = valueOf(p)
		}
		if next = list.Continue; next == "" {
			return held, nil
		}
	}
}

// readPolicy returns the value of a name: what its writer put into the spec, or "" when there is none. An error means no answer.
func readPolicy(ctx context.Context, node *api, name string, consistent bool) (string, error) {
	path := policyPath + name
	if consistent {
		path += "?consistent=true"
	}
	r, err := node.do(ctx, http.MethodGet, path, nil)
	switch {
	case err != nil:
		return "", err
	case r.status == http.StatusNotFound:
		return "", nil
	case r.status != http.StatusOK:
		return "", fmt.Errorf("GET %s: status %d: %s", path, r.status, r.body)
	}
	var p policy.FailoverPolicy
	if err := json.Unmarshal(r.body, &p); err != nil {
		return "", fmt.Errorf("GET %s: %w", path, err)
	}
	return valueOf(p), nil
}

func valueOf(p policy.FailoverPolicy) string {
	if len(p.Spec.Failover) != 1 || len(p.Spec.Failover[0].To) != 1 {
		return fmt.Sprintf("%+v", p.Spec)
	}
	return p.Spec.Failover[0].To[0]
}
