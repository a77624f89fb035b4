package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/hanse-mesh/hanse/api/model"
)

// dialGateway opens a probe's connection.
func dialGateway(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", to.String())
}

// greetGateway is what a probe does with its connection: mutual TLS as the data plane would, and an answer, which proves that the
// gateway has accepted this side's certificate too.
func (a *agentParts) greetGateway(ctx context.Context, raw net.Conn, sni string, cluster model.ClusterName) error {
	config, err := a.probeTLS(sni, cluster)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", sni); err != nil {
		return err
	}
	var head [12]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if string(head[:]) != "HTTP/1.1 200" {
		return fmt.Errorf("the gateway answers %q", head)
	}
	return nil
}

// probeTLS accepts only the identity of the cluster's gateways, by the bundle that this site believes.
func (a *agentParts) probeTLS(sni string, cluster model.ClusterName) (*tls.Config, error) {
	bundle, want, err := a.core.gatewayIdentity(cluster)
	if err != nil {
		return nil, err
	}
	own, ok := a.siteIdentity.Get()
	if !ok {
		return nil, errors.New("the agent has no certificate of its site")
	}
	return &tls.Config{
		ServerName: sni, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
		Certificates:       []tls.Certificate{{Certificate: own.Chain[:1], PrivateKey: own.Key}},
		InsecureSkipVerify: true, // VerifyPeerCertificate does it by SPIFFE ID.
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			id, _, err := x509svid.ParseAndVerify(raw, bundle)
			if err != nil {
				return err
			}
			if id != want {
				return fmt.Errorf("the gateway is %s, not %s", id, want)
			}
			return nil
		},
	}, nil
}

// gatewayIdentity is who answers as a cluster's gateway, and by which roots that is judged.
func (c *siteCore) gatewayIdentity(cluster model.ClusterName) (*x509bundle.Bundle, spiffeid.ID, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	trustDomain := c.memberOf(cluster).TrustDomain
	for _, e := range c.bundles.Entries() {
		if e.Bundle.TrustDomain != trustDomain {
			continue
		}
		td, err := spiffeid.TrustDomainFromString(trustDomain)
		if err != nil {
			return nil, spiffeid.ID{}, err
		}
		var roots []*x509.Certificate
		for _, der := range e.Bundle.Roots {
			root, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, spiffeid.ID{}, err
			}
			roots = append(roots, root)
		}
		want, err := spiffeid.FromString(model.WorkloadID(trustDomain, model.SystemNamespace, model.GatewayServiceAccount))
		return x509bundle.FromX509Authorities(td, roots), want, err
	}
	return nil, spiffeid.ID{}, fmt.Errorf("no bundle of cluster %s is believed yet", cluster)
}
