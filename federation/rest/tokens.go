package rest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/state"
)

// The life of a join token when the request names none, and the longest that it may name.
const (
	defaultTokenTTL = time.Hour
	maxTokenTTL     = 30 * 24 * time.Hour
)

// NewToken asks for a token.
type NewToken struct {
	Kind             model.TokenKind `json:"kind" enum:"cluster,node,operator" doc:"What the token lets in"`
	Cluster          string          `json:"cluster,omitempty" doc:"The only cluster name that may join with it"`
	ClusterPrefix    string          `json:"clusterPrefix,omitempty" doc:"Any cluster name that begins so may join with it"`
	ExportNamespaces []string        `json:"exportNamespaces,omitempty" doc:"Namespaces that the cluster may export; * is all, none is none"`
	TTL              string          `json:"ttl,omitempty" doc:"Life of the token, for example 1h; at most 720h" example:"1h"`
}

// CreatedToken is a new token; its text is shown this once.
type CreatedToken struct {
	model.Token
	Text string `json:"text" doc:"The token itself: keep it secret, it is not shown again"`
}

// TokenList lists tokens without their secrets.
type TokenList struct {
	Tokens []model.Token `json:"tokens"`
}

func (s *service) registerTokens(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "create-token", Method: http.MethodPost, Path: "/v1/tokens", DefaultStatus: http.StatusCreated,
		Summary: "Make a join, node or operator token",
	}, s.createToken)
	huma.Get(api, "/v1/tokens", s.listTokens)
	huma.Delete(api, "/v1/tokens/{id}", s.revokeToken)
}

func (s *service) createToken(ctx context.Context, in *struct{ Body NewToken }) (*struct{ Body CreatedToken }, error) {
	ttl, err := tokenTTL(in.Body)
	if err != nil {
		return nil, err
	}
	if err := checkScope(in.Body); err != nil {
		return nil, err
	}
	kept, text, err := s.Mint(in.Body.Kind, s.Consensus.View())
	if err != nil {
		return nil, huma.Error500InternalServerError("make token: " + err.Error())
	}
	now := s.Clock.Now()
	kept.CreatedAt, kept.ExpiresAt = now, now.Add(ttl)
	kept.Cluster, kept.ClusterPrefix = in.Body.Cluster, in.Body.ClusterPrefix
	kept.ExportNamespaces = slices.Clone(in.Body.ExportNamespaces)
	if _, err := s.do(ctx, write{command: state.CreateToken{Token: kept}, verb: access.Administer}); err != nil {
		return nil, err
	}
	return &struct{ Body CreatedToken }{CreatedToken{kept, text}}, nil
}

func tokenTTL(in NewToken) (time.Duration, error) {
	if in.TTL == "" {
		return defaultTokenTTL, nil
	}
	ttl, err := time.ParseDuration(in.TTL)
	if err != nil || ttl <= 0 || ttl > maxTokenTTL {
		return 0, huma.Error422UnprocessableEntity("ttl: give a duration between 1s and 720h, for example 1h")
	}
	return ttl, nil
}

func checkScope(in NewToken) error {
	scoped := in.Cluster != "" || in.ClusterPrefix != ""
	switch {
	case in.Kind == model.TokenCluster && in.Cluster != "" && in.ClusterPrefix != "":
		return huma.Error422UnprocessableEntity("cluster and clusterPrefix: give one of the two")
	case in.Kind == model.TokenCluster && !scoped:
		return huma.Error422UnprocessableEntity("cluster: a cluster token needs the name of the cluster, or clusterPrefix")
	case in.Kind != model.TokenCluster && (scoped || len(in.ExportNamespaces) > 0):
		return huma.Error422UnprocessableEntity("cluster, clusterPrefix and exportNamespaces belong to cluster tokens only")
	}
	if in.Cluster != "" {
		if err := model.ValidateLabel("cluster", in.Cluster); err != nil {
			return huma.Error422UnprocessableEntity(err.Error())
		}
	}
	if in.ClusterPrefix != "" {
		// A prefix may end in the hyphen that separates it from the rest of the name.
		if err := model.ValidateLabel("clusterPrefix", strings.TrimSuffix(in.ClusterPrefix, "-")); err != nil {
			return huma.Error422UnprocessableEntity(err.Error())
		}
	}
	for _, ns := range in.ExportNamespaces {
		if ns == "*" {
			continue
		}
		if err := model.ValidateLabel("exportNamespaces", ns); err != nil {
			return huma.Error422UnprocessableEntity(err.Error())
		}
	}
	return nil
}

func (s *service) listTokens(context.Context, *struct{}) (*struct{ Body TokenList }, error) {
	out := TokenList{Tokens: s.Consensus.View().TokenList()}
	slices.SortStableFunc(out.Tokens, func(a, b model.Token) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return &struct{ Body TokenList }{out}, nil
}

func (s *service) revokeToken(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"128"`
}) (*struct{}, error) {
	_, err := s.do(ctx, write{command: state.RevokeToken{ID: in.ID}, verb: access.Administer})
	return nil, err
}
