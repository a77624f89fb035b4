package gossip

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// rejoinEvery is how often seeds that are not members are tried again.
const rejoinEvery = 2 * time.Second

// Config is what a Mesh needs. All fields are required.
type Config struct {
	Node model.Node
	// Bind and Advertise are host:port for TCP and UDP.
	Bind, Advertise string
	// Keys encrypt what memberlist sends, the primary first; each has 16, 24 or 32 bytes.
	Keys [][]byte
	// Seeds returns the gossip addresses of the other nodes; it is asked again while some are missing.
	Seeds func() []string
	// Dial connects to another node's gRPC address as this node.
	Dial   func(ctx context.Context, address string) (*grpc.ClientConn, error)
	Store  *Store
	Clock  clock.Clock
	Logger *slog.Logger
}

// Mesh is this node's part in the spread of the catalog. It is safe for concurrent use.
type Mesh struct {
	cfg    Config
	list   memberlist.Config
	events chan struct{}

	mu    sync.Mutex
	peers map[string]*peer
	stats Stats
}

// peer is another node as memberlist knows it.
type peer struct {
	node  meta
	alive bool
	// following is true while a loop keeps a stream to the peer.
	following bool
	connected bool
}

// meta is what a node says of itself in memberlist.
type meta struct {
	Name string `json:"n"`
	GRPC string `json:"g"`
	Min  uint32 `json:"min"`
	Max  uint32 `json:"max"`
}

// Peer is another node as this one sees it.
type Peer struct {
	Name    string
	Address string
	Alive   bool
	// Connected is whether this node follows the peer's catalog over a stream.
	Connected bool
}

// Stats counts what has gone through the streams.
type Stats struct {
	BatchesIn, BatchesOut, Gaps uint64
}

// New checks the configuration; nothing is opened before Run.
func New(cfg Config) (*Mesh, error) {
	m := &Mesh{cfg: cfg, events: make(chan struct{}, 1), peers: map[string]*peer{}}
	if len(cfg.Keys) == 0 {
		return nil, errors.New("gossip: no encryption key is given")
	}
	ring, err := memberlist.NewKeyring(cfg.Keys, cfg.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip: encryption keys: %w", err)
	}
	m.list = *memberlist.DefaultLANConfig()
	m.list.Name, m.list.Keyring = cfg.Node.Name, ring
	m.list.Delegate, m.list.Events = delegate{m}, delegate{m}
	m.list.Logger = slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug)
	// Nodes of different regions are some 100 ms apart.
	m.list.ProbeTimeout, m.list.TCPTimeout = time.Second, 5*time.Second
	if m.list.BindAddr, m.list.BindPort, err = hostPort(cfg.Bind); err != nil {
		return nil, fmt.Errorf("gossip: bind address: %w", err)
	}
	if m.list.AdvertiseAddr, m.list.AdvertisePort, err = hostPort(cfg.Advertise); err != nil {
		return nil, fmt.Errorf("gossip: advertised address: %w", err)
	}
	return m, nil
}

// hostPort splits an address and resolves its host, because memberlist takes IP addresses only.
func hostPort(address string) (string, int, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is not a number", text)
	}
	ip, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return "", 0, err
	}
	return ip.String(), port, nil
}

// Run takes part until ctx ends.
func (m *Mesh) Run(ctx context.Context) error {
	list, err := memberlist.Create(&m.list)
	if err != nil {
		return fmt.Errorf("gossip on %s: %w", m.cfg.Bind, err)
	}
	defer func() {
		// Others are told that this node leaves; if they cannot be, they will notice.
		_ = list.Leave(time.Second)
		_ = list.Shutdown()
	}()
	var followers sync.WaitGroup
	defer followers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rejoin := m.cfg.Clock.NewTimer(0)
	defer rejoin.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rejoin.C():
			m.joinMissing(list)
			rejoin.Reset(rejoinEvery)
		case <-m.events:
		}
		m.followAll(ctx, &followers)
	}
}

// joinMissing asks the seeds that are not members to let this node in.
func (m *Mesh) joinMissing(list *memberlist.Memberlist) {
	present := map[string]bool{m.cfg.Advertise: true}
	for _, n := range list.Members() {
		present[n.Address()] = true
	}
	for _, seed := range m.cfg.Seeds() {
		host, port, err := hostPort(seed)
		if err == nil && present[net.JoinHostPort(host, strconv.Itoa(port))] {
			continue
		}
		if _, err := list.Join([]string{seed}); err != nil {
			m.cfg.Logger.Debug("gossip seed does not answer", "seed", seed, "error", err)
		}
	}
}

// followAll starts a loop for every live peer that has none.
func (m *Mesh) followAll(ctx context.Context, followers *sync.WaitGroup) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, p := range m.peers {
		if !p.alive || p.following {
			continue
		}
		p.following = true
		followers.Add(1)
		go func() {
			defer followers.Done()
			m.follow(ctx, name)
		}()
	}
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
	defer m.mu.Unlock()
	f(&m.stats)
}

// delegate is memberlist's view of a Mesh. It carries no records: memberlist sustains some ten small updates a second.
type delegate struct{ m *Mesh }

// NodeMeta says how this node is reached.
func (d delegate) NodeMeta(limit int) []byte {
	n := d.m.cfg.Node
	data, err := json.Marshal(meta{Name: n.Name, GRPC: n.GRPCAddress, Min: n.ProtocolMin, Max: n.ProtocolMax})
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
		return
	}
	d.m.mu.Lock()
	p := d.m.peers[n.Name]
	if p == nil {
		p = &peer{}
		d.m.peers[n.Name] = p
	}
	p.node, p.alive = said, alive
	d.m.mu.Unlock()
	d.m.cfg.Logger.Info("federation node seen", "node", n.Name, "alive", alive, "address", said.GRPC)
	select {
	case d.m.events <- struct{}{}:
	default:
	}
}
