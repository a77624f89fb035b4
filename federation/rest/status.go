package rest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
)

// Status is the federation at a glance, as the answering node sees it.
type Status struct {
	Federation string        `json:"federation"`
	Node       string        `json:"node"`
	Version    string        `json:"version"`
	Leader     string        `json:"leader,omitempty"`
	Index      uint64        `json:"index"`
	Nodes      []NodeView    `json:"nodes"`
	Clusters   []ClusterView `json:"clusters"`
	Services   int           `json:"services"`
	// Now is the clock of the node that answers.
	Now time.Time `json:"now"`
	// OutageBudgetSeconds is how long the data plane would go on if every node and agent were lost now: the time until the first
	// certificate runs out. It is absent until a cluster has reported.
	OutageBudgetSeconds *float64 `json:"outageBudgetSeconds,omitempty"`
	// Problems are what needs an operator's eye, worst first.
	Problems []string `json:"problems"`
}

func (s *service) registerStatus(api huma.API) {
	op := operation("Status", "get-status", http.MethodGet, "/v1/status", "Get the federation at a glance")
	huma.Register(api, op, func(context.Context, *struct{ ReadOptions }) (*struct{ Body Status }, error) {
		return &struct{ Body Status }{s.status()}, nil
	})
}

func (s *service) status() Status {
	v := s.Consensus.View()
	leader, _, _ := s.Consensus.Leader()
	services := s.services(nil)
	st := Status{
		Federation: v.Federation, Node: s.Node, Version: s.Version, Leader: leader, Index: v.Index,
		Nodes: s.nodes(), Clusters: s.clusters(), Services: len(services), Now: s.Clock.Now().UTC(), Problems: []string{},
	}
	if leader == "" {
		st.Problems = append(st.Problems, "no leader: policy and membership cannot change until a majority of the nodes is up")
	}
	for _, n := range st.Nodes {
		if !n.Alive {
			st.Problems = append(st.Problems, fmt.Sprintf("node %s does not answer", n.Name))
		}
	}
	offering := offeredToOthers(services)
	for _, c := range st.Clusters {
		if n := offering[c.Name]; n > 0 && len(c.Gateways) == 0 {
			st.Problems = append(st.Problems, fmt.Sprintf("cluster %s offers services to other clusters (%d), but has no gateway: "+
				"none of their calls gets there; start one with 'hanse proxy --gateway'", c.Name, n))
		}
		st.Problems = append(st.Problems, c.problems()...)
	}
	st.OutageBudgetSeconds = outageBudget(st.Clusters, s.Clock.Now())
	return st
}

// offeredToOthers counts each cluster's services that other clusters may call.
func offeredToOthers(services []ServiceView) map[model.ClusterName]int {
	count := map[model.ClusterName]int{}
	for _, s := range services {
		for _, o := range s.Offers {
			if len(o.ImportedBy) > 0 {
				count[o.Cluster]++
			}
		}
	}
	return count
}

func (c ClusterView) problems() []string {
	var out []string
	if c.Feed == nil {
		return []string{fmt.Sprintf("cluster %s has not published anything yet", c.Name)}
	}
	if len(c.Feed.Rivals) > 0 {
		out = append(out, fmt.Sprintf("two agents publish as cluster %s: instances %s and %s; they run on copies of one data folder: "+
			"stop one ('hanse agent status' tells which instance a machine runs)",
			c.Name, c.Feed.Instance, strings.Join(c.Feed.Rivals, ", ")))
	}
	if c.Feed.AgeSeconds > silentAfter.Seconds() {
		out = append(out, c.Feed.silence(c.Name))
	}
	if c.Feed.SlowedDown {
		out = append(out, fmt.Sprintf("cluster %s sends more than a node takes: it is slowed down", c.Name))
	}
	for _, r := range c.Refused {
		out = append(out, fmt.Sprintf("cluster %s: %s", c.Name, r))
	}
	if c.Status == nil {
		return out
	}
	for _, h := range c.Status.Held {
		out = append(out, fmt.Sprintf("cluster %s: %s", c.Name, h))
	}
	for _, d := range c.Status.Dropped {
		out = append(out, fmt.Sprintf("cluster %s: %s", c.Name, d))
	}
	for _, p := range c.Status.Proxies {
		for _, n := range p.Nacks {
			out = append(out, fmt.Sprintf("cluster %s, proxy %s: its Envoy refused a configuration: %s", c.Name, p.Workload, n.Reason))
		}
	}
	return out
}

func (f *Feed) silence(name model.ClusterName) string {
	text := fmt.Sprintf("cluster %s is silent for %.0f s: its last known state stays in force", name, f.AgeSeconds)
	if f.Stale {
		text += ", behind what is fresh"
	}
	return text
}

func outageBudget(clusters []ClusterView, now time.Time) *float64 {
	var first time.Time
	for _, c := range clusters {
		if c.Status == nil || c.Status.EarliestExpiry.IsZero() {
			continue
		}
		if first.IsZero() || c.Status.EarliestExpiry.Before(first) {
			first = c.Status.EarliestExpiry
		}
	}
	if first.IsZero() {
		return nil
	}
	left := max(0, first.Sub(now).Seconds())
	return &left
}
