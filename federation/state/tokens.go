package state

import (
	"bytes"
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

// tokenRetention is how long an ended token is kept, so that its user is told "expired" and not "unknown".
const tokenRetention = 30 * 24 * time.Hour

func (s *State) createToken(t model.Token, at time.Time) (bool, error) {
	if err := checkNewToken(t); err != nil {
		return false, err
	}
	if !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(at) {
		return false, refuse(Invalid, "token %s would expire at %s, which is past: give a later end", t.ID, stamp(t.ExpiresAt))
	}
	if held, ok := s.view.Tokens[t.ID]; ok {
		if equalTokens(held, t) {
			return false, nil
		}
		return false, refuse(Conflict, "there is a token %s already: create one with another id", t.ID)
	}
	m := own(s, tokens, &s.view.Tokens)
	for id, old := range m {
		if !old.ExpiresAt.IsZero() && old.ExpiresAt.Add(tokenRetention).Before(at) {
			s.touch(model.KindToken, id)
			delete(m, id)
		}
	}
	s.touch(model.KindToken, t.ID)
	m[t.ID] = t
	return true, nil
}

func (s *State) revokeToken(id string) (bool, error) {
	t, ok := s.view.Tokens[id]
	if !ok {
		return false, refuse(NotFound, "there is no token %.80q", id)
	}
	if t.Revoked {
		return false, nil
	}
	s.touch(model.KindToken, id)
	t.Revoked = true
	own(s, tokens, &s.view.Tokens)[id] = t
	return true, nil
}

// revokeUsed ends the tokens by which a member came, so that a removed one does not come back by itself.
func (s *State) revokeUsed(kind model.TokenKind, name string) {
	for id, t := range s.view.Tokens {
		if t.Kind == kind && t.BoundName == name && !t.Revoked {
			s.touch(model.KindToken, id)
			t.Revoked = true
			own(s, tokens, &s.view.Tokens)[id] = t
		}
	}
}

// bind gives the token to the key that used it first and reports whether that is new.
func (s *State) bind(t model.Token, keyHash []byte, name string) bool {
	if len(t.BoundKey) > 0 {
		return false
	}
	s.touch(model.KindToken, t.ID)
	t.BoundKey, t.BoundName = bytes.Clone(keyHash), name
	own(s, tokens, &s.view.Tokens)[t.ID] = t
	return true
}

// credential finds the token and checks secret, kind and revocation. An unknown id and a wrong secret are told alike.
func (v *View) credential(id string, secretHash []byte, kind model.TokenKind) (model.Token, error) {
	t, ok := v.Tokens[id]
	if !ok || subtle.ConstantTimeCompare(t.SecretHash, secretHash) != 1 {
		return model.Token{}, refuse(Denied, "token %.64q is not known here or its secret is wrong: check that it was copied whole and is of this federation", id)
	}
	if t.Kind != kind {
		return model.Token{}, refuse(Denied, "token %s is a %s token: a %s token is needed here", t.ID, t.Kind, kind)
	}
	if t.Revoked {
		return model.Token{}, refuse(Denied, "token %s was revoked: ask for a new one", t.ID)
	}
	return t, nil
}

// mayUse reports whether the key has used the token before. The end counts for the first use only: who has used the token in time
// may repeat it when the answer was lost.
func mayUse(t model.Token, keyHash []byte, name string, at time.Time) (repeated bool, err error) {
	if len(t.BoundKey) == 0 {
		return false, checkExpiry(t, at)
	}
	if subtle.ConstantTimeCompare(t.BoundKey, keyHash) != 1 {
		return false, refuse(Denied, "token %s was used before by another key, for %s: a token is good for one key, ask for a new one", t.ID, t.BoundName)
	}
	if t.BoundName != name {
		return false, refuse(Denied, "token %s was used before for %s: it can not be used for %.63s, ask for a new one", t.ID, t.BoundName, name)
	}
	return true, nil
}

func checkExpiry(t model.Token, at time.Time) error {
	if !t.ExpiresAt.IsZero() && !at.Before(t.ExpiresAt) {
		return refuse(Denied, "token %s expired at %s (the federation's clock says %s): ask for a new one", t.ID, stamp(t.ExpiresAt), stamp(at))
	}
	return nil
}

func checkNewToken(t model.Token) error {
	if _, err := codec.TokenFromProto(codec.TokenToProto(t)); err != nil {
		return refuse(Invalid, "%v", err)
	}
	if len(t.BoundKey) > 0 || t.BoundName != "" || t.Revoked {
		return refuse(Invalid, "token %s is new: it can not be used or revoked yet", t.ID)
	}
	if t.Kind != model.TokenOperator && t.ExpiresAt.IsZero() {
		return refuse(Invalid, "token %s has no end: a %s token needs one", t.ID, t.Kind)
	}
	scoped := t.Cluster != "" || t.ClusterPrefix != ""
	if t.Kind != model.TokenCluster && (scoped || len(t.ExportNamespaces) > 0) {
		return refuse(Invalid, "token %s: only a cluster token names clusters and namespaces", t.ID)
	}
	if t.Kind != model.TokenOperator && (t.Role != "" || len(t.Namespaces) > 0) {
		return refuse(Invalid, "token %s: only an operator token has a role and namespaces", t.ID)
	}
	if t.Kind == model.TokenCluster && (t.Cluster != "") == (t.ClusterPrefix != "") {
		return refuse(Invalid, "token %s must name either the cluster or a prefix of its name", t.ID)
	}
	return nil
}

func inScope(t model.Token, cluster string) bool {
	if t.Cluster != "" {
		return t.Cluster == cluster
	}
	return t.ClusterPrefix != "" && strings.HasPrefix(cluster, t.ClusterPrefix)
}

func scopeOf(t model.Token) string {
	if t.Cluster != "" {
		return "cluster " + t.Cluster
	}
	return "clusters whose name begins with " + t.ClusterPrefix
}

func equalTokens(a, b model.Token) bool {
	return a.ID == b.ID && a.Kind == b.Kind && bytes.Equal(a.SecretHash, b.SecretHash) && a.CreatedAt.Equal(b.CreatedAt) &&
		a.ExpiresAt.Equal(b.ExpiresAt) && a.Cluster == b.Cluster && a.ClusterPrefix == b.ClusterPrefix &&
		slices.Equal(a.ExportNamespaces, b.ExportNamespaces) && a.Role == b.Role && slices.Equal(a.Namespaces, b.Namespaces) && a.Label == b.Label && bytes.Equal(a.BoundKey, b.BoundKey) && a.Revoked == b.Revoked
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
