// Package consensus owns the Raft group: the log on disk, the links between nodes and the order in which entries reach
// federation/state. It is the only importer of hashicorp/raft.
//
// The thread that applies entries is Raft's; it publishes an immutable view after each batch, and everybody else reads views.
package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// Node is a member of the Raft group. Its methods are safe for concurrent use. Open starts it, and Run must follow, as Run ends it.
type Node struct {
	cfg   Config
	raft  *raft.Raft
	fsm   *fsm
	disk  *disk
	trans *transport

	failOnce sync.Once
	failure  error
	failed   chan struct{}

	// gate is read-locked by each command under way, and write-locked for good when the node stops.
	gate sync.RWMutex
}

// Open reads the node's log and snapshots and takes part in the group.
func Open(cfg Config) (*Node, error) {
	if err := cfg.fill(); err != nil {
		return nil, fmt.Errorf("open raft node: %w", err)
	}
	n := &Node{cfg: cfg, failed: make(chan struct{})}
	n.fsm = newFSM(cfg.BundleRule, n.fail)
	logger := newLogger(cfg.Logger, cfg.Clock.Now)
	var err error
	if n.disk, err = openDisk(&n.cfg, logger, n.fail); err != nil {
		return nil, fmt.Errorf("open raft node %s in %s: %w", cfg.Name, cfg.Dir, err)
	}
	n.trans = &transport{now: cfg.Clock.Now, NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: newStream(cfg.Listener, cfg.Address, cfg.Dial), MaxPool: 3, Timeout: ioTimeout, Logger: logger, MsgpackUseNewTimeFormat: true,
	})}
	if err := n.start(cfg.raft(logger)); err != nil {
		return nil, errors.Join(fmt.Errorf("open raft node %s in %s: %w", cfg.Name, cfg.Dir, err), n.trans.Close(), n.disk.close())
	}
	if err := n.checkAddress(); err != nil {
		return nil, errors.Join(fmt.Errorf("open raft node %s in %s: %w", cfg.Name, cfg.Dir, err), n.raft.Shutdown().Error(), n.trans.Close(), n.disk.close())
	}
	n.fsm.running.Store(true)
	n.disk.store.running.Store(true)
	return n, nil
}

// checkAddress refuses a node that the others would look for elsewhere: it has moved, or its directory is a copy of another one's that
// runs. Neither would hear from the leader, and nobody would say why. A node that is alone can tell itself.
func (n *Node) checkAddress() error {
	peers := n.Status().Peers
	for _, p := range peers {
		if p.Name == n.cfg.Name && p.Address != n.cfg.Address && len(peers) > 1 {
			return fmt.Errorf("its raft address is %s now, but the others reach it at %s, which must not change while it is a member: "+
				"advertise the old one (--raft-advertise %s), best with a host name that follows the machine; "+
				"if the directory was copied, start the copy with a name, an empty directory and a token of its own", n.cfg.Address, p.Address, p.Address)
		}
	}
	return nil
}

// cachedEntries are kept in memory: a leader looks the newest ones up for each follower many times a second.
const cachedEntries = 64

// start writes the first configuration, with this node alone, when there is no log yet, and starts raft. It turns the panics by which
// raft meets an unreadable log into errors.
func (n *Node) start(conf *raft.Config) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the log cannot be read: %v: if the disk is sound, %s", p, joinAnew)
		}
	}()
	d := n.disk
	if n.cfg.Bootstrap != nil {
		alone := raft.Configuration{Servers: []raft.Server{{ID: conf.LocalID, Address: raft.ServerAddress(n.cfg.Address)}}}
		err := raft.BootstrapCluster(conf, d.store, d.store, d.snapshots, n.trans, alone)
		if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
			return err
		}
	}
	logs, err := raft.NewLogCache(cachedEntries, d.store)
	if err != nil {
		return err
	}
	n.raft, err = raft.NewRaft(conf, n.fsm, logs, d.store, d.snapshots, n.trans)
	return err
}

// Run keeps the node in the group until ctx ends or the node cannot go on: its disk failed, or an entry needs a newer build. Then it
// leaves the group in order and frees everything, also when ctx has ended before.
func (n *Node) Run(ctx context.Context) error {
	err := n.serve(ctx)
	if err == nil {
		err = n.leave()
	}
	stopped := n.raft.Shutdown()
	_ = n.trans.Close()
	// From here on nothing that raft says leaves the node: its calls to a failed disk may go on.
	n.disk.store.release()
	return errors.Join(err, stopped.Error(), n.disk.close())
}

func (n *Node) serve(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.failed:
			return n.failure
		case leading := <-n.raft.LeaderCh():
			if leading && n.cfg.Bootstrap != nil {
				n.initialise(ctx)
			}
		}
	}
}

// initialise makes an empty state a federation. A failure is not final: the next leadership tries again.
func (n *Node) initialise(ctx context.Context) {
	err := n.Barrier(ctx)
	if err == nil && n.View().Federation == "" {
		_, err = n.Propose(ctx, *n.cfg.Bootstrap)
	}
	if err != nil {
		n.cfg.Logger.Warn("federation not initialised yet", "error", err)
	}
}

// leave lets what is under way come to its end, and takes nothing more. A node that fails meanwhile does not wait for answers that
// will not come.
func (n *Node) leave() error {
	left := make(chan struct{})
	go func() {
		n.gate.Lock()
		n.handOver()
		close(left)
	}()
	select {
	case <-left:
		return nil
	case <-n.failed:
		return n.failure
	}
}

// handOver spares the others an election when the leader leaves in order.
func (n *Node) handOver() {
	if !n.IsLeader() || len(n.Status().Peers) < 2 {
		return
	}
	if err := n.raft.LeadershipTransfer().Error(); err != nil {
		n.cfg.Logger.Warn("leadership not handed over: the others will elect a leader", "error", err)
	}
}

// fail ends Run with err; only the first call counts.
func (n *Node) fail(err error) {
	n.failOnce.Do(func() {
		n.failure = fmt.Errorf("raft node %s: %w", n.cfg.Name, err)
		n.cfg.Logger.Error("this node cannot go on and stops", "error", err)
		close(n.failed)
	})
}
