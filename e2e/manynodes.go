//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

const (
	manyVoters  = 3
	manyRegions = 3
	// publishers are members, each with an agent at another node.
	publishers = 6
	// changeEvery is the time between two changes of each member.
	changeEvery = 200 * time.Millisecond
	// converging bounds how long the nodes may take to agree. A node that was frozen or cut off waits for the pauses of all that have
	// given it up.
	converging = 60 * time.Second
)

// manyNodes is a federation of three voters and any number of replicas, in three regions, with members that publish.
type manyNodes struct {
	*federation
	ctx        context.Context
	random     *rand.Rand
	publishers []*publisher
}

// startMany starts the voters, then all replicas at once.
func startMany(t *testing.T, ctx context.Context, size int) *manyNodes {
	t.Helper()
	m := &manyNodes{ctx: ctx, random: rand.New(rand.NewPCG(seedOf(t), 2<<32))}
	began := time.Now()
	m.federation = newFederation(t, ctx, manyVoters, nil)
	t.Logf("%d voters are ready after %s", manyVoters, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	for i := manyVoters; i < size; i++ {
		m.addReplica(i)
	}
	for _, n := range m.nodes {
		m.waitUp(n)
	}
	t.Logf("%d replicas are ready after %s", size-manyVoters, time.Since(began).Round(time.Millisecond))
	for i := range publishers {
		m.publishers = append(m.publishers, startPublisher(t, ctx, m.federation, fmt.Sprintf("c%d", i+1), i*size/publishers))
	}
	return m
}

// addReplica starts a new node as a replica and does not wait for it.
func (m *manyNodes) addReplica(i int) *node {
	m.t.Helper()
	n := m.newNode(fmt.Sprintf("n%d", i+1), fmt.Sprintf("r%d", i%manyRegions+1))
	text := m.newToken(m.ctx, m.nodes[i%manyVoters], rest.NewToken{Kind: model.TokenNode})
	var err error
	if n.api, err = newAPI(n.rest, m.operator); err != nil {
		m.t.Fatal(err)
	}
	m.nodes = append(m.nodes, n)
	m.start(n, "--replica", "--join", text)
	return n
}

// waitUp waits longer than waitReady: dozens of processes that start at once share the machine.
func (m *manyNodes) waitUp(n *node) {
	m.t.Helper()
	m.eventually(m.ctx, 2*time.Minute, n.name+" is ready", func() error { return n.ready(m.ctx) })
}

// running are the nodes whose processes run.
func (m *manyNodes) running() []*node {
	var out []*node
	for _, n := range m.nodes {
		if n.running() {
			out = append(out, n)
		}
	}
	return out
}

// churn lets every member change without end, until the function that it returns is called.
func (m *manyNodes) churn() (stop func()) {
	ctx, cancel := context.WithCancel(m.ctx)
	var group sync.WaitGroup
	for _, p := range m.publishers {
		group.Go(func() {
			for ctx.Err() == nil {
				p.change()
				sleep(ctx, changeEvery)
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	m.t.Cleanup(stop)
	return stop
}

// converge waits until each of the nodes shows what the members have published by now, or something newer.
func (m *manyNodes) converge(what string, nodes []*node) {
	m.t.Helper()
	began := time.Now()
	want := map[model.ClusterName]uint32{}
	for _, p := range m.publishers {
		want[p.cluster.Name] = p.published()
	}
	for _, n := range nodes {
		m.eventually(m.ctx, converging-time.Since(began), n.name+" shows what was published "+what, func() error { return shows(m.ctx, n, want) })
	}
	m.t.Logf("%s: %d nodes show what was published after %s", what, len(nodes), time.Since(began).Round(time.Millisecond))
}

// shows compares a node's catalog with what it must hold at least.
func shows(ctx context.Context, n *node, want map[model.ClusterName]uint32) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var list rest.List[rest.ServiceView]
	if _, err := n.api.get(ctx, "/v1/services?namespace="+publishedNamespace, &list); err != nil {
		return err
	}
	held := map[model.ClusterName]uint32{}
	for _, s := range list.Items {
		for _, o := range s.Offers {
			held[o.Cluster], _ = o.Ready()
		}
	}
	var lacking []error
	for cluster, count := range want {
		if held[cluster] < count {
			lacking = append(lacking, fmt.Errorf("%s is at %d, not at %d", cluster, held[cluster], count))
		}
	}
	return errors.Join(lacking...)
}

// agree waits until all nodes hold the same versions of all members; nothing may change meanwhile.
func (m *manyNodes) agree(nodes []*node) {
	m.t.Helper()
	m.eventually(m.ctx, converging, "all nodes hold the same versions", func() error {
		var first string
		for _, n := range nodes {
			versions, err := versionsAt(m.ctx, n)
			if err != nil {
				return err
			}
			if first == "" {
				first = versions
			}
			if versions != first {
				return fmt.Errorf("%s holds%s, %s holds%s", nodes[0].name, first, n.name, versions)
			}
		}
		return nil
	})
}

func versionsAt(ctx context.Context, n *node) (string, error) {
	var list rest.List[rest.ClusterView]
	if _, err := n.api.get(ctx, "/v1/clusters", &list); err != nil {
		return "", err
	}
	text := ""
	for _, c := range list.Items {
		if c.Feed == nil {
			return "", fmt.Errorf("%s holds nothing of %s", n.name, c.Name)
		}
		text += fmt.Sprintf(" %s@%d.%d", c.Name, c.Feed.Epoch, c.Feed.Seq)
	}
	return text, nil
}

// measure tells what the nodes use while the test does nothing for a while.
func (m *manyNodes) measure(what string, over time.Duration) {
	m.t.Helper()
	nodes, sum := m.running(), usage{}
	var busiest time.Duration
	var largest int64
	before := map[*node]usage{}
	for _, n := range nodes {
		before[n] = n.usage(m.t)
	}
	sleep(m.ctx, over)
	for _, n := range nodes {
		now := n.usage(m.t)
		cpu := now.cpu - before[n].cpu
		sum.cpu, sum.resident = sum.cpu+cpu, sum.resident+now.resident
		busiest, largest = max(busiest, cpu), max(largest, now.resident)
	}
	percent := func(cpu time.Duration) float64 { return 100 * cpu.Seconds() / over.Seconds() }
	m.t.Logf("%s: %d nodes use %.0f %% of a processor, the busiest %.1f %%, and %d MiB, the largest %d MiB",
		what, len(nodes), percent(sum.cpu), percent(busiest), sum.resident>>20, largest>>20)
}

// signal is for SIGSTOP and SIGCONT.
func (n *node) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(-n.proc.cmd.Process.Pid, s); err != nil {
		t.Fatalf("%s to %s: %v", s, n.name, err)
	}
}
