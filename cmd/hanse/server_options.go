package main

import (
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// serverOptions are the flags of "hanse server" and "hanse server init": one configuration file serves both.
type serverOptions struct {
	log     logOptions
	dataDir string
	name    string
	region  string
	join    string
	// joinFile is where join may come from.
	joinFile string
	// replica is the role to join in; roleGiven is whether the operator said it this time.
	replica, roleGiven bool

	grpc, rest, raft, gossip endpoint
	healthListen             string
	snapshotEntries          uint64
	limits                   rest.Limits
}

// endpoint is an address to listen on and the one that others dial.
type endpoint struct{ flag, listen, advertise string }

func (o *serverOptions) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	o.log.bind(f)
	host, _ := os.Hostname()
	f.StringVar(&o.dataDir, "data-dir", "/var/lib/hanse/server", "folder for identity, log and snapshots")
	f.StringVar(&o.name, "name", firstLabel(host), "name of this node, unique in the federation")
	f.StringVar(&o.region, "region", "", "region in which this node stands")
	f.StringVar(&o.healthListen, "health-listen", "127.0.0.1:7704", "address for /healthz, /readyz and /metrics (plain HTTP)")
	f.Uint64Var(&o.snapshotEntries, "snapshot-entries", 8192, "after how many entries the log is replaced by a snapshot; as many are kept for nodes that lag, "+
		"which otherwise get the snapshot")
	o.bindLimits(f)
	for _, e := range []struct {
		to                          *endpoint
		flag, address, what, remark string
	}{
		{&o.grpc, "", "0.0.0.0:7700", "agents and other nodes (gRPC, mutual TLS)", ""},
		{&o.rest, "rest-", "0.0.0.0:7701", "the REST API (TLS)", ""},
		{&o.raft, "raft-", "0.0.0.0:7702", "Raft (mutual TLS)", "; it must not change while the node is a member (the node would refuse to start): prefer a host name"},
		{&o.gossip, "gossip-", "0.0.0.0:7703", "gossip (TCP and UDP, encrypted)", ""},
	} {
		e.to.flag = e.flag
		f.StringVar(&e.to.listen, e.flag+"listen", e.address, "address to listen on for "+e.what)
		f.StringVar(&e.to.advertise, e.flag+"advertise", "", "host:port at which others reach it (default: the listen address, or this host's name)"+e.remark)
	}
}

// validate checks what every use of the options needs.
func (o *serverOptions) validate() error {
	if err := model.ValidateLabel("--name", o.name); err != nil {
		return usageError("%w", err)
	}
	if o.region == "" {
		return usageError("--region is not set: name the region in which this node stands, for example eu")
	}
	if err := model.ValidateLabel("--region", o.region); err != nil {
		return usageError("%w", err)
	}
	if o.join != "" && o.joinFile != "" {
		return usageError("--join and --join-file are both given: give one")
	}
	if o.snapshotEntries < minSnapshotEntries {
		return usageError("--snapshot-entries %d is too few: give %d or more, or leave it out", o.snapshotEntries, minSnapshotEntries)
	}
	if err := checkLimits(o.limits); err != nil {
		return err
	}
	for _, e := range []endpoint{o.grpc, o.rest, o.raft, o.gossip} {
		if _, _, err := net.SplitHostPort(e.listen); err != nil {
			return usageError("--%slisten %q is not host:port", e.flag, e.listen)
		}
	}
	return nil
}

// minSnapshotEntries keeps a node from writing snapshots all the time.
const minSnapshotEntries = 100

// node is what the federation is told of this node.
func (o *serverOptions) node() (model.Node, error) {
	n := model.Node{
		Name: o.name, Region: o.region, Replica: o.replica,
		ProtocolMin: model.ProtocolMin, ProtocolMax: model.ProtocolMax, CommandMax: model.CommandVersion,
	}
	for _, e := range []struct {
		from endpoint
		to   *string
	}{{o.grpc, &n.GRPCAddress}, {o.rest, &n.RESTAddress}, {o.raft, &n.RaftAddress}, {o.gossip, &n.GossipAddress}} {
		address, err := e.from.dialled()
		if err != nil {
			return model.Node{}, err
		}
		*e.to = address
	}
	return n, nil
}

// dialled is the address at which others reach the endpoint.
func (e endpoint) dialled() (string, error) {
	if e.advertise != "" {
		if _, _, err := net.SplitHostPort(e.advertise); err != nil {
			return "", usageError("--%sadvertise %q is not host:port", e.flag, e.advertise)
		}
		return e.advertise, nil
	}
	host, port, err := net.SplitHostPort(e.listen)
	if err != nil {
		return "", usageError("--%slisten %q is not host:port", e.flag, e.listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return "", usageError("--%sadvertise is not set and this host has no name: %w", e.flag, err)
		}
	}
	return net.JoinHostPort(host, port), nil
}

// firstLabel is a host's name without its domain.
func firstLabel(host string) string {
	for i, r := range host {
		if r == '.' {
			return host[:i]
		}
	}
	return host
}
