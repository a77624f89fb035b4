package consensus

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait: a test that needs it has failed.
const patience = 30 * time.Second

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func noBundles(*model.SignedBundle, model.SignedBundle) (model.Bundle, error) {
	return model.Bundle{}, errors.New("no bundles here")
}

func hash(s string) []byte { h := sha256.Sum256([]byte(s)); return h[:] }

func first(name, address string) *state.InitFederation {
	return &state.InitFederation{
		Name: "hanse", Root: []byte("root"),
		Node:          model.Node{Name: name, GRPCAddress: "g:1", RaftAddress: address, CommandMax: model.CommandVersion},
		OperatorToken: model.Token{ID: "op", Kind: model.TokenOperator, SecretHash: hash("op")},
	}
}

func rule(name string) state.PutPolicy {
	return state.PutPolicy{Kind: "ExportRule", Name: name, JSON: fmt.Appendf(nil, `{"name":%q,"spec":{}}`, name)}
}

// member is a node of a test with what it takes to stop and restart it.
type member struct {
	*Node
	t    *testing.T
	cfg  Config
	stop context.CancelFunc
	done chan error
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func config(t *testing.T, name string) Config {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	return Config{
		Dir: t.TempDir(), Name: name, Address: l.Addr().String(), Federation: "hanse", Listener: l, BundleRule: noBundles,
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Clock: wallClock{},
		heartbeat: 500 * time.Millisecond, segmentSize: 1 << 20,
	}
}

func open(t *testing.T, cfg Config) *member {
	t.Helper()
	n, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{Node: n, t: t, cfg: cfg, stop: cancel, done: make(chan error, 1)}
	go func() { m.done <- n.Run(ctx) }()
	t.Cleanup(func() { m.end() })
	return m
}

// end stops the node and returns what Run returned.
func (m *member) end() error {
	m.t.Helper()
	m.stop()
	select {
	case err := <-m.done:
		m.done <- err
		return err
	case <-time.After(patience):
		m.t.Fatal("the node does not stop")
		return nil
	}
}

// restart opens the node again with its directory and address.
func (m *member) restart() *member {
	m.t.Helper()
	if err := m.end(); err != nil {
		m.t.Fatal(err)
	}
	m.cfg.Listener = listen(m.t, m.cfg.Address)
	return open(m.t, m.cfg)
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// await waits until the node's view satisfies want.
func (m *member) await(what string, want func(*state.View) bool) *state.View {
	m.t.Helper()
	timeout := time.After(patience)
	for {
		v, changed := m.Watch()
		if want(v) {
			return v
		}
		select {
		case <-changed:
		case <-timeout:
			m.t.Fatalf("%s never saw %s; it is at index %d", m.cfg.Name, what, v.Index)
		}
	}
}

func (m *member) awaitRule(name string) {
	m.t.Helper()
	m.await("rule "+name, func(v *state.View) bool { _, ok := v.Exports[name]; return ok })
}

// start opens the first node of a federation and waits until it is one.
func start(t *testing.T, cfg Config) *member {
	t.Helper()
	cfg.Bootstrap = first(cfg.Name, cfg.Address)
	m := open(t, cfg)
	m.await("its federation", func(v *state.View) bool { return v.Federation == "hanse" })
	return m
}

// trio opens a group of three.
func trio(t *testing.T, change func(*Config)) []*member {
	t.Helper()
	group := make([]*member, 3)
	for i := range group {
		cfg := config(t, fmt.Sprintf("n%d", i+1))
		if change != nil {
			change(&cfg)
		}
		if i == 0 {
			group[0] = start(t, cfg)
			continue
		}
		group[i] = open(t, cfg)
		retry(t, group[:i], func(ctx context.Context) bool {
			return slices.ContainsFunc(group[:i], func(m *member) bool { return m.AddVoter(ctx, cfg.Name, cfg.Address) == nil })
		})
	}
	return group
}

// propose retries until a member has the command through, and returns it: it leads, or did a moment ago.
func propose(t *testing.T, group []*member, c state.Command) (leader *member) {
	t.Helper()
	retry(t, group, func(ctx context.Context) bool {
		for _, leader = range group {
			_, err := leader.Propose(ctx, c)
			if err == nil {
				return true
			}
			if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrNoQuorum) && !errors.Is(err, ErrUnknownOutcome) {
				t.Fatal(err)
			}
		}
		return false
	})
	return leader
}

// others returns the group without m.
func others(group []*member, m *member) []*member {
	return slices.DeleteFunc(slices.Clone(group), func(o *member) bool { return o == m })
}

// retry calls attempt until it succeeds, each time after a role or the leader of a member has changed.
func retry(t *testing.T, group []*member, attempt func(context.Context) bool) {
	t.Helper()
	changes := make(chan raft.Observation, 256)
	observer := raft.NewObserver(changes, false, nil)
	for _, m := range group {
		m.raft.RegisterObserver(observer)
		defer m.raft.DeregisterObserver(observer)
	}
	ctx := bounded(t)
	for !attempt(ctx) {
		select {
		case <-changes:
		case <-ctx.Done():
			t.Fatal("no attempt has succeeded")
		}
	}
}
