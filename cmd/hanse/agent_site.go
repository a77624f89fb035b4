package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
)

// siteIdentityTTL is how long the agent's certificate towards its site lives; it is signed anew at each start, and from a third of its
// life on.
const siteIdentityTTL = 30 * 24 * time.Hour

// openSite loads or makes the site's CA, the agent's certificate of it, and the registry.
func (a *agentParts) openSite(ctx context.Context) error {
	var err error
	a.authority, err = ca.Load(a.opts.dataDir, siteCAName)
	if errors.Is(err, fs.ErrNotExist) {
		// Bundles are written after the CA: with them there was one, and a new one's certificates nobody would believe.
		if _, stat := os.Stat(filepath.Join(a.opts.dataDir, bundlesFile)); stat == nil {
			return fmt.Errorf("the site's CA is gone from --data-dir, although the site had one: restore it from a backup, "+
				"or remove %s too and enrol every workload anew under a new CA", bundlesFile)
		}
		if a.authority, err = a.newAuthority(); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := a.keepKeys(ctx); err != nil {
		return err
	}
	a.siteIdentity = identity.NewSource(a.clock)
	if err := a.certifySelf(); err != nil {
		return err
	}
	if a.siteAddress, err = a.opts.site.dialled(); err != nil {
		return err
	}
	a.site, err = vm.New(vm.Config{
		Dir: filepath.Join(a.opts.dataDir, siteFolder), TrustDomain: a.member.TrustDomain, Cluster: a.member.Cluster,
		Federation: a.member.Federation, Signer: siteSigner{a.authority, a.clock}, Peer: sitePeer, Pods: a.pods(),
		Clock: a.clock, Logger: a.logger, SVIDTTL: a.opts.svidTTL, WithdrawTTL: a.opts.withdrawTTL, Declarable: a.opts.declarable, Region: a.opts.region,
	})
	return err
}

func (a *agentParts) newAuthority() (*ca.Authority, error) {
	authority, err := ca.NewRoot(ca.RootOptions{
		TrustDomain: a.member.TrustDomain, CommonName: "Hanse CA of " + a.member.TrustDomain, Now: a.clock.Now(),
	})
	if err != nil {
		return nil, err
	}
	return authority, authority.Save(a.opts.dataDir, siteCAName)
}

// certifySelf gives the agent an identity in its own site, by which proxies know it and gateways answer its probes.
func (a *agentParts) certifySelf() error {
	key, err := identity.LoadOrCreateKey(filepath.Join(a.opts.dataDir, siteKeyFile))
	if err != nil {
		return err
	}
	chain, err := a.authority.Issue(ca.LeafRequest{
		PublicKey:  key.Public(),
		SPIFFEID:   model.WorkloadID(a.member.TrustDomain, model.SystemNamespace, model.AgentServiceAccount),
		CommonName: "agent", TTL: siteIdentityTTL, Now: a.clock.Now(),
	})
	if err != nil {
		return err
	}
	return setCredentials(a.siteIdentity, key, chain)
}

// renewSite keeps the agent's certificate towards its site young: without it an agent that runs for long would lose its proxies.
func (a *agentParts) renewSite(ctx context.Context) error {
	for {
		if left := a.siteIdentity.Expiry().Sub(a.clock.Now()); left < siteIdentityTTL*2/3 {
			if err := a.certifySelf(); err != nil {
				a.logger.Error("could not renew the agent's certificate towards its site", "error", err, "left", left.Round(time.Second))
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.clock.After(time.Hour):
		}
	}
}

// siteSigner lets the registry sign with the site's CA.
type siteSigner struct {
	authority *ca.Authority
	clock     clock.Clock
}

// Issue signs a CSR that the registry has checked.
func (s siteSigner) Issue(csr []byte, id, commonName string, ttl time.Duration) ([][]byte, time.Time, error) {
	chain, err := s.authority.Issue(ca.LeafRequest{CSR: csr, SPIFFEID: id, CommonName: commonName, TTL: ttl, Now: s.clock.Now()})
	if err != nil {
		return nil, time.Time{}, err
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, time.Time{}, err
	}
	return chain, leaf.NotAfter, nil
}

// Roots are what the site's workloads trust.
func (s siteSigner) Roots() [][]byte { return [][]byte{s.authority.Root()} }

// sitePeer tells which workload calls, from its certificate.
func sitePeer(ctx context.Context) (workloadID, spiffeID string, keyHash []byte, err error) {
	id, cert, err := identity.PeerID(ctx)
	if err != nil {
		return "", "", nil, err
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return cert.Subject.CommonName, id.String(), sum[:], nil
}
