package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/hanse-mesh/hanse/api/model"
)

// ServerOptions say what a server demands of its clients.
type ServerOptions struct {
	// RequireClient refuses clients without a certificate. A certificate that is given is verified in any case.
	RequireClient bool
	// Match, when set, decides which identities may connect.
	Match func(spiffeid.ID) error
	// DeferCertificate leaves a client's certificate to Source.VerifyState: who shows one that does not count learns why in the protocol's
	// own words, and may go on by another credential. Handlers of such a server must call VerifyState before they believe it; Match must be
	// nil. The federation's roots are named to the client, so that a browser offers nothing else.
	DeferCertificate bool
	// DeferTime leaves the time of a client's certificate to Source.VerifyPeer, which can tell the client why it is refused and may
	// grant grace to an expired one. Handlers of such a server must call VerifyPeer, never PeerID alone.
	DeferTime bool
}

// ClientTLS connects to servers of the own trust domain that match accepts, and proves the own identity if there is one. A nil
// match accepts the control plane only: nodes and agents.
func (s *Source) ClientTLS(match func(spiffeid.ID) error) *tls.Config {
	if match == nil {
		match = controlPlane
	}
	c := base()
	c.InsecureSkipVerify = true // VerifyConnection does it by SPIFFE ID.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if h := s.current(); h != nil && h.certificate != nil {
			return h.certificate, nil
		}
		return &tls.Certificate{}, nil
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		return s.accept(state.PeerCertificates, match, false)
	}
	return c
}

// ServerTLS serves with the own identity and verifies the clients' certificates against the own trust domain.
func (s *Source) ServerTLS(o ServerOptions) *tls.Config {
	if o.Match == nil {
		o.Match = func(spiffeid.ID) error { return nil }
	}
	c := base()
	c.ClientAuth = tls.RequestClientCert
	if o.RequireClient {
		c.ClientAuth = tls.RequireAnyClientCert
	}
	// A resumed session would carry a verdict from before roots or membership changed.
	c.SessionTicketsDisabled = true
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if h := s.current(); h != nil && h.certificate != nil {
			return h.certificate, nil
		}
		return nil, errNoCertificate
	}
	if o.DeferCertificate {
		c.ClientCAs = s.roots()
		return c
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 && !o.RequireClient {
			return nil
		}
		return s.accept(state.PeerCertificates, o.Match, o.DeferTime)
	}
	return c
}

// roots are those held at this moment; nil before the first Set.
func (s *Source) roots() *x509.CertPool {
	if h := s.current(); h != nil {
		return h.trust.roots
	}
	return nil
}

func (s *Source) accept(certs []*x509.Certificate, match func(spiffeid.ID) error, deferTime bool) error {
	h := s.current()
	if h == nil {
		return errNoCertificate
	}
	return h.trust.accept(certs, s.clock.Now(), match, deferTime)
}

func (t trust) accept(certs []*x509.Certificate, now time.Time, match func(spiffeid.ID) error, deferTime bool) error {
	id, err := t.verify(certs, now)
	if err != nil {
		return err
	}
	if !deferTime {
		if err := checkTime(certs[0], now, 0); err != nil {
			return err
		}
	}
	if err := match(id); err != nil {
		return fmt.Errorf("peer is %s: %w", id, err)
	}
	return nil
}

func base() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}
}

// controlPlane accepts federation nodes and the agents of sites.
func controlPlane(id spiffeid.ID) error {
	agent := strings.TrimPrefix(model.WorkloadID(id.TrustDomain().Name(), model.SystemNamespace, model.AgentServiceAccount), id.TrustDomain().IDString())
	if _, node := model.NodeOfID(id.TrustDomain().Name(), id.String()); node || id.Path() == agent {
		return nil
	}
	return errors.New("it is neither a federation node nor a site's agent")
}

// MatchNode accepts the federation's nodes; with a name, only that one.
func MatchNode(federation, node string) func(spiffeid.ID) error {
	return func(id spiffeid.ID) error {
		if got, ok := model.NodeOfID(federation, id.String()); !ok || node != "" && got != node {
			return fmt.Errorf("expected %s", model.NodeID(federation, node))
		}
		return nil
	}
}
