package consensus

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hanse-mesh/hanse/federation/state"
)

// Clock tells the time that entries carry.
type Clock interface{ Now() time.Time }

// Config is what a node needs.
type Config struct {
	// Dir is the node's own data directory; it is made when it is missing.
	Dir string
	// Name is the node's name in the federation, Address the host:port under which other nodes reach its Listener.
	Name    string
	Address string
	// Federation is the federation's name; a directory of another federation is refused.
	Federation string
	// Listener takes the other nodes' connections; it and Dial speak TLS already. Run closes the listener.
	Listener net.Listener
	Dial     func(ctx context.Context, address string) (net.Conn, error)
	// Bootstrap makes this node the first of a new federation. A node that has a log ignores it.
	Bootstrap *state.InitFederation
	// BundleRule judges a bundle that is to replace another.
	BundleRule state.BundleRule
	// SnapshotThreshold is after how many entries the log is compacted, and how many stay for nodes that lag. Zero is 8192.
	SnapshotThreshold uint64
	Logger            *slog.Logger
	Clock             Clock

	// What only tests change: the time without a leader before an election (1 s), the size of a log segment (64 MiB), and the disk.
	heartbeat   time.Duration
	segmentSize int
	wrapStore   func(logStore) logStore
}

// ioTimeout bounds one exchange with another node.
const ioTimeout = 5 * time.Second

func (c *Config) fill() error {
	switch {
	case c.Dir == "" || c.Name == "" || c.Address == "":
		return errors.New("data directory, name and raft address must be given")
	case c.Listener == nil || c.Dial == nil || c.BundleRule == nil || c.Logger == nil || c.Clock == nil:
		return errors.New("listener, dial, bundle rule, logger and clock must be given")
	}
	if c.Federation == "" && c.Bootstrap != nil {
		c.Federation = c.Bootstrap.Name
	}
	if c.SnapshotThreshold == 0 {
		c.SnapshotThreshold = 8192
	}
	if c.heartbeat == 0 {
		c.heartbeat = time.Second
	}
	return nil
}

func (c *Config) raft(logger raftLogger) *raft.Config {
	r := raft.DefaultConfig()
	r.LocalID = raft.ServerID(c.Name)
	r.Logger = logger
	// The others elect no earlier than a heartbeat after they have heard of the leader; until then it need not give up either. What it
	// would answer meanwhile is not wrong: consistent reads go through the log. Half of that, as is usual, is one lost packet away when
	// nodes are 300 ms apart.
	r.HeartbeatTimeout, r.ElectionTimeout, r.LeaderLeaseTimeout = c.heartbeat, c.heartbeat, c.heartbeat
	// A follower learns what is committed with the next message: at the default of 50 ms it would lag up to 100 ms behind.
	r.CommitTimeout = 5 * time.Millisecond
	r.MaxAppendEntries = 512
	r.BatchApplyCh = true
	r.SnapshotThreshold, r.TrailingLogs = c.SnapshotThreshold, c.SnapshotThreshold
	// Whether there are enough entries is looked for every 10 to 20 s: the default of two to four minutes would let a busy log grow by far more.
	r.SnapshotInterval = 10 * time.Second
	r.NoLegacyTelemetry = true
	// A node that is removed stays up as a follower without a group, so that it can say so.
	r.ShutdownOnRemove = false
	return r
}
