package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// readSVID reads a proxy's certificate and key: what an attacker on that machine could do.
func readSVID(dir string) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "svid.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read the certificate of a proxy: %w", err)
	}
	return cert, nil
}

// foreignSVID makes a certificate for any SPIFFE ID, signed by a CA that nobody in the federation knows.
func foreignSVID(id string) (tls.Certificate, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	uri, err := url.Parse(id)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "foreign"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		URIs: []*url.URL{{Scheme: "spiffe", Host: uri.Host}},
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "foreign"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leafDER, caDER}, PrivateKey: key}, nil
}

// rogue is a TLS server with a certificate that it should not serve with. It counts who believes it.
type rogue struct {
	listener           net.Listener
	attempts, accepted atomic.Int64
	conns              sync.WaitGroup
}

func startRogue(address string, cert tls.Certificate) (*rogue, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	r := &rogue{listener: l}
	config := &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		// The client's certificate proves that the client has finished its own checks of the server.
		ClientAuth: tls.RequireAnyClientCert,
	}
	r.conns.Add(1)
	go func() {
		defer r.conns.Done()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.conns.Add(1)
			go r.serve(tls.Server(conn, config))
		}
	}()
	return r, nil
}

func (r *rogue) serve(conn *tls.Conn) {
	defer r.conns.Done()
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	r.attempts.Add(1)
	if conn.Handshake() == nil {
		r.accepted.Add(1)
	}
}

func (r *rogue) counts() (attempts, accepted int64) { return r.attempts.Load(), r.accepted.Load() }

func (r *rogue) close() {
	_ = r.listener.Close()
	r.conns.Wait()
}
