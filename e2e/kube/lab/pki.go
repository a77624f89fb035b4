package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// credentials are what a cluster's own parts know each other by.
type credentials struct {
	dir string
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
	// caPEM is the certificate that the API server's is signed by.
	caPEM []byte
	// tokens of the users that the API server knows.
	tokens map[string]string
}

// users are the names and groups that Kubernetes' own roles are bound to.
func users(node string) map[string][2]string {
	return map[string][2]string{
		"admin":      {"admin", "system:masters"},
		"controller": {"system:kube-controller-manager", ""},
		"scheduler":  {"system:kube-scheduler", ""},
		"proxy":      {"system:kube-proxy", ""},
		"kubelet":    {"system:node:" + node, "system:nodes"},
	}
}

// newCredentials writes keys, certificates and tokens into a folder.
func newCredentials(dir, node string, a Addresses) (*credentials, error) {
	c := &credentials{dir: dir, tokens: map[string]string{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := c.authority(); err != nil {
		return nil, err
	}
	server := &x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost", node},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, a.Node.AsSlice(), a.WAN4.AsSlice(), a.WAN6.AsSlice(), a.API.AsSlice()},
	}
	client := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if err := c.issue("apiserver", server); err != nil {
		return nil, err
	}
	if err := c.issue("kubelet-client", client); err != nil {
		return nil, err
	}
	account, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := c.writeKey("account.key", account); err != nil {
		return nil, err
	}
	return c, c.writeTokens(node)
}

// path is a file of the credentials.
func (c *credentials) path(name string) string { return filepath.Join(c.dir, name) }

func (c *credentials) authority() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	if c.ca, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	c.key, c.caPEM = key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := c.writeKey("ca.key", key); err != nil {
		return err
	}
	return os.WriteFile(c.path("ca.crt"), c.caPEM, 0o644)
}

func (c *credentials) issue(name string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.NotBefore, template.NotAfter = c.ca.NotBefore, c.ca.NotAfter
	der, err := x509.CreateCertificate(rand.Reader, template, c.ca, &key.PublicKey, c.key)
	if err != nil {
		return err
	}
	if err := c.writeKey(name+".key", key); err != nil {
		return err
	}
	return os.WriteFile(c.path(name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func (c *credentials) writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(c.path(name), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// writeTokens writes the API server's list of tokens, and a kubeconfig per user for the parts that run on the node.
func (c *credentials) writeTokens(node string) error {
	var list strings.Builder
	for user, name := range users(node) {
		secret := make([]byte, 16)
		if _, err := rand.Read(secret); err != nil {
			return err
		}
		token := hex.EncodeToString(secret)
		c.tokens[user] = token
		fmt.Fprintf(&list, "%s,%s,%s,%q\n", token, name[0], name[0], name[1])
		if err := os.WriteFile(c.path(user+".conf"), []byte(kubeconfig("node", "https://127.0.0.1:6443", c.caPEM, token)), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(c.path("tokens.csv"), []byte(list.String()), 0o600)
}
