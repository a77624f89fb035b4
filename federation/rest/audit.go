package rest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
)

// AuditFilter chooses entries of the audit log.
type AuditFilter struct {
	Actor  string    `query:"actor" maxLength:"256" doc:"Only what this actor did"`
	Kind   string    `query:"kind" maxLength:"63" doc:"Only what was done to objects of this kind" example:"ExportRule"`
	Name   string    `query:"name" maxLength:"256" doc:"Only what was done to objects of this name"`
	After  time.Time `query:"after" doc:"Only what was done after this time"`
	Before time.Time `query:"before" doc:"Only what was done before this time"`
}

func (f AuditFilter) matches(e model.AuditEntry) bool {
	return (f.Actor == "" || e.Actor.Name == f.Actor) && (f.Kind == "" || e.Kind == f.Kind) && (f.Name == "" || e.Name == f.Name) &&
		(f.After.IsZero() || e.At.After(f.After)) && (f.Before.IsZero() || e.At.Before(f.Before))
}

func (f AuditFilter) texts() []string {
	return []string{f.Actor, f.Kind, f.Name, f.After.String(), f.Before.String()}
}

func (s *service) registerAudit(api huma.API) {
	const path = "/v1/audit"
	op := described(operation("Access", "list-audit", http.MethodGet, path, "List who changed what, newest first"),
		"It takes the role admin. The log keeps the newest 10,000 changes; objects stand in it without secrets.")
	huma.Register(api, op, func(ctx context.Context, in *struct {
		ReadOptions
		PageOptions
		AuditFilter
	}) (*struct{ Body List[model.AuditEntry] }, error) {
		if err := callerOf(ctx).May(access.Administer, nil); err != nil {
			return nil, huma.Error403Forbidden(err.Error())
		}
		items := keep(s.Consensus.View().Audit(), in.matches)
		slices.SortFunc(items, func(a, b model.AuditEntry) int {
			return cmp.Or(cmp.Compare(b.Index, a.Index), strings.Compare(a.Ref.String(), b.Ref.String()))
		})
		found, err := page(items, auditKey, in.PageOptions, path, in.texts()...)
		return &struct{ Body List[model.AuditEntry] }{found}, err
	})
}

// auditKey sorts as the list does: newest first.
func auditKey(e model.AuditEntry) string {
	return fmt.Sprintf("%020d %s", math.MaxUint64-e.Index, e.Ref)
}
