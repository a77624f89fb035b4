package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/federation/access"
)

// Whoami is who the caller is to the federation.
type Whoami struct {
	Name       string         `json:"name" doc:"The name under which writes stand in the audit log"`
	Credential string         `json:"credential" doc:"What was shown: 'token ID', 'certificate', 'oidc ISSUER' or 'socket NODE'"`
	Grants     []access.Grant `json:"grants" doc:"Roles, and the namespaces that they are limited to"`
}

const whoamiPath = "/v1/whoami"

func (s *service) registerWhoami(api huma.API) {
	op := operation("Access", "whoami", http.MethodGet, whoamiPath, "Say who the caller is and what the caller may do")
	huma.Register(api, op, func(ctx context.Context, _ *struct{}) (*struct{ Body Whoami }, error) {
		c := callerOf(ctx)
		return &struct{ Body Whoami }{Whoami{Name: c.Actor.Name, Credential: c.Actor.Credential, Grants: orEmpty(c.Grants)}}, nil
	})
}
