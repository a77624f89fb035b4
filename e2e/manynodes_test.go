//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// TestManyNodes breaks nodes of a federation while its members change all the time: every node must come to show what was published,
// by itself. HANSE_E2E_NODES sets how many nodes there are, HANSE_E2E_FROZEN how long one of them stands still.
func TestManyNodes(t *testing.T) {
	size, frozen := manySize(t), setting(t, "HANSE_E2E_FROZEN", 20*time.Second, time.ParseDuration)
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Minute)
	defer cancel()
	m := startMany(t, ctx, size)
	m.converge("at the start", m.nodes)
	m.checkRoles()
	m.measure("idle", 5*time.Second)

	stop := m.churn()
	m.measure(fmt.Sprintf("%d changes a second", len(m.publishers)*int(time.Second/changeEvery)), 5*time.Second)
	m.converge("under changes", m.nodes)
	m.killAThird()
	m.freezeOne(frozen)
	m.throwGarbage()
	m.strangersKey()
	m.twins()
	stop()
	m.converge("at the end", m.running())
	m.agree(m.running())
}

func (m *manyNodes) checkRoles() {
	m.t.Helper()
	for _, n := range []*node{m.nodes[0], m.nodes[len(m.nodes)-1]} {
		var list rest.List[rest.NodeView]
		if _, err := n.api.get(m.ctx, "/v1/nodes", &list); err != nil {
			m.t.Fatal(err)
		}
		voters := 0
		for _, v := range list.Items {
			if !v.Replica {
				voters++
			}
		}
		if voters != manyVoters || len(list.Items) != len(m.nodes) {
			m.t.Errorf("%s says that %d of %d nodes vote", n.name, voters, len(list.Items))
		}
	}
	list := invocation{args: []string{"node", "list"}, env: []string{"HANSE_OPERATOR_TOKEN_FILE=" + m.operatorFile}}.check(m.t, m.binary)
	if strings.Count(list, " voter ") != manyVoters || strings.Count(list, " replica ") != len(m.nodes)-manyVoters {
		m.t.Errorf("hanse node list says\n%s", list)
	}
}

// killAThird kills nodes without warning, one voter among them, and starts them again: their catalogs are empty then.
func (m *manyNodes) killAThird() {
	m.t.Helper()
	victims := []*node{m.nodes[m.random.IntN(manyVoters)]}
	for _, i := range m.random.Perm(len(m.nodes) - manyVoters)[:len(m.nodes)/3-1] {
		victims = append(victims, m.nodes[manyVoters+i])
	}
	for _, n := range victims {
		n.proc.kill()
	}
	m.converge(fmt.Sprintf("after %d nodes were killed", len(victims)), m.running())
	for _, n := range victims {
		m.start(n)
	}
	for _, n := range victims {
		m.waitUp(n)
	}
	m.converge(fmt.Sprintf("after %d nodes came back empty", len(victims)), m.nodes)
}

// freezeOne lets a replica stand still, and its agents and peers with it.
func (m *manyNodes) freezeOne(d time.Duration) {
	m.t.Helper()
	victim := m.nodes[manyVoters+m.random.IntN(len(m.nodes)-manyVoters)]
	var others []*node
	for _, n := range m.nodes {
		if n != victim {
			others = append(others, n)
		}
	}
	victim.signal(m.t, syscall.SIGSTOP)
	sleep(m.ctx, d)
	m.converge(fmt.Sprintf("while %s stands still", victim.name), others)
	victim.signal(m.t, syscall.SIGCONT)
	m.converge(fmt.Sprintf("after %s has stood still for %s", victim.name, d), m.nodes)
}

// throwGarbage sends noise to every port of a node.
func (m *manyNodes) throwGarbage() {
	m.t.Helper()
	victim := m.nodes[m.random.IntN(len(m.nodes))]
	targets := [][2]string{{"tcp", victim.grpc}, {"tcp", victim.rest}, {"tcp", victim.raft}, {"tcp", victim.gossip}, {"udp", victim.gossip}, {"tcp", victim.health}}
	for i := range 120 {
		to := targets[i%len(targets)]
		conn, err := net.DialTimeout(to[0], to[1], 2*time.Second)
		if err != nil {
			m.t.Fatalf("%s is not served any more after %d messages of noise: %v", to[1], i, err)
		}
		noise := make([]byte, 1+m.random.IntN(1200))
		_, _ = rand.Read(noise)
		// A server may hang up in the middle.
		_, _ = conn.Write(noise)
		_ = conn.Close()
	}
	m.converge("after noise on every port of "+victim.name, m.nodes)
}

// strangersKey gives a node another gossip key than the others have: it must say so, nothing must reach it, and nobody else must care.
func (m *manyNodes) strangersKey() {
	m.t.Helper()
	stranger := m.nodes[len(m.nodes)-1]
	stranger.proc.stop(m.t)
	path := filepath.Join(stranger.dir, "node.json")
	right, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, withAnotherKey(m.t, right), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.start(stranger)
	m.waitUp(stranger)
	m.eventually(m.ctx, 20*time.Second, stranger.name+" says that its gossip key is another one", func() error {
		if !stranger.proc.said(m.t, "has another gossip key") {
			return fmt.Errorf("it says %s", stranger.proc.tail())
		}
		return nil
	})
	m.converge("beside a node with another gossip key", m.nodes[:len(m.nodes)-1])
	var list rest.List[rest.ServiceView]
	if _, err := stranger.api.get(m.ctx, "/v1/services", &list); err != nil || len(list.Items) > 0 {
		m.t.Errorf("a node with another gossip key holds %v, %v", list.Items, err)
	}
	stranger.proc.stop(m.t)
	if err := os.WriteFile(path, right, 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.start(stranger)
	m.waitUp(stranger)
	m.converge("with its own key again", m.nodes)
}

func withAnotherKey(t *testing.T, identity []byte) []byte {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(identity, &fields); err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	fields["gossipKeys"] = [][]byte{key}
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// regular is a folder without its sockets, which cannot be copied.
type regular struct{ fs.FS }

// ReadDir lists what can be copied of a folder.
func (r regular) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(r.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() && !e.Type().IsRegular() }), err
}

// twins starts a second node under a name that is taken: one that joins anew, and one from a copy of the first one's folder.
func (m *manyNodes) twins() {
	m.t.Helper()
	first := m.nodes[len(m.nodes)-1]
	text := m.newToken(m.ctx, m.nodes[0], rest.NewToken{Kind: model.TokenNode})
	joins, copied := m.newNode(first.name, first.region), m.newNode(first.name, first.region)
	joins.dir += "-joins"
	copied.dir += "-copied"
	if err := os.CopyFS(copied.dir, regular{os.DirFS(first.dir)}); err != nil {
		m.t.Fatal(err)
	}
	checkAll(m.t, m.binary, []invocation{
		{
			name: "a name that is taken", args: append([]string{"server", "--replica", "--join", text}, joins.args()...),
			code: exitFailure, says: []string{first.name, "taken", "another name"},
		},
		{
			name: "a copy of a node", args: append([]string{"server"}, copied.args()...),
			code: exitFailure, says: []string{first.name, copied.raft, first.raft, "--raft-advertise"},
		},
	})
	m.converge("beside nodes of the same name", m.nodes)
}
