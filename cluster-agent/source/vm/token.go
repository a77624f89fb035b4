package vm

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
)

// Limits and defaults of workload tokens.
const (
	DefaultTokenTTL = time.Hour
	MaxTokenUses    = 10_000
	maxTokens       = 10_000
	// repeatGrace is how long past a token's end the keys that used it may repeat it: a machine that slept longer than its
	// certificate lives comes back without an operator. Revoking the token ends that.
	repeatGrace = 30 * 24 * time.Hour
)

// AnyService in TokenSpec.Services allows every service of the token's namespace.
const AnyService = "*"

// TokenSpec says what the holders of a workload token may be.
type TokenSpec struct {
	// Namespace of the SVID and of everything that its holder registers. A gateway's is always model.SystemNamespace.
	Namespace string
	// ServiceAccount defaults to "default", a gateway's to model.GatewayServiceAccount.
	ServiceAccount string
	// Services may be registered by the holder; AnyService allows all of the namespace, none makes it a caller only.
	Services []string
	// Gateway allows the holder to register as an east-west gateway.
	Gateway bool
	// Uses is how many workloads the token may enrol; 0 means 1.
	Uses int
	// TTL is how long new workloads may use it; 0 means DefaultTokenTTL.
	TTL time.Duration
}

// Token is a workload token as the site lists it, without its secret.
type Token struct {
	ID             string    `json:"id"`
	Namespace      string    `json:"namespace"`
	ServiceAccount string    `json:"serviceAccount"`
	Services       []string  `json:"services,omitempty"`
	Gateway        bool      `json:"gateway,omitempty"`
	Uses           int       `json:"uses"`
	UsedBy         []Use     `json:"usedBy,omitempty"`
	CreatedAt      time.Time `json:"createdAt"`
	ExpiresAt      time.Time `json:"expiresAt"`
	Revoked        bool      `json:"revoked,omitempty"`
}

// Use binds one use of a token to the workload and key that spent it.
type Use struct {
	Workload string `json:"workload"`
	// KeyHash is the SHA-256 of the public key, PKIX DER.
	KeyHash []byte `json:"keyHash"`
}

type storedToken struct {
	Token
	SecretHash []byte `json:"secretHash"`
}

func (s TokenSpec) withDefaults() TokenSpec {
	if s.Gateway && s.Namespace == "" {
		s.Namespace = model.SystemNamespace
	}
	if s.ServiceAccount == "" {
		s.ServiceAccount = model.DefaultServiceAccount
		if s.Gateway {
			s.ServiceAccount = model.GatewayServiceAccount
		}
	}
	if s.Uses == 0 {
		s.Uses = 1
	}
	if s.TTL == 0 {
		s.TTL = DefaultTokenTTL
	}
	return s
}

func (s TokenSpec) validate() error {
	if err := model.ValidateLabel("namespace", s.Namespace); err != nil {
		return err
	}
	if err := model.ValidateLabel("service account", s.ServiceAccount); err != nil {
		return err
	}
	for _, name := range s.Services {
		if name == AnyService {
			continue
		}
		if err := model.ValidateLabel("service", name); err != nil {
			return err
		}
	}
	gateway := s.Namespace == model.SystemNamespace && s.ServiceAccount == model.GatewayServiceAccount
	switch {
	case s.Gateway && !gateway:
		return fmt.Errorf("a gateway's identity is namespace %s, service account %s: leave both empty, not %s/%s",
			model.SystemNamespace, model.GatewayServiceAccount, s.Namespace, s.ServiceAccount)
	case !s.Gateway && s.Namespace == model.SystemNamespace:
		return fmt.Errorf("namespace %s is kept for the site's own parts: choose another", model.SystemNamespace)
	case s.Gateway && len(s.Services) > 0:
		return errors.New("a gateway token names services: mint a separate token for them")
	case s.Uses < 0 || s.Uses > MaxTokenUses:
		return fmt.Errorf("uses %d is not between 1 and %d", s.Uses, MaxTokenUses)
	case s.TTL < 0:
		return fmt.Errorf("ttl %v is negative", s.TTL)
	}
	return nil
}

// newToken makes a token and its secret, which is known to nobody after the caller forgets it.
func newToken(spec TokenSpec, now time.Time) (storedToken, string) {
	var id [8]byte
	var secret [32]byte
	// crypto/rand.Read never fails: it ends the process when the system has no randomness.
	_, _ = rand.Read(id[:])
	_, _ = rand.Read(secret[:])
	text := base64.RawURLEncoding.EncodeToString(secret[:])
	return storedToken{
		Token: Token{
			ID: hex.EncodeToString(id[:]), Namespace: spec.Namespace, ServiceAccount: spec.ServiceAccount,
			Services: slices.Clone(spec.Services), Gateway: spec.Gateway, Uses: spec.Uses,
			CreatedAt: now, ExpiresAt: now.Add(spec.TTL),
		},
		SecretHash: hashSecret(text),
	}, text
}

func hashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func (t *storedToken) matches(secret string) bool {
	return subtle.ConstantTimeCompare(t.SecretHash, hashSecret(secret)) == 1
}

// usable says why the token cannot serve the use, as a status; nil when it can.
func (t *storedToken) usable(u Use, now time.Time) error {
	repeated := t.usedBy(u)
	switch {
	case t.Revoked:
		return status.Errorf(codes.PermissionDenied, "token %s is revoked: mint another at the site's agent", t.ID)
	case !repeated && !now.Before(t.ExpiresAt), repeated && t.forgotten(now):
		return status.Errorf(codes.PermissionDenied, "token %s expired at %s (it is now %s): mint another at the site's agent",
			t.ID, t.ExpiresAt.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case !repeated && len(t.UsedBy) >= t.Uses:
		return status.Errorf(codes.PermissionDenied, "token %s is used up (%d of %d, by %s): mint another at the site's agent",
			t.ID, len(t.UsedBy), t.Uses, t.holders())
	}
	return nil
}

func (t *storedToken) usedBy(u Use) bool {
	return slices.ContainsFunc(t.UsedBy, func(o Use) bool {
		return o.Workload == u.Workload && slices.Equal(o.KeyHash, u.KeyHash)
	})
}

func (t *storedToken) forgotten(now time.Time) bool { return now.After(t.ExpiresAt.Add(repeatGrace)) }

func (t *storedToken) holders() string {
	var names []string
	for _, u := range t.UsedBy[:min(3, len(t.UsedBy))] {
		names = append(names, u.Workload)
	}
	if len(t.UsedBy) > 3 {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}
