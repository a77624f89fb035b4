// Package rest owns the HTTP API of a federation node under /v1/.
//
// Any node answers every request: reads come from its own replica (?consistent=true asks the leader after a barrier), writes that reach a
// follower are forwarded to the leader with the caller's own credential, never with the node's. The header Hanse-Index of an answer is a
// Raft index that the answer is not older than; a write's own index is never above it. Errors are RFC 9457 problems. The OpenAPI 3.1
// document is at /openapi.json.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// Consensus is the replicated state as this API needs it.
type Consensus interface {
	// Write proposes an entry, whose version and time it sets.
	Write(ctx context.Context, e state.Entry) (state.Result, error)
	View() *state.View
	// Watch returns the view and a channel that is closed when there is a newer one.
	Watch() (*state.View, <-chan struct{})
	// Barrier returns when this node, as leader, has applied everything committed before the call.
	Barrier(ctx context.Context) error
	// Leader names the leader as far as this node knows.
	Leader() (name, raftAddress string, ok bool)
}

// Catalog is the service catalog as this API needs it.
type Catalog interface {
	Origins() []catalog.Origin
	Records(origin model.ClusterName) (map[string]model.SignedRecord, bool)
}

// Live is what this node sees of others at this moment.
type Live interface {
	// Connected lists the agents with a session at this node.
	Connected() map[model.ClusterName]bool
	// Alive lists the federation nodes that answer, by name.
	Alive() map[string]bool
	// Refused says which records of a cluster do not count, and why.
	Refused(model.ClusterName) []string
	// Feed says how what is held of a cluster comes to this node.
	Feed(o catalog.Origin) LiveFeed
	// Age is the time since this node last heard from its leader, 0 on the leader itself; false when it has not yet.
	Age() (age time.Duration, known bool)
}

// LiveFeed is how what a cluster publishes comes to the node that answers.
type LiveFeed struct {
	// Age is the time since the cluster's agent last confirmed what is held.
	Age time.Duration
	// Rivals are the processes that would publish as the cluster, but for the one that does.
	Rivals []string
	// SlowedDown says that the cluster had to wait lately because it sent more than its share.
	SlowedDown bool
}

// Forward sends a request on to the named node and copies its answer.
type Forward func(w http.ResponseWriter, r *http.Request, to model.Node)

// Clock tells the time and makes timers.
type Clock interface {
	Now() time.Time
	NewTimer(d time.Duration) clock.Timer
}

// Config is what the API stands on.
type Config struct {
	// Node is this node's name.
	Node      string
	Version   string
	Consensus Consensus
	Catalog   Catalog
	Live      Live
	Agents    Agents
	Forward   Forward
	// Mint makes a token's secret and its text for operators.
	Mint Mint
	// Certificates and Providers judge what the state cannot judge alone; without one, its kind of credential is not taken.
	Certificates Certificates
	Providers    Providers
	// BundleRule is the state's own, for what is only tried.
	BundleRule state.BundleRule
	Limits     Limits
	Clock      Clock
	Logger     *slog.Logger
}

// Mint makes a new token of a kind: what is kept of it, and the text that is shown once.
type Mint func(kind model.TokenKind, v *state.View) (kept model.Token, text string, err error)

type service struct {
	Config
	// schemas are those of the description.
	schemas huma.Registry
	changes changeLog
	seats   seats
	journal *journal
	// stopping is closed when the node begins to stop: watches end then, so that nobody waits for them.
	stopping chan struct{}
	attempts attempts
	homes    homes
}

const schemaPrefix = "#/components/schemas/"

// API is the API's handler. It is safe for concurrent use.
type API struct {
	http.Handler
	service *service
}

// New returns the API. Its Run must be called once, for /v1/events to have any and for watches to end with the node.
func New(cfg Config) *API {
	s, mux, api := assemble(cfg)
	serveDescription(mux, api.OpenAPI())
	routes := problems(mux)
	return &API{Handler: identify(s.hurry(s.authenticate(routes, s.account(s.limit(s.admit(s.takeBody(s.bound(s.route(revalidate(routes)))))))))), service: s}
}

// Run notes what this node sees happen until ctx ends. Then watches end, too.
func (a *API) Run(ctx context.Context) error {
	defer close(a.service.stopping)
	return a.service.observe(ctx)
}

// assemble registers all operations.
func assemble(cfg Config) (*service, *http.ServeMux, huma.API) {
	cfg.Limits = cfg.Limits.filled()
	mux := http.NewServeMux()
	api := humago.New(mux, description(cfg.Version))
	s := &service{
		Config: cfg, schemas: api.OpenAPI().Components.Schemas, attempts: attempts{held: access.NewAttempts()},
		seats:   seats{most: cfg.Limits.Watches, perCaller: cfg.Limits.WatchesPerCaller},
		journal: startJournal(cfg.Clock.Now()), stopping: make(chan struct{}),
	}
	api.UseMiddleware(strictQuery(api), strictBody(api))
	for _, register := range []func(huma.API){
		s.registerStatus, s.registerMembers, s.registerTokens, s.registerServices, s.registerSites, s.registerWorkloads, s.registerTrust, s.registerPolicies,
		s.registerApply, s.registerAudit, s.registerWatch, s.registerEvents, s.registerWhoami, s.registerCertificates,
		s.registerAgents, s.registerExplain, s.registerAcknowledged,
	} {
		register(api)
	}
	return s, mux, api
}

// description begins the description of the API.
func description(version string) huma.Config {
	config := huma.DefaultConfig("Hanse federation API", version)
	config.Info.Description = "Members, tokens, trust, policy and services of a Hanse federation. Every node answers every request: reads come from the node " +
		"that is asked, with the Raft index that they are not older than in the header Hanse-Index; with ?consistent=true they come from the leader. " +
		"Writes go to the leader, may be conditional (If-Match, If-None-Match) and may be tried with ?dryRun=true."
	config.Components.Schemas = huma.NewMapRegistry(schemaPrefix, func(t reflect.Type, hint string) string {
		return nameSchemas(huma.DefaultSchemaNamer(t, hint))
	})
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"operator":    {Type: "http", Scheme: "bearer", Description: "An operator token, or the JWT of an identity provider"},
		"certificate": {Type: "mutualTLS", Description: "An operator's certificate; what needs the leader is redirected there"},
	}
	config.Security = []map[string][]string{{"operator": {}}, {"certificate": {}}}
	config.OnAddOperation = append(config.OnAddOperation, describeOperation)
	// The default hook would put a "$schema" into every document: one could not be written back as it was read. The description is served
	// by serveDescription.
	config.CreateHooks, config.OpenAPIPath, config.DocsPath = nil, "", ""
	return config
}
