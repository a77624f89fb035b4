package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/server"
	"github.com/hanse-mesh/hanse/internal/atomicfile"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

// The files of an agent's data folder.
const (
	memberFile     = "member.json"
	agentKeyFile   = "agent.key"
	agentChainFile = "agent.crt"
	siteCAName     = "ca"
	siteKeyFile    = "site.key"
	siteFolder     = "site"
	epochFile      = "epoch"
	cacheFile      = "cache"
	bundlesFile    = "bundles.json"
)

// member is what the join told: who this agent is in the federation.
type member struct {
	Federation  string            `json:"federation"`
	Cluster     model.ClusterName `json:"cluster"`
	TrustDomain string            `json:"trustDomain"`
	Incarnation uint64            `json:"incarnation"`
	Region      string            `json:"region"`
	Servers     []string          `json:"servers"`
}

func loadMember(dir, cluster string) (member, error) {
	data, err := os.ReadFile(filepath.Join(dir, memberFile))
	if err != nil {
		return member{}, err
	}
	var m member
	if err := json.Unmarshal(data, &m); err != nil {
		return member{}, fmt.Errorf("%s in --data-dir is damaged: %w", memberFile, err)
	}
	if string(m.Cluster) != cluster {
		return member{}, fmt.Errorf("--data-dir %s belongs to cluster %q, but --cluster is %q: give each agent a folder of its own", dir, m.Cluster, cluster)
	}
	return m, nil
}

func (m member) save(dir string) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, memberFile), data, 0o600)
}

// joinCluster redeems a join token. The key is on disk, and kept, before the token is used, so that a lost answer can be asked for again.
func joinCluster(ctx context.Context, o agentOptions, t token.Token, now time.Time, keep func(context.Context) error) (member, error) {
	if err := t.Require(model.TokenCluster); err != nil {
		return member{}, usageError("--token: %w", err)
	}
	if len(o.servers) > 0 {
		t.Addresses = o.servers
	}
	csr, err := csrFor(filepath.Join(o.dataDir, agentKeyFile), o.cluster)
	if err != nil {
		return member{}, err
	}
	if err := keep(ctx); err != nil {
		return member{}, err
	}
	resp, err := callPinned(ctx, t, func(ctx context.Context, c grpc.ClientConnInterface) (*hansev1.JoinClusterResponse, error) {
		return hansev1.NewFederationServiceClient(c).JoinCluster(ctx, &hansev1.JoinClusterRequest{
			TokenId: t.ID, Secret: t.Secret, Cluster: o.cluster, Region: o.region, Csr: csr, UnixMillis: now.UnixMilli(),
		})
	})
	if err != nil {
		return member{}, fmt.Errorf("join the federation as cluster %s: %w", o.cluster, err)
	}
	joined, err := codec.ClusterFromProto(resp.GetCluster())
	if err != nil {
		return member{}, fmt.Errorf("join the federation: answer: %w", err)
	}
	if err := identity.SaveChain(filepath.Join(o.dataDir, agentChainFile), resp.GetCertificates()); err != nil {
		return member{}, err
	}
	m := member{
		Federation: resp.GetFederation(), Cluster: joined.Name, TrustDomain: joined.TrustDomain,
		Incarnation: joined.Incarnation, Region: joined.Region, Servers: resp.GetServers(),
	}
	return m, m.save(o.dataDir)
}

// renewMember renews the agent's certificate from a third of its life on, from whichever node answers.
func (a *agentParts) renewMember(ctx context.Context) error {
	for {
		wait := time.Minute
		if left := a.identity.Expiry().Sub(a.clock.Now()); left < server.AgentTTL*2/3 {
			if err := a.renewOnce(ctx); err != nil {
				a.logger.Warn("could not renew the agent's certificate yet; the old one stays in use", "error", err, "left", left.Round(time.Second))
			}
		} else {
			wait = min(time.Hour, left-server.AgentTTL*2/3+time.Second)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.clock.After(wait):
		}
	}
}

func (a *agentParts) renewOnce(ctx context.Context) error {
	path := filepath.Join(a.opts.dataDir, agentKeyFile)
	csr, err := csrFor(path, a.opts.cluster)
	if err != nil {
		return err
	}
	for _, address := range a.servers() {
		var resp *hansev1.RenewAgentResponse
		resp, err = a.renewAt(ctx, address, csr)
		if err != nil {
			continue
		}
		if err := identity.SaveChain(filepath.Join(a.opts.dataDir, agentChainFile), resp.GetCertificates()); err != nil {
			return err
		}
		return loadCredentials(a.identity, path, filepath.Join(a.opts.dataDir, agentChainFile))
	}
	return err
}

func (a *agentParts) renewAt(ctx context.Context, address string, csr []byte) (*hansev1.RenewAgentResponse, error) {
	conn, err := a.dialNode(ctx, address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := hansev1.NewFederationServiceClient(conn).RenewAgent(ctx, &hansev1.RenewAgentRequest{Csr: csr})
	if err != nil {
		return nil, plainStatus(err)
	}
	return resp, nil
}
