package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/overlay"
	"github.com/hanse-mesh/hanse/federation/spread"
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
	degree int
	timing spread.Timing
	// events has a value when whom to follow may have changed.
	events    chan struct{}
	asks      *asker
	repairs   *repairer
	conflicts conflicts

	// changed is called after peers or stats have changed.
	changed func()

	mu    sync.Mutex
	peers map[string]*peer
	stats Stats
}

// New checks the configuration; nothing is opened before Run.
func New(cfg Config) (*Mesh, error) {
	m := &Mesh{
		cfg: cfg, degree: overlay.DefaultDegree, timing: spread.DefaultTiming(), events: make(chan struct{}, 1),
		peers: map[string]*peer{}, changed: func() {},
	}
	m.asks, m.repairs = newAsker(cfg.Store, m.timing, cfg.Clock), newRepairer(cfg.Store, m.timing)
	if len(cfg.Keys) == 0 {
		return nil, errors.New("gossip: no encryption key is given")
	}
	ring, err := memberlist.NewKeyring(cfg.Keys, cfg.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip: encryption keys: %w", err)
	}
	m.list = *memberlist.DefaultLANConfig()
	m.list.Name, m.list.Keyring = cfg.Node.Name, ring
	m.list.Delegate, m.list.Events, m.list.Conflict = delegate{m}, delegate{m}, delegate{m}
	m.list.Logger = slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug)
	// Nodes of different regions are some 100 ms apart. Half of an interval is left for probes by way of others and over TCP.
	m.list.ProbeInterval, m.list.ProbeTimeout, m.list.TCPTimeout = 2*time.Second, time.Second, 5*time.Second
	// A node that crashed may come back under its name at another address; it is told to those who missed it.
	m.list.DeadNodeReclaimTime, m.list.PushPullInterval = time.Second, 10*time.Second
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
	var tasks sync.WaitGroup
	defer tasks.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tasks.Go(func() { m.join(ctx, list.Join) })
	tasks.Go(func() { m.asks.run(ctx) })
	tasks.Go(func() { m.repairAll(ctx) })
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.events:
			m.replan(ctx, &tasks)
		}
	}
}

// join asks the seeds that are not members to let this node in, again and again: after a partition they are to find each other, too.
// It waits for those that do not answer, which is why it does so apart.
func (m *Mesh) join(ctx context.Context, ask func(seeds []string) (int, error)) {
	silent := map[string]bool{}
	for {
		for _, seed := range m.cfg.Seeds() {
			if ctx.Err() != nil {
				return
			}
			if m.present(seed) {
				delete(silent, seed)
				continue
			}
			_, err := ask([]string{seed})
			if err != nil && !silent[seed] {
				m.cfg.Logger.Warn("a gossip seed does not let this node in: it is down, cannot be reached, or has another gossip key; trying on",
					"seed", seed, "error", err)
			}
			silent[seed] = err != nil
		}
		select {
		case <-ctx.Done():
			return
		case <-m.cfg.Clock.After(rejoinEvery):
		}
	}
}

// present reports whether a live node, or this one, has the gossip address. It goes by what memberlist has told: the nodes that
// memberlist lists change while they are read.
func (m *Mesh) present(seed string) bool {
	host, port, err := hostPort(seed)
	if err != nil {
		return false
	}
	address := net.JoinHostPort(host, strconv.Itoa(port))
	if address == net.JoinHostPort(m.list.AdvertiseAddr, strconv.Itoa(m.list.AdvertisePort)) {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		if p.alive && p.gossip == address {
			return true
		}
	}
	return false
}
