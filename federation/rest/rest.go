// Package rest owns the HTTP API of a federation node under /v1/.
//
// Any node answers every request: reads come from its own replica (?consistent=true asks the leader after a barrier), writes that reach a follower are forwarded to the leader with the caller's own credential, never with
// the node's. The header Hanse-Index of an answer is a Raft index that the answer is not older than; a write's own index is never
// above it. Errors are RFC 9457 problems. The OpenAPI 3.1 document is at /openapi.json.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
)

// maxBody bounds a request's body in bytes.
const maxBody = 1 << 20

// Consensus is the replicated state as this API needs it.
type Consensus interface {
	// Write proposes an entry, whose version and time it sets.
	Write(ctx context.Context, e state.Entry) (state.Result, error)
	View() *state.View
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

// Clock tells the time.
type Clock interface{ Now() time.Time }

// Config is what the API stands on.
type Config struct {
	// Node is this node's name.
	Node      string
	Version   string
	Consensus Consensus
	Catalog   Catalog
	Live      Live
	Forward   Forward
	// Mint makes a token's secret and its text for operators.
	Mint Mint
	// BundleRule is the state's own, for what is only tried.
	BundleRule state.BundleRule
	Clock      Clock
	Logger     *slog.Logger
}

// Mint makes a new token of a kind: what is kept of it, and the text that is shown once.
type Mint func(kind model.TokenKind, v *state.View) (kept model.Token, text string, err error)

type service struct{ Config }

// New returns the API's handler. It is safe for concurrent use.
func New(cfg Config) http.Handler {
	s := &service{cfg}
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Hanse federation API", cfg.Version)
	config.Info.Description = "Members, tokens, policy and services of a Hanse federation. Reads come from the node that is asked, with the " +
		"Raft index that they are not older than in the header Hanse-Index; with ?consistent=true they come from the leader."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"operator": {Type: "http", Scheme: "bearer"}}
	config.Security = []map[string][]string{{"operator": {}}}
	// The default hook would put a "$schema" into every document: one could not be written back as it was read.
	config.CreateHooks = nil
	api := humago.New(mux, config)
	s.registerStatus(api)
	s.registerMembers(api)
	s.registerTokens(api)
	s.registerServices(api)
	s.registerPolicies(api)
	return s.authenticate(mux, s.route(problems(mux)))
}
