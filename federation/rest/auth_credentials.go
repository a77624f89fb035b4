package rest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/jwt"
	"github.com/hanse-mesh/hanse/trust/token"
)

// Providers judges the tokens of identity providers.
type Providers interface {
	// Check returns whom a JWT names, once for each of the providers that accepts it. The error is jwt.ErrNoKeys when nobody can tell now.
	Check(ctx context.Context, text string, providers []policy.IdentityProvider) ([]jwt.Identity, error)
}

// noCredential is what somebody is told who shows nothing.
const noCredential = "no credential: send an operator token or the JWT of an identity provider as 'Authorization: Bearer ...', or show an operator's certificate"

// crossSite finds requests that a page of another site has a browser make. A browser shows its certificate with them; a token it does not know.
var crossSite = http.NewCrossOriginProtection()

// credential is what a request shows: well formed, and not checked yet.
type credential struct {
	digest  access.Credential
	passage passage
	check   func(context.Context, *state.View) (access.Caller, error)
}

// recognise finds out who sends a request, or why that is nobody. Who holds the node needs no credential; a token that is shown counts
// before a certificate.
func (s *service) recognise(r *http.Request, source string) (admitted, *refusal) {
	if owner, ok := ownerOf(r.Context()); ok {
		return admitted{owner, stays}, nil
	}
	if node, ok := s.asksAsNode(r); ok {
		return admitted{node, stays}, nil
	}
	shown, err := s.credentialOf(r)
	if err != nil {
		return admitted{}, &refusal{status: http.StatusUnauthorized, detail: err.Error(), shown: r.Header.Get("Authorization") != ""}
	}
	if refused := s.attempts.wait(source, shown.digest, s.Clock.Now()); refused != nil {
		return admitted{}, refused
	}
	caller, err := shown.check(r.Context(), s.Consensus.View())
	switch {
	case errors.Is(err, jwt.ErrNoKeys) || r.Context().Err() != nil:
		return admitted{}, &refusal{
			status: http.StatusServiceUnavailable, after: keysRetry,
			detail: "the identity provider's keys are not known here yet: this node could not fetch them, see its log; try again",
		}
	case err != nil:
		if s.attempts.failed(source, shown.digest, s.Clock.Now()) {
			s.Logger.Warn("too many bad credentials come from one address; it has to wait", "address", source, "error", err)
		}
		return admitted{}, &refusal{status: http.StatusUnauthorized, detail: err.Error(), shown: true}
	}
	s.attempts.passed(shown.digest)
	if shown.passage == redirected && crossSite.Check(r) != nil {
		return admitted{}, &refusal{status: http.StatusForbidden, detail: "another site's page may not use the certificate in your browser"}
	}
	caller.Actor.Address = source
	return admitted{caller, shown.passage}, nil
}

// credentialOf takes what a request shows. What is malformed could be nobody's credential, and is no attempt to guess one.
func (s *service) credentialOf(r *http.Request) (credential, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || s.Certificates == nil {
			return credential{}, errors.New(noCredential)
		}
		return s.byCertificate(*r.TLS), nil
	}
	scheme, text, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return credential{}, errors.New(noCredential)
	}
	if text = strings.TrimSpace(text); jwt.Looks(text) && s.Providers != nil {
		return s.byProvider(text), nil
	}
	t, err := token.Parse(text)
	if err != nil {
		return credential{}, err
	}
	if t.Kind != model.TokenOperator {
		return credential{}, errors.New("this is a " + string(t.Kind) + " token; the API takes operator tokens")
	}
	return s.byToken(t), nil
}

func (s *service) byToken(t token.Token) credential {
	return credential{
		digest:  sha256.Sum256([]byte(t.ID + " " + t.Secret)),
		passage: travels,
		check: func(_ context.Context, v *state.View) (access.Caller, error) {
			held, err := v.CheckToken(t.ID, token.Hash(t.Secret), model.TokenOperator, s.Clock.Now())
			if err != nil {
				return access.Caller{}, err
			}
			named := "token " + held.ID
			return access.Caller{
				Actor:  model.Actor{Name: cmp.Or(held.Label, named), Credential: named},
				Grants: []access.Grant{access.OfToken(held)},
			}, nil
		},
	}
}

// byProvider gives the bearer of a JWT what the bindings give to any of those that it names: more than one provider may accept it.
func (s *service) byProvider(text string) credential {
	return credential{
		digest:  sha256.Sum256([]byte(text)),
		passage: travels,
		check: func(ctx context.Context, v *state.View) (access.Caller, error) {
			ids, err := s.Providers.Check(ctx, text, v.ProviderList())
			if err != nil {
				return access.Caller{}, err
			}
			c := access.Caller{Actor: model.Actor{Name: ids[0].User, Credential: "oidc " + ids[0].Issuer}}
			for _, id := range ids {
				c.Grants = append(c.Grants, access.Of(access.Person{Provider: id.Provider, Name: id.User, Groups: id.Groups}, v.BindingList())...)
			}
			return c, nil
		},
	}
}

func (s *service) byCertificate(connection tls.ConnectionState) credential {
	return credential{
		digest:  sha256.Sum256(connection.PeerCertificates[0].Raw),
		passage: redirected,
		check: func(_ context.Context, v *state.View) (access.Caller, error) {
			id, err := s.Certificates.Peer(connection)
			if err != nil {
				return access.Caller{}, err
			}
			name, ok := model.OperatorOfID(v.Federation, id)
			if !ok {
				return access.Caller{}, errors.New("this is the certificate of " + id + "; the API takes those of operators: " + model.OperatorID(v.Federation, "NAME"))
			}
			return access.Caller{
				Actor:  model.Actor{Name: name, Credential: "certificate"},
				Grants: access.Of(access.Person{Name: name}, v.BindingList()),
			}, nil
		},
	}
}
