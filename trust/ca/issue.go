package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// maxCSR bounds a certificate request, in bytes.
const maxCSR = 16 << 10

// LeafRequest describes a certificate to issue. Everything in it is the issuer's decision; of a CSR only the key counts.
type LeafRequest struct {
	// CSR is a PKCS#10 request, DER. PublicKey is used instead when the possession of the key is proven otherwise.
	CSR       []byte
	PublicKey crypto.PublicKey
	// SPIFFEID is the one URI name; it lies in the authority's trust domain and has a path.
	SPIFFEID   string
	CommonName string
	DNSNames   []string
	IPs        []net.IP
	// TTL is counted from Now; the certificate never outlives its issuer.
	TTL time.Duration
	Now time.Time
}

// IntermediateOptions describe a subordinate CA's certificate.
type IntermediateOptions struct {
	CommonName string
	TTL        time.Duration
	Now        time.Time
}

// Issue signs a leaf certificate by the X509-SVID standard and returns its chain, DER, the leaf first and the root last.
func (a *Authority) Issue(r LeafRequest) ([][]byte, error) {
	chain, err := a.issue(r)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", r.SPIFFEID, err)
	}
	return chain, nil
}

func (a *Authority) issue(r LeafRequest) ([][]byte, error) {
	id, err := spiffeid.FromString(r.SPIFFEID)
	switch {
	case err != nil:
		return nil, err
	case !id.MemberOf(a.td):
		return nil, fmt.Errorf("it is not of trust domain %s", a.td)
	case id.Path() == "":
		return nil, errors.New("a trust domain's own name is for CAs only")
	}
	public, err := leafKey(r)
	if err != nil {
		return nil, err
	}
	notAfter, err := a.end(r.Now, r.TTL)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	return a.sign(&x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: r.CommonName, Organization: []string{"Hanse"}},
		NotBefore:             r.Now.Add(-Skew),
		NotAfter:              notAfter,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:                  []*url.URL{id.URL()},
		DNSNames:              r.DNSNames,
		IPAddresses:           r.IPs,
	}, public)
}

// Intermediate certifies the CA key of a request and returns its chain, DER, the new certificate first and the root last.
func (a *Authority) Intermediate(csr []byte, o IntermediateOptions) ([][]byte, error) {
	chain, err := a.intermediate(csr, o)
	if err != nil {
		return nil, fmt.Errorf("certify issuing CA %q: %w", o.CommonName, err)
	}
	return chain, nil
}

func (a *Authority) intermediate(csr []byte, o IntermediateOptions) ([][]byte, error) {
	// One place is for the leaf, one for the new CA.
	if len(a.chain)+2 > MaxDepth {
		return nil, fmt.Errorf("this node's own CA is already %d steps from the root: have the node admitted by an older one", len(a.chain))
	}
	request, err := ParseCSR(csr)
	if err != nil {
		return nil, err
	}
	notAfter, err := a.end(o.Now, o.TTL)
	if err != nil {
		return nil, err
	}
	template, err := caTemplate(a.td, o.CommonName, o.Now.Add(-Skew), notAfter)
	if err != nil {
		return nil, err
	}
	return a.sign(template, request.PublicKey)
}

func (a *Authority) sign(template *x509.Certificate, public crypto.PublicKey) ([][]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return append([][]byte{der}, a.chain...), nil
}

// end is when a certificate ends that is made now: after ttl, and not after its issuer.
func (a *Authority) end(now time.Time, ttl time.Duration) (time.Time, error) {
	switch {
	case ttl <= 0:
		return time.Time{}, fmt.Errorf("its time to live is %s: give more than zero", ttl)
	case now.Before(a.cert.NotBefore) || now.After(a.cert.NotAfter):
		return time.Time{}, fmt.Errorf("the issuing CA is valid from %s to %s, but the clock here says %s: clocks may differ, or the CA must be renewed",
			stamp(a.cert.NotBefore), stamp(a.cert.NotAfter), stamp(now))
	}
	if end := now.Add(ttl); end.Before(a.cert.NotAfter) {
		return end, nil
	}
	return a.cert.NotAfter, nil
}

func leafKey(r LeafRequest) (crypto.PublicKey, error) {
	if r.CSR != nil {
		request, err := ParseCSR(r.CSR)
		if err != nil {
			return nil, err
		}
		return request.PublicKey, nil
	}
	return r.PublicKey, checkKey(r.PublicKey)
}

// CSR makes a PKCS#10 request, DER: the proof that the caller has the key.
func CSR(key crypto.Signer, commonName string) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName}}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request for %q: %w", commonName, err)
	}
	return der, nil
}

// ParseCSR reads a PKCS#10 request and verifies that its sender has the key. Only ECDSA keys on P-256 or P-384 are accepted.
func ParseCSR(der []byte) (*x509.CertificateRequest, error) {
	if len(der) > maxCSR {
		return nil, fmt.Errorf("certificate request has %d bytes, more than %d", len(der), maxCSR)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request cannot be read: %w", err)
	}
	if err := checkKey(request.PublicKey); err != nil {
		return nil, err
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request is not signed by its own key: %w", err)
	}
	return request, nil
}

func checkKey(public crypto.PublicKey) error {
	key, ok := public.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
		return fmt.Errorf("key is %T, but an ECDSA key on P-256 or P-384 is needed", public)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
