package rest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/bundle"
)

// announced has a cluster announce a bundle with one root, and returns the root.
func announced(g *group, c model.Cluster, sequence uint64) []byte {
	g.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root of " + string(c.Name)}, NotBefore: start, NotAfter: start.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		g.t.Fatal(err)
	}
	signed, err := bundle.Sign(model.Bundle{TrustDomain: c.TrustDomain, Sequence: sequence, Roots: [][]byte{root}}, key)
	if err != nil {
		g.t.Fatal(err)
	}
	g.apply(state.PutBundle{Cluster: c.Name, Bundle: signed})
	return root
}

func TestTrustDomainsWithTheirRoots(t *testing.T) {
	g := newGroup(t)
	us := joined(g, "us", 2)
	joined(g, "eu", 1)
	root := announced(g, us, 7)
	sum := sha256.Sum256(root)

	var list rest.List[rest.TrustDomain]
	g.do("follow", http.MethodGet, "/v1/trust-domains", "").ok(http.StatusOK, &list)
	if len(list.Items) != 2 || list.Items[0].Name != "eu.acme" || list.Items[0].Bundle != nil || list.Items[1].Cluster != "us" {
		t.Fatalf("trust domains are %+v", list.Items)
	}
	var one rest.TrustDomain
	a := g.do("lead", http.MethodGet, "/v1/trust-domains/us.acme", "").ok(http.StatusOK, &one)
	if one.Bundle == nil || one.Bundle.Sequence != 7 || len(one.Bundle.Roots) != 1 || a.header.Get("ETag") == "" {
		t.Fatalf("us.acme is %+v", one)
	}
	if r := one.Bundle.Roots[0]; r.Subject != "CN=root of us" || !r.NotAfter.Equal(start.Add(24*time.Hour)) || r.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("its root is %+v", r)
	}
	if a := g.do("lead", http.MethodGet, "/v1/trust-domains/eu.acme", "").ok(http.StatusOK, nil); a.header.Get("ETag") != "" {
		t.Errorf("what there is not has the ETag %s", a.header.Get("ETag"))
	}
	g.do("lead", http.MethodGet, "/v1/trust-domains/moon.acme", "").problem(http.StatusNotFound, "moon.acme")
}
