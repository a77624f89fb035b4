package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/consensus"
	"github.com/hanse-mesh/hanse/federation/gossip"
	"github.com/hanse-mesh/hanse/federation/server"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/internal/run"
	"github.com/hanse-mesh/hanse/trust/bundle"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
)

func newServerCommand() *cobra.Command {
	var opts serverOptions
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a federation node",
		Long: `A federation node holds what must be agreed (members, tokens, trust, policy) in a Raft group, spreads what must be known (the service
catalog) between nodes, serves agents and the REST API. Three nodes, one per region, survive the loss of one; five that of two.

Nodes vote unless they join with --replica. A replica has all that a voter has and serves agents and operators as a voter does; changes
go to the leader from either. Add replicas in further regions and where many agents are: they make no change slower, and what they
hold survives with them, but they count for no majority. A federation takes at most seven voters.

Ports: 7700 agents and nodes, 7701 REST API, 7702 Raft, 7703 gossip, 7704 health and metrics (loopback).

The REST API is also served on the socket DATA_DIR/admin.sock, which only this node's user and root can open: whoever can is an admin there,
without a token. When no admin's token is left, make one on the leader's machine (the other nodes say which it is):
  hanse --socket /var/lib/hanse/server/admin.sock token create operator --role admin`,
		Example: `  hanse server init --federation example.org --region eu
  hanse server --region eu
  hanse server --region us --join hanse-node-1.…
  hanse server --region sa --replica --join hanse-node-1.…`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.roleGiven = cmd.Flags().Changed("replica")
			return runRole(cmd, opts.validate, opts.log, func(ctx context.Context, logger *slog.Logger) error { return runServer(ctx, opts, logger) })
		},
	}
	opts.bind(cmd)
	cmd.Flags().StringVar(&opts.join, "join", "", "node token that adds this node to a federation; needed once")
	cmd.Flags().StringVar(&opts.joinFile, "join-file", "", "file with that token: the node waits until it is there, or 'hanse server init' has been run in its folder")
	cmd.Flags().BoolVar(&opts.replica, "replica", false, "join as a read replica, without a vote; needed once, a node keeps the role in which it joined")
	cmd.AddCommand(newServerInitCommand())
	return cmd
}

// serverParts is a federation node taken apart.
type serverParts struct {
	opts     serverOptions
	node     model.Node
	identity *identity.Source
	issuing  *ca.Authority
	own      nodeIdentity
	founding *founding
	// founded is set once the tokens that "server init" printed can be used.
	founded atomic.Bool
	clock   clock.Clock
	logger  *slog.Logger

	raft, grpcListener, restListener, health, socket net.Listener

	consensus *consensus.Node
	store     *gossip.Store
	mesh      *gossip.Mesh
	server    *server.Server
	registry  *prometheus.Registry
}

// runServer wires a federation node, from the disk outwards: identity, log, catalog, and only then those who listen to the world.
func runServer(ctx context.Context, opts serverOptions, logger *slog.Logger) error {
	if err := openServer(ctx, &opts, machineClock(), logger); err != nil {
		return err
	}
	node, err := opts.node()
	if err != nil {
		return err
	}
	p := &serverParts{opts: opts, node: node, clock: machineClock(), logger: logger, registry: newRegistry()}
	if err := p.becomeNode(ctx); err != nil {
		return err
	}
	if err := p.listen(); err != nil {
		return err
	}
	if err := p.assemble(); err != nil {
		return err
	}
	p.measure()
	api := p.restAPI()
	calls := newByCertificate(p.identity.ServerTLS(identity.ServerOptions{DeferTime: true}), p.server.Register)
	logger.Info("federation node starts", "node", node.Name, "federation", p.own.Federation, "grpc", node.GRPCAddress, "rest", node.RESTAddress)
	return run.Group(ctx,
		p.consensus.Run,
		p.mesh.Run,
		p.server.Run,
		p.proposeFounding,
		p.announce,
		func(ctx context.Context) error { return forgetRemoved(ctx, p.consensus.Watch, p.store.Forget) },
		p.renewCertificate,
		func(ctx context.Context) error { return calls.serve(ctx, p.grpcListener) },
		func(ctx context.Context) error {
			l := tls.NewListener(p.restListener, restTLS(p.identity))
			return serveHTTP(ctx, l, api)
		},
		func(ctx context.Context) error {
			return serveHTTP(ctx, p.socket, api, func(s *http.Server) { s.ConnContext = p.ownerOfSocket })
		},
		api.Run,
		func(ctx context.Context) error {
			return serveHTTP(ctx, p.health, healthHandler(p.notReady, p.registry))
		},
	)
}

// becomeNode loads the node's identity, or gets one by its join token.
func (p *serverParts) becomeNode(ctx context.Context) error {
	own, err := loadNodeIdentity(p.opts.dataDir, p.opts.name)
	if errors.Is(err, fs.ErrNotExist) {
		if p.opts.join == "" {
			return usageError("--data-dir %s is empty: run 'hanse server init' to make a federation, or give --join TOKEN to enter one", p.opts.dataDir)
		}
		say := func(err error) { p.logger.Warn("waiting for the federation to let this node in", "error", err) }
		err = retryUnavailable(ctx, say, func() error {
			own, err = joinFederation(ctx, p.opts.dataDir, p.node, p.opts.join)
			return err
		})
	}
	if err == nil {
		err = p.takeRole(own)
	}
	if err != nil {
		return err
	}
	p.own = own
	if p.founding, err = loadFounding(p.opts.dataDir); err != nil {
		return err
	}
	if p.issuing, err = loadIssuing(p.opts.dataDir); err != nil {
		return err
	}
	p.identity = identity.NewSource(p.clock)
	return loadCredentials(p.identity, filepath.Join(p.opts.dataDir, nodeKeyFile), filepath.Join(p.opts.dataDir, nodeChainFile))
}

func (p *serverParts) listen() error {
	for _, l := range []struct {
		to            *net.Listener
		open          func(flag, address string) (net.Listener, error)
		flag, address string
	}{
		{&p.grpcListener, listen, "listen", p.opts.grpc.listen},
		{&p.restListener, listenForClients, "rest-listen", p.opts.rest.listen},
		{&p.raft, listen, "raft-listen", p.opts.raft.listen},
		{&p.health, listen, "health-listen", p.opts.healthListen},
	} {
		opened, err := l.open(l.flag, l.address)
		if err != nil {
			return err
		}
		*l.to = opened
	}
	var err error
	p.socket, err = listenSocket(filepath.Join(p.opts.dataDir, adminSocketName))
	return err
}

// assemble opens the log and puts the parts together.
func (p *serverParts) assemble() error {
	nodesOnly := identity.MatchNode(p.own.Federation, "")
	var err error
	p.consensus, err = consensus.Open(consensus.Config{
		Dir: filepath.Join(p.opts.dataDir, raftFolder), Name: p.node.Name, Address: p.node.RaftAddress,
		// Raft's transport takes some 300 kB for a connection and waits for its first byte for ever: strangers must not get that far.
		Listener:   identity.Listen(p.raft, p.identity.ServerTLS(identity.ServerOptions{RequireClient: true, Match: nodesOnly})),
		Dial:       p.dialRaft,
		Federation: p.own.Federation, Bootstrap: p.founding.bootstrap(p.own.Federation, p.node), BundleRule: bundle.Accept,
		SnapshotThreshold: p.opts.snapshotEntries,
		Clock:             p.clock, Logger: p.logger,
	})
	if err != nil {
		return err
	}
	p.store = gossip.NewStore(catalog.Limits{}, p.logger)
	p.mesh, err = gossip.New(gossip.Config{
		Node: p.node, Bind: p.opts.gossip.listen, Advertise: p.node.GossipAddress, Keys: p.own.GossipKeys,
		Seeds: p.gossipSeeds, Dial: p.dialNode, Store: p.store, Clock: p.clock, Logger: p.logger,
	})
	if err != nil {
		return err
	}
	p.server = server.New(server.Config{
		Node: p.node, Consensus: p.consensus, Store: p.store, Subscribe: func() server.Subscription { return p.store.Subscribe() },
		Issuer: nodeIssuer{p.issuing}, Peers: p.identity, Sync: p.mesh.ServeSync,
		DialNode: p.dialNode,
		Group:    p.group, Dismiss: p.dismiss, Reachable: p.reachable, GossipKeys: p.own.GossipKeys,
		Clock: p.clock, Logger: p.logger,
	})
	return nil
}

func (p *serverParts) dialRaft(ctx context.Context, address string) (net.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 2 * time.Second}, Config: p.identity.ClientTLS(identity.MatchNode(p.own.Federation, ""))}
	return d.DialContext(ctx, "tcp", address)
}

func (p *serverParts) dialNode(_ context.Context, address string) (*grpc.ClientConn, error) {
	return dialGRPC(address, p.identity.ClientTLS(identity.MatchNode(p.own.Federation, "")))
}

// reachable says whether a node's Raft address answers, which it does only once the node holds its certificate.
func (p *serverParts) reachable(ctx context.Context, raftAddress string) error {
	conn, err := p.dialRaft(ctx, raftAddress)
	if err != nil {
		return err
	}
	return conn.Close()
}

// gossipSeeds are the other nodes' gossip addresses: as agreed, and before that as the join told.
func (p *serverParts) gossipSeeds() []string {
	seeds := append([]string(nil), p.own.GossipPeers...)
	for _, n := range p.consensus.View().NodeList() {
		if n.Name != p.node.Name {
			seeds = append(seeds, n.GossipAddress)
		}
	}
	return seeds
}

// proposeFounding proposes what "server init" prepared, once, after the first start.
func (p *serverParts) proposeFounding(ctx context.Context) error {
	if p.founding == nil {
		p.founded.Store(true)
		return nil
	}
	for _, t := range p.founding.NodeTokens {
		if err := p.proposeUntilDone(ctx, state.CreateToken{Token: t.model()}); err != nil {
			return err
		}
	}
	p.founded.Store(true)
	return os.Remove(filepath.Join(p.opts.dataDir, foundingFile))
}

// proposeUntilDone repeats a command of the founding node until it is committed. That it was committed before a crash is no failure.
func (p *serverParts) proposeUntilDone(ctx context.Context, c state.Command) error {
	for {
		_, err := p.consensus.Propose(ctx, c)
		if err == nil || state.CodeOf(err) == state.Conflict {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.clock.After(200 * time.Millisecond):
		}
	}
}

// notReady says what keeps this node from doing its work.
func (p *serverParts) notReady() []string {
	var missing []string
	if _, _, ok := p.consensus.Leader(); !ok {
		missing = append(missing, "no leader is known")
	}
	if !p.founded.Load() {
		missing = append(missing, "the first tokens have not been committed yet")
	}
	if v := p.consensus.View(); v.Federation == "" {
		missing = append(missing, "the replicated state has not arrived yet")
	}
	return missing
}

// serveGRPC serves until ctx ends. It does not wait for streams to end: their clients move to another server.
func serveGRPC(ctx context.Context, s *grpc.Server, l net.Listener) error {
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve gRPC: %w", err)
	case <-ctx.Done():
		s.Stop()
		<-done
		return ctx.Err()
	}
}
