package gossip

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/hashicorp/memberlist"
)

// peer is another node as memberlist knows it.
type peer struct {
	node meta
	// gossip is the peer's address in memberlist.
	gossip string
	alive  bool
	// following is true while a loop keeps a stream to the peer.
	following bool
	connected bool
}

// meta is what a node says of itself in memberlist. Protocols are negotiated on the streams.
type meta struct {
	GRPC string `json:"g"`
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
		out = append(out, Peer{Name: name, Address: p.node.GRPC, Alive: p.alive, Connected: p.connected})
	}
	slices.SortFunc(out, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Stats returns a copy of the counters.
func (m *Mesh) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

func (m *Mesh) count(f func(*Stats)) {
	m.mu.Lock()
	f(&m.stats)
	m.mu.Unlock()
	m.changed()
}

// delegate is memberlist's view of a Mesh. It carries no records: memberlist sustains some ten small updates a second.
type delegate struct{ m *Mesh }

// NodeMeta says how this node is reached.
func (d delegate) NodeMeta(limit int) []byte {
	data, err := json.Marshal(meta{GRPC: d.m.cfg.Node.GRPCAddress})
	if err != nil || len(data) > limit {
		d.m.cfg.Logger.Error("this node's addresses are too long for gossip", "bytes", len(data), "limit", limit)
		return nil
	}
	return data
}

// NotifyMsg, GetBroadcasts, LocalState and MergeRemoteState are not used.
func (delegate) NotifyMsg([]byte)                {}
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (delegate) LocalState(bool) []byte          { return nil }
func (delegate) MergeRemoteState([]byte, bool)   {}

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
	select {
	case d.m.events <- struct{}{}:
	default:
	}
	d.m.changed()
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
	p.alive, p.gossip = alive, gossip
	return true
}
