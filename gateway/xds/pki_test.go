package xds

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// authority is a trust domain's root.
type authority struct {
	domain string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, domain string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: domain}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{domain: domain, cert: cert, key: key}
}

func (a *authority) bundle() model.Bundle {
	return model.Bundle{TrustDomain: a.domain, Roots: [][]byte{a.cert.Raw}}
}

// issue signs whatever URIs it is asked for, those of other domains too.
func (a *authority) issue(t *testing.T, uris ...string) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, parsed)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var cert, keyText bytes.Buffer
	for _, c := range []struct {
		to   *bytes.Buffer
		kind string
		der  []byte
	}{{&cert, "CERTIFICATE", der}, {&keyText, "PRIVATE KEY", private}} {
		if err := pem.Encode(c.to, &pem.Block{Type: c.kind, Bytes: c.der}); err != nil {
			t.Fatal(err)
		}
	}
	return cert.Bytes(), keyText.Bytes()
}

// dialer presents the URIs and believes any server: what the server does is what is tested.
func (a *authority) dialer(t *testing.T, sni string, uris ...string) *tls.Config {
	t.Helper()
	pair, err := tls.X509KeyPair(a.issue(t, uris...))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{ServerName: sni, InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
}
