package vm

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// maxCSR bounds a certificate request, in bytes.
const maxCSR = 16 << 10

// peer is who calls, as its certificate says.
type peer struct {
	id, spiffeID string
	keyHash      []byte
}

func (s *Site) peer(ctx context.Context) (peer, error) {
	id, spiffeID, keyHash, err := s.cfg.Peer(ctx)
	if err != nil {
		return peer{}, status.Errorf(codes.Unauthenticated, "this call needs the workload's certificate: %v", err)
	}
	return peer{id: id, spiffeID: spiffeID, keyHash: keyHash}, nil
}

// Enroll redeems a workload token, or a pod's service-account token. A workload token's use is bound to the workload and its key and on disk before the certificate is signed: the
// same key may ask again, so that a lost answer burns nothing.
func (s *Site) Enroll(ctx context.Context, req *hansev1.EnrollRequest) (*hansev1.EnrollResponse, error) {
	if req.GetServiceAccountToken() != "" {
		return s.enrollPod(ctx, req)
	}
	if err := s.checkSecret(req.GetTokenId(), req.GetSecret()); err != nil {
		return nil, err
	}
	if err := model.ValidateLabel("workload", req.GetWorkload()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	keyHash, err := readCSR(req.GetCsr())
	if err != nil {
		return nil, err
	}
	e, err := s.redeem(req.GetTokenId(), Use{Workload: req.GetWorkload(), KeyHash: keyHash})
	if err != nil {
		return nil, err
	}
	// The token goes first: with its use bound, a crash in between is repaired by the same key's next attempt.
	if err := s.saveTokens(); err != nil {
		return nil, s.diskError(err)
	}
	if err := s.saveEnrolments(); err != nil {
		return nil, s.diskError(err)
	}
	chain, err := s.issue(req.GetCsr(), e)
	if err != nil {
		return nil, err
	}
	s.cfg.Logger.Info("workload enrolled", "workload", e.Workload, "token", e.TokenID, "spiffe_id", e.spiffeID(s.cfg.TrustDomain))
	return &hansev1.EnrollResponse{Certificates: chain, Roots: s.cfg.Signer.Roots(), SpiffeId: e.spiffeID(s.cfg.TrustDomain)}, nil
}

// Renew signs a new certificate for the key that the caller's certificate and its enrolment name.
func (s *Site) Renew(ctx context.Context, req *hansev1.RenewRequest) (*hansev1.RenewResponse, error) {
	who, err := s.peer(ctx)
	if err != nil {
		return nil, err
	}
	keyHash, err := readCSR(req.GetCsr())
	if err != nil {
		return nil, err
	}
	if !slices.Equal(keyHash, who.keyHash) {
		return nil, status.Error(codes.InvalidArgument, "csr is for another key than the caller's certificate: renew with the same key, or enrol the new one with a token")
	}
	e, err := s.prolong(who)
	if err != nil {
		return nil, err
	}
	chain, err := s.issue(req.GetCsr(), e)
	if err != nil {
		return nil, err
	}
	return &hansev1.RenewResponse{Certificates: chain, Roots: s.cfg.Signer.Roots()}, nil
}

func (s *Site) issue(csr []byte, e enrolment) ([][]byte, error) {
	chain, _, err := s.cfg.Signer.Issue(csr, e.spiffeID(s.cfg.TrustDomain), e.Workload, s.cfg.SVIDTTL)
	if err != nil {
		s.cfg.Logger.Error("certificate not signed", "workload", e.Workload, "error", err)
		return nil, status.Errorf(codes.Unavailable, "the site's CA cannot sign now: %v", err)
	}
	return chain, nil
}

func (s *Site) diskError(err error) error {
	s.cfg.Logger.Error("enrolment is not on disk", "error", err)
	return status.Error(codes.Unavailable, "the agent cannot write its state now: see its log and try again")
}

// checkSecret comes before all work that a stranger could cause. An unknown token and a wrong secret look the same.
func (s *Site) checkSecret(tokenID, secret string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tokens[tokenID]; ok && t.matches(secret) {
		return nil
	}
	return status.Errorf(codes.NotFound, "token is unknown to cluster %s or its secret is wrong: mint one at this site's agent", s.cfg.Cluster)
}

// redeem binds a use of the token and remembers what the workload may be.
func (s *Site) redeem(tokenID string, u Use) (enrolment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock.Now()
	t, ok := s.tokens[tokenID]
	if !ok {
		return enrolment{}, status.Errorf(codes.NotFound, "token %s was removed", tokenID)
	}
	if err := t.usable(u, now); err != nil {
		return enrolment{}, err
	}
	e := enrolmentOf(t, u)
	e.CertificateExpiry = now.Add(s.cfg.SVIDTTL)
	if err := s.mayTakeOver(e); err != nil {
		return enrolment{}, err
	}
	held, known := s.enrolments[u.Workload]
	if known {
		if err := e.mayReplace(held, s.attached(u.Workload)); err != nil {
			return enrolment{}, err
		}
	} else if err := s.makeRoom(now); err != nil {
		return enrolment{}, err
	}
	if !t.usedBy(u) {
		bound := *t
		bound.UsedBy = append(slices.Clone(t.UsedBy), u)
		s.tokens[tokenID] = &bound
		s.versions.tokens++
	}
	s.enrolments[u.Workload] = e
	s.versions.enrolments++
	if known && !e.sameScope(held) && s.attached(u.Workload) {
		s.entries[u.Workload].stream.stop(status.Error(codes.Unavailable, "the workload was enrolled again: attach with the new certificate"))
	}
	return e, nil
}

// makeRoom keeps the number of enrolments bounded: those whose certificate has run out can neither renew nor attach, and go when
// room is needed. s.mu is held.
func (s *Site) makeRoom(now time.Time) error {
	if len(s.enrolments) < maxWorkloads {
		return nil
	}
	for id, e := range s.enrolments {
		if e.CertificateExpiry.Before(now) && !s.attached(id) {
			delete(s.enrolments, id)
		}
	}
	if len(s.enrolments) >= maxWorkloads {
		return status.Errorf(codes.ResourceExhausted, "the site has %d workloads, which is the limit: remove some, or open another site", maxWorkloads)
	}
	return nil
}

// prolong returns the caller's enrolment and notes that it gets a new certificate.
func (s *Site) prolong(who peer) (enrolment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.holder(who)
	if err != nil {
		return enrolment{}, err
	}
	e.CertificateExpiry = s.cfg.Clock.Now().Add(s.cfg.SVIDTTL)
	s.enrolments[e.Workload] = e
	s.versions.enrolments++
	wake(s.unsaved)
	return e, nil
}

// certifiable reports whether the site's CA will certify a key. A key that it refuses must not spend a use of the token.
func certifiable(public any) bool {
	key, ok := public.(*ecdsa.PublicKey)
	return ok && (key.Curve == elliptic.P256() || key.Curve == elliptic.P384())
}

// readCSR checks a request's form and its proof of possession, and returns the SHA-256 of its public key. What it says of names is
// ignored: those follow from the token.
func readCSR(der []byte) ([]byte, error) {
	if len(der) == 0 || len(der) > maxCSR {
		return nil, status.Errorf(codes.InvalidArgument, "csr has %d bytes: send a PKCS #10 request in DER of at most %d bytes", len(der), maxCSR)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "csr is not a PKCS #10 request in DER: %v", err)
	}
	if !certifiable(csr.PublicKey) {
		return nil, status.Error(codes.InvalidArgument, "csr is not for an ECDSA key on P-256 or P-384: the site's CA certifies no other")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "csr is not signed by its own key: %v", err)
	}
	sum := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	return sum[:], nil
}
