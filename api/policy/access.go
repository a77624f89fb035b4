package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// RoleBinding gives a role to operators who prove themselves by certificate or by an identity provider. Operator tokens carry a role of
// their own.
type RoleBinding struct {
	Name   string          `json:"name"`
	Labels Labels          `json:"labels,omitempty"`
	Spec   RoleBindingSpec `json:"spec"`
}

// RoleBindingSpec gives Role, in Namespaces, to every one of Subjects.
type RoleBindingSpec struct {
	Role model.Role `json:"role" enum:"viewer,operator,admin"`
	// Namespaces limits the role to policies about these namespaces; empty is all. An admin has no such limit.
	Namespaces []string  `json:"namespaces,omitempty" maxItems:"100" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"Limits the role to policies about these namespaces; none is all"`
	Subjects   []Subject `json:"subjects" minItems:"1" maxItems:"1000" doc:"Who has the role"`
}

// Subject is one operator or a group of them.
type Subject struct {
	// Kind is "certificate", "user" or "group".
	Kind string `json:"kind" enum:"certificate,user,group"`
	// Name is that of a certificate spiffe://FEDERATION/operator/NAME, or what the provider's claim says.
	Name string `json:"name" minLength:"1" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" example:"ana" doc:"The name in the certificate spiffe://FEDERATION/operator/NAME, or what the provider's claim says"`
	// Provider is the IdentityProvider that vouches for a user or group.
	Provider string `json:"provider,omitempty" maxLength:"63" pattern:"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$" doc:"The identity provider that vouches for a user or group; none for a certificate"`
}

// The kinds of subject.
const (
	SubjectCertificate = "certificate"
	SubjectUser        = "user"
	SubjectGroup       = "group"
)

// IdentityProvider is an OpenID Connect issuer whose tokens (JWT, RFC 7519) operators may show.
type IdentityProvider struct {
	Name   string               `json:"name"`
	Labels Labels               `json:"labels,omitempty"`
	Spec   IdentityProviderSpec `json:"spec"`
}

// IdentityProviderSpec says what makes a token of the issuer good: one of Audiences, and a signature by a key of the set at JWKSURL, or of
// JWKS.
type IdentityProviderSpec struct {
	// Issuer is what the claim "iss" must be, letter by letter.
	Issuer    string   `json:"issuer" minLength:"1" maxLength:"256" format:"uri" example:"https://login.example.org" doc:"What the claim iss must be, letter by letter"`
	Audiences []string `json:"audiences" minItems:"1" maxItems:"100" minLength:"1" maxLength:"256" doc:"The claim aud must name one of them"`
	// JWKSURL is where the issuer publishes its keys (RFC 7517), an https URL. JWKS are the keys themselves, as JSON text, for issuers that
	// the federation's nodes cannot reach. One of the two is given.
	JWKSURL string `json:"jwksUrl,omitempty" maxLength:"1024" pattern:"^(https://.+)?$" example:"https://login.example.org/jwks" doc:"Where the issuer publishes its keys (RFC 7517); this or jwks"`
	JWKS    string `json:"jwks,omitempty" maxLength:"131072" doc:"The keys themselves, as JSON text, for issuers that the nodes cannot reach"`
	// UserClaim and GroupsClaim are the claims that name the operator and the operator's groups; by default "sub" and "groups".
	UserClaim   string `json:"userClaim,omitempty" maxLength:"128" doc:"The claim that names the operator; sub when left out"`
	GroupsClaim string `json:"groupsClaim,omitempty" maxLength:"128" doc:"The claim that names the operator's groups; groups when left out"`
}

const (
	maxSubjects = 1000
	maxSubject  = 256
)

func (b *RoleBinding) policyName() string   { return b.Name }
func (b *RoleBinding) policyLabels() Labels { return b.Labels }
func (b *RoleBinding) policySpec() any      { return b.Spec }
func (b *RoleBinding) canonicalSpec() any {
	s := b.Spec
	if s.Subjects == nil {
		s.Subjects = []Subject{}
	}
	return s
}

// Validate reports what makes the binding meaningless. known are the names of identity providers.
func (b RoleBinding) Validate(known []string) (warnings []string, err error) {
	if err := model.ValidateLabel("name", b.Name); err != nil {
		return nil, err
	}
	if !slices.Contains(model.Roles(), b.Spec.Role) {
		return nil, fmt.Errorf("spec.role: %.40q is not one of viewer, operator, admin", b.Spec.Role)
	}
	if err := names("spec.namespaces", b.Spec.Namespaces); err != nil {
		return nil, err
	}
	if b.Spec.Role == model.RoleAdmin && len(b.Spec.Namespaces) > 0 {
		return nil, errors.New("spec.namespaces: an admin has no limit; give the role operator, or no namespaces")
	}
	if len(b.Spec.Subjects) == 0 || len(b.Spec.Subjects) > maxSubjects {
		return nil, fmt.Errorf("spec.subjects: give 1 to %d of them, with kind and name", maxSubjects)
	}
	for i, s := range b.Spec.Subjects {
		at := fmt.Sprintf("spec.subjects[%d]", i)
		if err := s.validate(at); err != nil {
			return nil, err
		}
		if s.Kind == SubjectCertificate && model.ValidateOperator("name", s.Name) != nil {
			warnings = append(warnings, fmt.Sprintf("%s.name: no certificate of an operator can have the name %.80q", at, s.Name))
		}
		if s.Provider != "" {
			warnings = append(warnings, unknown(at+".provider", "identity provider", []string{s.Provider}, known)...)
		}
	}
	return warnings, nil
}

func (s Subject) validate(at string) error {
	switch s.Kind {
	case SubjectCertificate:
		if s.Provider != "" {
			return fmt.Errorf("%s.provider: a certificate is the federation's own; remove it", at)
		}
	case SubjectUser, SubjectGroup:
		if err := model.ValidateLabel(at+".provider", s.Provider); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s.kind: %.40q is not one of certificate, user, group", at, s.Kind)
	}
	if s.Name == "" || len(s.Name) > maxSubject || strings.ContainsFunc(s.Name, func(r rune) bool { return r < ' ' }) {
		return fmt.Errorf("%s.name: give 1 to %d characters of text", at, maxSubject)
	}
	return nil
}

func (i *IdentityProvider) policyName() string   { return i.Name }
func (i *IdentityProvider) policyLabels() Labels { return i.Labels }
func (i *IdentityProvider) policySpec() any      { return i.Spec }
func (i *IdentityProvider) canonicalSpec() any {
	s := i.Spec
	s.Audiences = orEmpty(s.Audiences)
	return s
}

// Validate reports what makes the provider meaningless. It has no references, so nothing is warned of.
func (i IdentityProvider) Validate([]string) (warnings []string, err error) {
	if err := model.ValidateLabel("name", i.Name); err != nil {
		return nil, err
	}
	s := i.Spec
	if u, err := url.Parse(s.Issuer); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(s.Issuer) > maxSubject {
		return nil, fmt.Errorf("spec.issuer: %.80q is not an URL, for example https://login.example.org", s.Issuer)
	}
	if len(s.Audiences) == 0 || slices.Contains(s.Audiences, "") {
		return nil, errors.New("spec.audiences: give the audience that the issuer puts into tokens for this federation: without one, tokens for others would count here")
	}
	switch {
	case (s.JWKSURL == "") == (s.JWKS == ""):
		return nil, errors.New("spec.jwksUrl and spec.jwks: give one of the two")
	case s.JWKSURL != "":
		if u, err := url.Parse(s.JWKSURL); err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("spec.jwksUrl: %.80q is not an https URL", s.JWKSURL)
		}
	default:
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal([]byte(s.JWKS), &set); err != nil || len(set.Keys) == 0 {
			return nil, errors.New(`spec.jwks: is not a set of keys: give {"keys": […]} as RFC 7517 says`)
		}
	}
	return nil, nil
}
