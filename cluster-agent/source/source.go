// Package source owns the contract between whatever knows a cluster's workloads and the agent that publishes them.
package source

import (
	"context"

	"github.com/hanse-mesh/hanse/api/model"
)

// Update is a change of a cluster's workloads, or all of them.
type Update struct {
	// Full says that Upserts is everything: workloads that it does not name are gone.
	Full bool
	// Upserts are new or changed workloads; each ID stands once.
	Upserts []model.Workload
	// Removals are IDs of workloads that are gone; none of them is among Upserts.
	Removals []string
	// Exports are new or changed exports of a Kubernetes cluster, each once; Unexported are those that are gone. When Full, Exports are all.
	Exports    []model.ServiceExport
	Unexported []model.ServiceKey
	// Gateways, when not nil, are the addresses at which other clusters reach this cluster's gateways, in place of those that the gateways
	// advertise themselves.
	Gateways []model.Gateway
}

// Source tells of a cluster's workloads.
type Source interface {
	// Run sends one full update and then every change at once, until ctx ends, which is no error. A source that cannot see its
	// workloads sends nothing: a stale view is better than a partial one. Run is called by one goroutine at a time; it may be
	// called again after it returned.
	Run(ctx context.Context, out chan<- Update) error
}
