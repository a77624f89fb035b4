package rest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/state"
)

// OperatorCertificateTTL is the life of an operator's certificate. It is short because there is no way to take one back, but to take its
// holder's name out of the role bindings.
const OperatorCertificateTTL = 12 * time.Hour

// Certificates verifies and signs the certificates of the federation's own trust domain.
type Certificates interface {
	// Peer returns the SPIFFE ID that the client of a connection has proven, or why its certificate does not count.
	Peer(tls.ConnectionState) (id string, err error)
	// Issue signs a certificate for the key of a PKCS#10 request, DER, and returns its chain, DER, the leaf first and the root last.
	Issue(csr []byte, id string, ttl time.Duration, now time.Time) (chain [][]byte, err error)
}

// NewOperatorCertificate asks for an operator's certificate.
type NewOperatorCertificate struct {
	Name string `json:"name" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*$" patternDescription:"letters, digits, '.', '-' and '_'" doc:"The operator's name, as role bindings have it for the subject kind certificate" example:"ann.smith"`
	CSR  string `json:"csr" minLength:"1" maxLength:"16384" doc:"PKCS#10 request, PEM, signed by the operator's own key: ECDSA on P-256 or P-384. What else it says does not count"`
}

// OperatorCertificate is a new certificate. What its holder may do is for the role bindings to say.
type OperatorCertificate struct {
	ID        string    `json:"id" doc:"The identity that it proves" example:"spiffe://example.org/operator/ann.smith"`
	Chain     string    `json:"chain" doc:"PEM, the certificate first and the federation's root last"`
	ExpiresAt time.Time `json:"expiresAt" doc:"When it ends"`
}

func (s *service) registerCertificates(api huma.API) {
	create := operation("Access", "create-operator-certificate", http.MethodPost, "/v1/operator-certificates", "Sign an operator's certificate")
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, described(create, "It takes the role admin. The certificate proves a name for twelve hours; what that name may do is for role bindings to say."),
		s.createOperatorCertificate)
}

func (s *service) createOperatorCertificate(ctx context.Context, in *struct{ Body NewOperatorCertificate }) (*struct{ Body OperatorCertificate }, error) {
	caller := callerOf(ctx)
	if err := caller.May(access.Administer, nil); err != nil {
		return nil, huma.Error403Forbidden(err.Error())
	}
	if s.Certificates == nil {
		return nil, huma.Error503ServiceUnavailable("this node signs no certificates: ask another one")
	}
	if err := model.ValidateOperator("name", in.Body.Name); err != nil {
		return nil, unprocessable(documentFault("body", err))
	}
	csr, err := readCSR(in.Body.CSR)
	if err != nil {
		return nil, unprocessable(documentFault("body", fmt.Errorf("csr: %w", err)))
	}
	id := model.OperatorID(s.Consensus.View().Federation, in.Body.Name)
	chain, err := s.Certificates.Issue(csr, id, OperatorCertificateTTL, s.Clock.Now())
	if err != nil {
		return nil, huma.Error500InternalServerError("this node cannot sign: " + err.Error())
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, huma.Error500InternalServerError("this node has signed what it cannot read: " + err.Error())
	}
	// Nobody is given a certificate that the audit log does not know.
	if _, err := s.propose(ctx, s.Consensus.View(), state.Entry{Command: signedDeed(in.Body.Name, id, leaf)}, false); err != nil {
		return nil, err
	}
	s.Logger.Info("operator certificate signed", "id", id, "serial", leaf.SerialNumber.Text(16), "expires", leaf.NotAfter,
		"actor", caller.Actor.Name, "credential", caller.Actor.Credential, "address", caller.Actor.Address)
	return &struct{ Body OperatorCertificate }{OperatorCertificate{ID: id, Chain: encodeChain(chain), ExpiresAt: leaf.NotAfter}}, nil
}

// signedDeed is what the audit log has of a certificate.
func signedDeed(name, id string, leaf *x509.Certificate) state.RecordDeed {
	text, _ := json.Marshal(map[string]any{"id": id, "serial": leaf.SerialNumber.Text(16), "expiresAt": leaf.NotAfter.UTC()}) // Texts and a time.
	return state.RecordDeed{Ref: model.Ref{Kind: model.KindOperatorCertificate, Name: name}, After: text}
}

// readCSR takes a request out of its PEM and checks that its sender has the key.
func readCSR(text string) ([]byte, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("give one CERTIFICATE REQUEST in PEM, as 'openssl req -new' writes it")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, errors.New("it is not a PKCS#10 request")
	}
	key, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
		return nil, errors.New("its key must be ECDSA on P-256 or P-384")
	}
	if request.CheckSignature() != nil {
		return nil, errors.New("it is not signed by its own key")
	}
	return block.Bytes, nil
}

func encodeChain(chain [][]byte) string {
	var out strings.Builder
	for _, der := range chain {
		// A builder takes everything.
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return out.String()
}
