package main

import (
	"time"

	"github.com/hanse-mesh/hanse/federation/server"
	"github.com/hanse-mesh/hanse/trust/ca"
)

// nodeIssuer lets the gRPC services sign with this node's issuing CA.
type nodeIssuer struct{ authority *ca.Authority }

// IssueLeaf signs an agent's or a node's certificate.
func (i nodeIssuer) IssueLeaf(l server.Leaf) ([][]byte, error) {
	return i.authority.Issue(ca.LeafRequest{
		CSR: l.CSR, SPIFFEID: l.SPIFFEID, CommonName: l.CommonName, DNSNames: l.DNSNames, IPs: l.IPs, TTL: l.TTL, Now: l.Now,
	})
}

// IssueCA signs another node's issuing CA.
func (i nodeIssuer) IssueCA(csr []byte, commonName string, ttl time.Duration, now time.Time) ([][]byte, error) {
	return i.authority.Intermediate(csr, ca.IntermediateOptions{CommonName: commonName, TTL: ttl, Now: now})
}
