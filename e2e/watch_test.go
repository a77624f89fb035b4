//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/rest"
)

const (
	// snapshotEntries has nodes compact their logs often. What is cut off is gone only with a whole segment of the log, 64 MiB: bulky
	// documents, of a kind that nobody watches, fill one. They also have nodes forget changes, which they remember 8 MiB of.
	snapshotEntries = 150
	bulk            = 200 << 10
	bulksInSegment  = (64 << 20) / bulk * 11 / 10
	bulksOfMemory   = (8 << 20) / bulk * 3 / 2
	// watchWriters and watchPause make at most eighty writes a second: each is told a thousand times.
	watchWriters = 5
	watchPause   = 60 * time.Millisecond
	// calm is how long nothing happens but writes.
	calm = 12 * time.Second
)

// TestWatchesMissNothing has a thousand clients watch at three nodes, of which the leader is killed until the others have compacted their logs
// beyond what it has, and another one frozen until there is more than it will remember. Every client must be told every change once and in order, or that it is to list
// anew; what it lists must be what the log says. HANSE_E2E_WATCHES sets how many clients there are.
func TestWatchesMissNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	count, seed := setting(t, "HANSE_E2E_WATCHES", 1000, strconv.Atoi), seedOf(t)
	f := newFederation(t, ctx, 3, nil, "--snapshot-entries", strconv.Itoa(snapshotEntries))
	w := startWatchers(ctx, f, count, "?kind=FailoverPolicy")
	t.Cleanup(w.stop)
	f.eventually(ctx, 60*time.Second, "all clients watch", func() error { return w.listed(count) })
	r := watchRun{f: f, watchers: w, writers: &writers{t: t, ledger: newLedger(), pause: watchPause}}
	r.writers.acknowledged = r.acknowledge
	r.writers.start(ctx, f, watchWriters, seed)
	r.writers.group.Go(func() { r.writeSets(ctx) })

	sleep(ctx, calm)
	quiet := len(r.acks())
	leader := f.waitLeader(ctx)
	leader.proc.kill()
	r.fill(ctx, bulksInSegment, leader)
	r.untilCompacted(ctx, leader)
	f.start(leader)
	f.waitReady(ctx, leader)
	r.untilMore(ctx, 100)

	frozen := r.other(leader, f.waitLeader(ctx))
	r.writers.avoid.Store(frozen)
	_ = frozen.proc.cmd.Process.Signal(syscall.SIGSTOP)
	r.fill(ctx, bulksOfMemory, frozen)
	_ = frozen.proc.cmd.Process.Signal(syscall.SIGCONT)
	r.writers.avoid.Store(nil)
	r.untilMore(ctx, 100)
	r.writers.stop()
	r.settle(ctx)
	for _, n := range f.nodes {
		t.Logf("%s: %d MiB resident, %s of processor time", n.name, n.usage(t).resident>>20, n.usage(t).cpu.Round(100*time.Millisecond))
	}
	w.stop()
	r.judge(t, quiet)
}

// listed returns an error while not so many clients have listed.
func (w *watchers) listed(count int) error {
	if n := int(w.counts.lists.Load()); n < count {
		return fmt.Errorf("%d of %d have listed", n, count)
	}
	return nil
}

// watchRun is a federation with writers and clients that watch.
type watchRun struct {
	f *federation
	*watchers
	writers *writers
	mu      sync.Mutex
	acked   []acknowledged
}

func (r *watchRun) acknowledge(name, value string, index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked = append(r.acked, acknowledged{name, value, index, time.Now()})
}

// acks are the writes that were acknowledged so far.
func (r *watchRun) acks() []acknowledged {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acked[:len(r.acked):len(r.acked)]
}

// other is a node that is none of these.
func (r *watchRun) other(than ...*node) *node {
	for _, n := range r.f.nodes {
		if !slices.Contains(than, n) {
			return n
		}
	}
	return nil
}

// untilMore waits until so many more writes are acknowledged.
func (r *watchRun) untilMore(ctx context.Context, more int) {
	before := len(r.acks())
	r.f.eventually(ctx, 40*time.Second, "writes go on", func() error {
		if n := len(r.acks()) - before; n < more {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
}

// setSize is how many documents a set has: what changes them all is one entry of the log, and they have one index.
const setSize = 4

// writeSets writes one set of documents again and again until the writers stop.
func (r *watchRun) writeSets(ctx context.Context) {
	random := rand.New(rand.NewPCG(0, 0))
	for n := 0; ; n++ {
		select {
		case <-r.writers.stopped:
			return
		default:
		}
		value := fmt.Sprint("set-v", n)
		set := rest.Apply{}
		for i := range setSize {
			set.Documents = append(set.Documents, fmt.Appendf(nil,
				`{"kind":"FailoverPolicy","name":"set-%d","spec":{"failover":[{"from":"a","to":[%q]}]}}`, i, value))
		}
		reply, err := r.writers.pick(r.f, random).api.do(ctx, http.MethodPost, "/v1/apply", set)
		var applied rest.Applied
		if err == nil && reply.status == http.StatusOK {
			err = json.Unmarshal(reply.body, &applied)
		}
		for _, result := range applied.Results {
			r.acknowledge(result.Name, value, applied.Index)
		}
		if err == nil && reply.status != http.StatusOK && reply.status != http.StatusServiceUnavailable {
			r.f.t.Errorf("a set: %d %.300s", reply.status, reply.body)
			return
		}
		sleep(ctx, 5*watchPause)
	}
}

// fill writes so many bulky documents, through other nodes than the one that is out.
func (r *watchRun) fill(ctx context.Context, count int, out *node) {
	r.f.t.Helper()
	spec := policy.ExportRuleSpec{From: []string{policy.Any}, Namespaces: []string{"bulk"}, To: []string{policy.Any}}
	for i := range bulk / 64 {
		spec.Services = append(spec.Services, fmt.Sprintf("s%060d", i))
	}
	next := atomic.Int64{}
	var group sync.WaitGroup
	for i := range 2 {
		node := r.other(out, r.f.nodes[i])
		group.Go(func() {
			for n := next.Add(1); n <= int64(count) && ctx.Err() == nil; n = next.Add(1) {
				spec := spec
				spec.To = []string{fmt.Sprint("c", n)}
				for {
					reply, err := node.api.do(ctx, http.MethodPut, fmt.Sprint("/v1/export-rules/bulk", n%2), rest.ExportRule{Spec: spec})
					if err == nil && reply.status == http.StatusOK || ctx.Err() != nil {
						break
					}
					if err == nil && reply.status != http.StatusServiceUnavailable {
						r.f.t.Errorf("a bulky rule: %d %.300s", reply.status, reply.body)
						return
					}
					sleep(ctx, 100*time.Millisecond)
				}
			}
		})
	}
	group.Wait()
}

// untilCompacted waits until the others have snapshots from so long after now that their logs do not reach back to before.
func (r *watchRun) untilCompacted(ctx context.Context, out *node) {
	r.untilMore(ctx, snapshotEntries)
	since := time.Now()
	for _, n := range r.f.nodes {
		if n == out {
			continue
		}
		r.f.eventually(ctx, 40*time.Second, n.name+" has compacted its log", func() error {
			snapshots, err := filepath.Glob(filepath.Join(n.dir, "raft", "snapshots", "*", "meta.json"))
			if err != nil {
				return err
			}
			for _, s := range snapshots {
				if info, err := os.Stat(s); err == nil && info.ModTime().After(since) {
					return nil
				}
			}
			return fmt.Errorf("%d snapshots, none since", len(snapshots))
		})
	}
}

// settle waits until every client is told all there is.
func (r *watchRun) settle(ctx context.Context) {
	var st rest.Status
	r.f.eventually(ctx, 20*time.Second, "a consistent read", func() error {
		_, err := r.f.nodes[0].api.get(ctx, "/v1/status?consistent=true", &st)
		return err
	})
	r.f.eventually(ctx, 40*time.Second, fmt.Sprintf("every client is at %d", st.Index), func() error {
		if n := r.behind(st.Index); n > 0 {
			return fmt.Errorf("%d are not", n)
		}
		return nil
	})
}

// judge checks what everybody read; the first writes were acknowledged while nothing happened.
func (r *watchRun) judge(t *testing.T, quiet int) {
	t.Helper()
	l, err := r.log()
	if err != nil {
		t.Fatal(err)
	}
	const tooMany = 10
	var wrong []error
	for _, c := range r.clients {
		if c.failed != nil {
			wrong = append(wrong, fmt.Errorf("client %d: %w", c.number, c.failed))
		} else if err := l.judge(c); err != nil {
			wrong = append(wrong, err)
		}
	}
	for _, a := range r.acks() {
		if err := l.has(a); err != nil {
			wrong = append(wrong, err)
		}
	}
	for _, err := range wrong[:min(len(wrong), tooMany)] {
		t.Error(err)
	}
	n := &r.counts
	first, all := r.seen.delays(r.acks()[:quiet], len(r.clients)), r.seen.delays(r.acks(), len(r.clients))
	t.Logf("summary: %d clients, %d writes acknowledged, %d changes, %d events told; %d connections, %d lists; %d times 410, %d times gone within a stream, "+
		"%d times 503, %d streams given up as silent; %d errors", len(r.clients), len(r.acks()), len(l.events), n.events.Load(), n.connections.Load(), n.lists.Load(),
		n.gone.Load(), n.cut.Load(), n.busy.Load(), n.silent.Load(), len(wrong))
	t.Logf("from the answer to a write until the last client was told, while nothing happens: p50 %s, p99 %s (%d writes); in the whole run: p50 %s, p99 %s (%d writes)",
		quantile(first, 0.5), quantile(first, 0.99), len(first), quantile(all, 0.5), quantile(all, 0.99), len(all))
	if n.gone.Load()+n.cut.Load() == 0 {
		t.Error("nobody was told to begin anew: the logs were not compacted far enough for this to be a test of it")
	}
}
