package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/explain"
)

// answer answers the federation nodes' questions: what this machine's operator may ask by the admin socket, a node may ask too.
func (a *agentParts) answer(_ context.Context, kind model.QueryKind, request []byte) ([]byte, error) {
	switch kind {
	case model.QueryExplain:
		var q explain.Question
		if err := readQuestion(request, &q); err != nil {
			return nil, err
		}
		e, err := a.explain(q)
		if err != nil {
			return nil, err
		}
		return json.Marshal(e)
	case model.QueryAcknowledged:
		var q model.AcknowledgedRequest
		if err := readQuestion(request, &q); err != nil {
			return nil, err
		}
		return json.Marshal(a.acknowledged(q.Index))
	case model.QueryGateways:
		return json.Marshal(a.core.gateways())
	case model.QueryClock:
		return json.Marshal(a.agentClock())
	case model.QueryWorkload:
		var q model.WorkloadRequest
		if err := readQuestion(request, &q); err != nil {
			return nil, err
		}
		return answered(a.site.Workload(q.Workload))
	case model.QueryRegister:
		var q model.WorkloadWrite
		if err := readQuestion(request, &q); err != nil {
			return nil, err
		}
		return answered(a.site.Declare(q))
	default:
		return nil, &model.QueryError{Code: model.QueryUnknownKind, Message: "this agent (version " + version + ") does not know the question " + string(kind) + ": upgrade it"}
	}
}

// answered encodes an answer, unless there is none.
func answered[T any](answer T, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return json.Marshal(answer)
}

// readQuestion decodes a request; what a newer node says beyond it is left aside.
func readQuestion(request []byte, into any) error {
	if err := json.Unmarshal(request, into); err != nil {
		return &model.QueryError{Code: model.QueryInvalid, Message: "the question cannot be read: " + err.Error()}
	}
	return nil
}

// maxExpiries bounds the certificates that are told of; those that end first come first.
const maxExpiries = 1000

// agentClock says what time it is here, and how long the site's certificates last.
func (a *agentParts) agentClock() model.AgentClock {
	out := model.AgentClock{
		Now: a.clock.Now().UTC(), Version: version, Instance: a.instance, Index: a.core.stateIndex(),
		Certificates: []model.CertificateExpiry{
			{Of: "agent", ExpiresAt: a.identity.Expiry().UTC()}, {Of: "site", ExpiresAt: a.siteIdentity.Expiry().UTC()},
		},
	}
	if root, err := x509.ParseCertificate(a.authority.Root()); err == nil {
		out.Certificates = append(out.Certificates, model.CertificateExpiry{Of: "ca", ExpiresAt: root.NotAfter.UTC()})
	}
	for _, r := range a.site.Reports() {
		if !r.CertificateExpiry.IsZero() {
			out.Certificates = append(out.Certificates, model.CertificateExpiry{Of: "proxy " + r.Workload, ExpiresAt: r.CertificateExpiry.UTC()})
		}
	}
	slices.SortFunc(out.Certificates, func(x, y model.CertificateExpiry) int {
		return cmp.Or(x.ExpiresAt.Compare(y.ExpiresAt), strings.Compare(x.Of, y.Of))
	})
	out.Certificates = out.Certificates[:min(len(out.Certificates), maxExpiries)]
	return out
}
