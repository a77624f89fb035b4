package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
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
	Cluster          string          `json:"cluster,omitempty" maxLength:"63" pattern:"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$" doc:"The only cluster name that may join with it" example:"eu"`
	ClusterPrefix    string          `json:"clusterPrefix,omitempty" maxLength:"63" pattern:"^([a-z0-9][-a-z0-9]*)?$" doc:"Any cluster name that begins so may join with it" example:"edge-"`
	ExportNamespaces []string        `json:"exportNamespaces,omitempty" maxItems:"100" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"Namespaces that the cluster may export; * is all, none is none"`
	TTL              string          `json:"ttl,omitempty" maxLength:"32" pattern:"^(([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+)?$" patternDescription:"a duration such as 1h30m" doc:"Life of the token, for example 1h (the default); at most 720h" example:"1h"`
	Role             model.Role      `json:"role,omitempty" enum:"viewer,operator,admin" doc:"What the bearer of an operator token may do; admin when it is left out"`
	Namespaces       []string        `json:"namespaces,omitempty" maxItems:"100" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"Limits the role operator to policies about these namespaces; none is all"`
	Label            string          `json:"label,omitempty" maxLength:"128" pattern:"^[^\\x00-\\x1f\\x7f-\\x9f]*$" doc:"For whom an operator token is: the name in the audit log" example:"ana"`
}

// CreatedToken is a new token; its text is shown this once.
type CreatedToken struct {
	model.Token
	Text   string `json:"text,omitempty" doc:"The token itself: keep it secret, it is not shown again; absent in a dry run"`
	DryRun bool   `json:"dryRun,omitempty" doc:"Whether this only says what would be"`
}

const tokensPath = "/v1/tokens"

func (s *service) registerTokens(api huma.API) {
	const tag = "Access"
	create := operation(tag, "create-token", http.MethodPost, tokensPath, "Make a join, node or operator token")
	create.DefaultStatus = http.StatusCreated
	create.Responses = map[string]*huma.Response{"200": {
		Description: "What would be made, in a dry run",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: schemaPrefix + "CreatedToken"}}},
	}}
	huma.Register(api, described(create, "It takes the role admin, as everything about tokens does. The text of the token is shown this once."), s.createToken)
	huma.Register(api, operation(tag, "list-tokens", http.MethodGet, tokensPath, "List tokens, without their secrets, oldest first"), s.listTokens)
	huma.Register(api, operation(tag, "get-token", http.MethodGet, tokensPath+"/{id}", "Get a token, without its secret"), s.getToken)
	revoke := operation(tag, "revoke-token", http.MethodDelete, tokensPath+"/{id}", "End a token now")
	huma.Register(api, described(revoke, "It stays in the list for a while, so that its bearer is told that it was revoked."), s.revokeToken)
}

// TokenInPath is the token that a request is about.
type TokenInPath struct {
	ID string `path:"id" minLength:"1" maxLength:"128" pattern:"^[-A-Za-z0-9_]+$"`
}

type createdAnswer struct {
	Status   int
	Location string `header:"Location" doc:"Where the token is found; absent in a dry run"`
	ETag     string `header:"ETag" doc:"The token's version, for If-Match; absent in a dry run"`
	Body     CreatedToken
}

func (s *service) createToken(ctx context.Context, in *struct {
	DryRunOption
	Body NewToken
}) (*createdAnswer, error) {
	ttl, err := tokenTTL(in.Body)
	if err != nil {
		return nil, err
	}
	if err := checkScope(in.Body); err != nil {
		return nil, err
	}
	if err := checkGrant(in.Body); err != nil {
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
	kept.Role, kept.Namespaces, kept.Label = in.Body.Role, slices.Clone(in.Body.Namespaces), in.Body.Label
	options := WriteOptions{DryRun: in.DryRun}
	r, err := s.do(ctx, write{command: state.CreateToken{Token: kept}, verb: access.Administer, options: options})
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		return &createdAnswer{Status: http.StatusOK, Body: CreatedToken{Token: kept, DryRun: true}}, nil
	}
	return &createdAnswer{
		Status: http.StatusCreated, Location: tokensPath + "/" + kept.ID, ETag: etagAt(r.Index), Body: CreatedToken{Token: kept, Text: text},
	}, nil
}

func tokenTTL(in NewToken) (time.Duration, error) {
	if in.TTL == "" {
		return defaultTokenTTL, nil
	}
	ttl, err := time.ParseDuration(in.TTL)
	if err != nil || ttl <= 0 || ttl > maxTokenTTL {
		return 0, refuseField("ttl", "is not a duration between 1s and 720h", "give for example 1h")
	}
	return ttl, nil
}

func checkScope(in NewToken) error {
	scoped := in.Cluster != "" || in.ClusterPrefix != ""
	switch {
	case in.Kind == model.TokenCluster && in.Cluster != "" && in.ClusterPrefix != "":
		return refuseField("cluster", "cluster and clusterPrefix are both given", "give one of the two")
	case in.Kind == model.TokenCluster && !scoped:
		return refuseField("cluster", "a cluster token is for one cluster, or for those whose name begins alike", "give cluster or clusterPrefix")
	case in.Kind != model.TokenCluster && (scoped || len(in.ExportNamespaces) > 0):
		return refuseField("kind", "cluster, clusterPrefix and exportNamespaces belong to cluster tokens only", "leave them out")
	}
	if in.Cluster != "" {
		if err := model.ValidateLabel("cluster", in.Cluster); err != nil {
			return unprocessable(documentFault("body", err))
		}
	}
	if in.ClusterPrefix != "" {
		// A prefix may end in the hyphen that separates it from the rest of the name.
		if err := model.ValidateLabel("clusterPrefix", strings.TrimSuffix(in.ClusterPrefix, "-")); err != nil {
			return unprocessable(documentFault("body", err))
		}
	}
	return checkNamespaces("exportNamespaces", in.ExportNamespaces)
}

// checkGrant checks what an operator token allows.
func checkGrant(in NewToken) error {
	switch {
	case in.Kind != model.TokenOperator && (in.Role != "" || len(in.Namespaces) > 0 || in.Label != ""):
		return refuseField("kind", "role, namespaces and label belong to operator tokens only", "leave them out")
	case len(in.Namespaces) > 0 && in.Role != model.RoleOperator:
		return refuseField("namespaces", "only the role operator can be limited to namespaces", "give that role, or leave them out")
	case strings.ContainsFunc(in.Label, unicode.IsControl) || len(in.Label) > codec.MaxTokenLabel:
		return refuseField("label", "is not a short line of text", "give a name")
	}
	return checkNamespaces("namespaces", in.Namespaces)
}

func checkNamespaces(field string, namespaces []string) error {
	for i, ns := range namespaces {
		if ns == policy.Any {
			continue
		}
		if err := model.ValidateLabel(fmt.Sprintf("%s[%d]", field, i), ns); err != nil {
			return unprocessable(documentFault("body", err))
		}
	}
	return nil
}

// refuseField refuses a request for one field of its body.
func refuseField(field, message, remedy string) error {
	return unprocessable(&Fault{Location: "body." + field, Message: message, Remedy: remedy})
}

func (s *service) listTokens(ctx context.Context, in *struct {
	ReadOptions
	PageOptions
	Kind string `query:"kind" enum:"cluster,node,operator" doc:"Only tokens of this kind"`
}) (*struct{ Body List[model.Token] }, error) {
	if err := callerOf(ctx).May(access.Administer, nil); err != nil {
		return nil, huma.Error403Forbidden(err.Error())
	}
	items := keep(s.Consensus.View().TokenList(), func(t model.Token) bool { return in.Kind == "" || string(t.Kind) == in.Kind })
	out, err := page(byKey(items, tokenKey), tokenKey, in.PageOptions, tokensPath, in.Kind)
	return &struct{ Body List[model.Token] }{out}, err
}

// tokenKey sorts tokens by age.
func tokenKey(t model.Token) string {
	return joinKey(t.CreatedAt.UTC().Format("2006-01-02T15:04:05.000000000"), t.ID)
}

func (s *service) getToken(ctx context.Context, in *struct {
	TokenInPath
	ReadOptions
}) (*tagged[model.Token], error) {
	if err := callerOf(ctx).May(access.Administer, nil); err != nil {
		return nil, huma.Error403Forbidden(err.Error())
	}
	v := s.Consensus.View()
	t, ok := v.Tokens[in.ID]
	if !ok {
		return nil, missing("token", in.ID)
	}
	return &tagged[model.Token]{etag(v, model.Ref{Kind: model.KindToken, Name: in.ID}), t}, nil
}

func (s *service) revokeToken(ctx context.Context, in *struct {
	TokenInPath
	WriteOptions
}) (*writtenAnswer, error) {
	return s.write(ctx, write{
		command: state.RevokeToken{ID: in.ID}, verb: access.Administer, on: model.Ref{Kind: model.KindToken, Name: in.ID}, options: in.WriteOptions,
	})
}
