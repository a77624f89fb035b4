package main

import (
	"context"
	"crypto/tls"
	"net"
	"os/user"
	"strconv"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
)

// restTLS serves the REST API. A client may show a certificate: the API itself judges it, because an operator whose certificate has
// expired shall read so, and one who shows a token needs none.
func restTLS(src *identity.Source) *tls.Config {
	c := src.ServerTLS(identity.ServerOptions{DeferCertificate: true})
	c.NextProtos = []string{"http/1.1"}
	return c
}

// restCertificates judges the certificates that the REST API's clients show, and signs operators'.
type restCertificates struct {
	identity *identity.Source
	issuing  *ca.Authority
}

// Peer says who a client's certificate proves it to be.
func (c restCertificates) Peer(connection tls.ConnectionState) (string, error) {
	id, err := c.identity.VerifyState(connection)
	return id.String(), err
}

// Issue signs with this node's issuing CA.
func (c restCertificates) Issue(csr []byte, id string, ttl time.Duration, now time.Time) ([][]byte, error) {
	name, _ := model.OperatorOfID(c.issuing.TrustDomain(), id)
	return c.issuing.Issue(ca.LeafRequest{CSR: csr, SPIFFEID: id, CommonName: name, TTL: ttl, Now: now})
}

// ownerOfSocket marks what comes over the node's own socket: only the node's user and root can open it, and they could change anything here.
func (p *serverParts) ownerOfSocket(ctx context.Context, conn net.Conn) context.Context {
	return rest.WithOwner(ctx, socketUser(conn), p.node.Name)
}

// socketUser names the user at the other end of a Unix socket.
func socketUser(conn net.Conn) string {
	uid, ok := peerUID(conn)
	if !ok {
		return "unknown"
	}
	text := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return "uid-" + text
}
