package rest

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/bundle"
)

// TrustDomain is a member's trust domain with the bundle that the federation holds of it.
type TrustDomain struct {
	Name    string            `json:"name" doc:"The trust domain, as in spiffe://NAME/..."`
	Cluster model.ClusterName `json:"cluster"`
	// Bundle is nil until the cluster has announced one.
	Bundle *TrustBundle `json:"bundle,omitempty" doc:"Absent until the cluster's agent has announced one"`
}

// TrustBundle is what a trust domain's certificates are checked against.
type TrustBundle struct {
	Sequence uint64      `json:"sequence" doc:"Grows with every bundle"`
	Roots    []TrustRoot `json:"roots"`
}

// TrustRoot is one CA certificate of a bundle.
type TrustRoot struct {
	Subject  string    `json:"subject"`
	NotAfter time.Time `json:"notAfter"`
	SHA256   string    `json:"sha256" doc:"Of the certificate (DER), in hexadecimal digits"`
}

const trustPath = "/v1/trust-domains"

func (s *service) registerTrust(api huma.API) {
	const tag = "Trust"
	huma.Register(api, operation(tag, "list-trust-domains", http.MethodGet, trustPath, "List the members' trust domains by name"),
		func(_ context.Context, in *struct {
			ReadOptions
			PageOptions
		}) (*struct{ Body List[TrustDomain] }, error) {
			v := s.Consensus.View()
			members := v.ClusterList()
			slices.SortFunc(members, func(a, b model.Cluster) int { return strings.Compare(a.TrustDomain, b.TrustDomain) })
			items := mapped(members, func(c model.Cluster) TrustDomain { return trustDomain(v, c) })
			found, err := page(items, func(d TrustDomain) string { return d.Name }, in.PageOptions, trustPath)
			return &struct{ Body List[TrustDomain] }{found}, err
		})
	huma.Register(api, operation(tag, "get-trust-domain", http.MethodGet, trustPath+"/{domain}", "Get a trust domain with its bundle"),
		func(_ context.Context, in *struct {
			Domain string `path:"domain" minLength:"1" maxLength:"255" pattern:"^[-a-z0-9_.]+$" example:"eu.example.org"`
			ReadOptions
		}) (*tagged[TrustDomain], error) {
			v := s.Consensus.View()
			c, ok := v.ClusterByTrustDomain(in.Domain)
			if !ok {
				return nil, missing("trust domain", in.Domain)
			}
			out := &tagged[TrustDomain]{Body: trustDomain(v, c)}
			if out.Body.Bundle != nil {
				out.ETag = etag(v, model.Ref{Kind: model.KindTrustDomain, Name: in.Domain})
			}
			return out, nil
		})
}

func trustDomain(v *state.View, c model.Cluster) TrustDomain {
	out := TrustDomain{Name: c.TrustDomain, Cluster: c.Name}
	signed, ok := v.Bundles[c.TrustDomain]
	if !ok {
		return out
	}
	// What the state has taken can be read; a bundle of a newer form shows no roots.
	content, err := bundle.Parse(signed)
	if err != nil {
		return out
	}
	out.Bundle = &TrustBundle{Sequence: content.Sequence, Roots: []TrustRoot{}}
	for _, der := range content.Roots {
		sum := sha256.Sum256(der)
		root := TrustRoot{SHA256: hex.EncodeToString(sum[:])}
		if cert, err := x509.ParseCertificate(der); err == nil {
			root.Subject, root.NotAfter = cert.Subject.String(), cert.NotAfter
		}
		out.Bundle.Roots = append(out.Bundle.Roots, root)
	}
	return out
}
