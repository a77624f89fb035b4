package gossip

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// peer is another node as memberlist knows it.
type peer struct {
	node meta
	// gossip is the peer's address in memberlist.
	gossip string
	alive  bool
	// seen is when the peer was last said to live, or to be dead.
	seen time.Time
	// pursuit is nil while the peer is not followed; unreachable is set when it has not brought a stream for too long.
	pursuit     *pursuit
	unreachable bool
}

// meta is what a node says of itself in memberlist. Protocols are negotiated on the streams.
type meta struct {
	GRPC   string `json:"g"`
	Region string `json:"r,omitempty"`
}

// Peer is another node as this one sees it.
type Peer struct {
	Name    string
	Address string
	Alive   bool
	// Connected is whether this node follows the peer's catalog over a stream.
	Connected bool
}

// Peers lists the other nodes that this one has seen, by name.
func (m *Mesh) Peers() []Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Peer, 0, len(m.peers))
	for name, p := range m.peers {
		out = append(out, Peer{Name: name, Address: p.node.GRPC, Alive: p.alive, Connected: p.pursuit != nil && p.pursuit.connected})
	}
	slices.SortFunc(out, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// delegate is memberlist's view of a Mesh. It carries no records: memberlist sustains some ten small updates a second.
type delegate struct{ m *Mesh }

// NodeMeta says how this node is reached.
func (d delegate) NodeMeta(limit int) []byte {
	data, err := json.Marshal(meta{GRPC: d.m.cfg.Node.GRPCAddress, Region: d.m.cfg.Node.Region})
	if err != nil || len(data) > limit {
		d.m.cfg.Logger.Error("this node's addresses are too long for gossip", "bytes", len(data), "limit", limit)
		return nil
	}
	return data
}

// NotifyMsg and GetBroadcasts are not used.
func (delegate) NotifyMsg([]byte)                {}
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }

// NotifyJoin takes a live node.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.seen(n, true) }

// NotifyUpdate takes a node's new addresses.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.seen(n, true) }

// NotifyLeave takes a node that left or is taken for dead.
func (d delegate) NotifyLeave(n *memberlist.Node) { d.seen(n, false) }

func (d delegate) seen(n *memberlist.Node, alive bool) {
	if n.Name == d.m.cfg.Node.Name {
		return
	}
	var said meta
	if err := json.Unmarshal(n.Meta, &said); err != nil || said.GRPC == "" {
		d.m.cfg.Logger.Warn("a gossip member does not say how it is reached", "member", n.Name)
		alive = false
	}
	if d.m.note(n.Name, n.Address(), said, alive) {
		d.m.cfg.Logger.Info("federation node seen", "node", n.Name, "alive", alive, "address", said.GRPC)
	}
	d.m.plan()
	d.m.changed()
}

// NotifyConflict takes a node that shows up under the name of another one that lives, which may be this one. memberlist goes on with
// the one that was there first.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	if !d.m.conflicts.first(other.Name+" "+other.Address(), d.m.cfg.Clock.Now()) {
		return
	}
	d.m.cfg.Logger.Error("two federation nodes run under one name: stop one of them, or start it with an empty data folder and another --name",
		"node", existing.Name, "address", existing.Address(), "other_address", other.Address())
	d.m.changed()
}

// conflictEvery is how often one conflict of names is told.
const conflictEvery = time.Minute

// conflicts remembers which conflicts were told lately. It is safe for concurrent use.
type conflicts struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// first reports whether a conflict was not told lately, and takes it as told.
func (c *conflicts) first(what string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.told, func(_ string, at time.Time) bool { return now.Sub(at) >= conflictEvery })
	if _, lately := c.told[what]; lately {
		return false
	}
	if c.told == nil {
		c.told = map[string]time.Time{}
	}
	c.told[what] = now
	return true
}

// note keeps what is known of a peer; the last address of one that does not say where it is stays.
func (m *Mesh) note(name, gossip string, said meta, alive bool) (known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[name]
	if p == nil {
		if said.GRPC == "" {
			return false
		}
		p = &peer{}
		m.peers[name] = p
	}
	if said.GRPC != "" {
		p.node = said
	}
	p.alive, p.gossip, p.seen = alive, gossip, m.cfg.Clock.Now()
	return true
}
