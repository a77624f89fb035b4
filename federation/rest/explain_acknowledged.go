package rest

import (
	"context"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
)

// Acknowledgement says how far the proxies of the federation follow a change.
type Acknowledgement struct {
	// Index is the change that was asked about.
	Index uint64 `json:"index"`
	// Acknowledged is true when every connected proxy of every cluster asked about follows.
	Acknowledged bool                     `json:"acknowledged"`
	Clusters     []ClusterAcknowledgement `json:"clusters"`
}

// ClusterAcknowledgement is one cluster's part.
type ClusterAcknowledgement struct {
	Cluster model.ClusterName `json:"cluster"`
	// Acknowledged is true when its agent has said that every connected proxy follows.
	Acknowledged bool `json:"acknowledged"`
	model.SiteAcknowledgement
	// Problem is why its agent cannot be asked; empty when it has answered.
	Problem string `json:"problem,omitempty"`
}

type acknowledgedInput struct {
	ReadOptions
	Index   uint64 `query:"index" doc:"Raft index of the change, as its write answered; 0 is the newest that the node knows (with consistent=true: that there is)"`
	Cluster string `query:"cluster" maxLength:"63" doc:"Ask one cluster only"`
}

func (s *service) registerAcknowledged(api huma.API) {
	op := described(operation("Agents", "get-acknowledged", http.MethodGet, "/v1/acknowledged", "Show which proxies follow a change"),
		"Asks the agents of all clusters. A change that changes nothing for a proxy counts as acknowledged once its agent has taken it in.")
	op.Errors = []int{http.StatusNotFound}
	huma.Register(api, op, func(ctx context.Context, in *acknowledgedInput) (*struct{ Body Acknowledgement }, error) {
		out, err := s.acknowledged(ctx, in)
		return &struct{ Body Acknowledgement }{out}, err
	})
}

// maxAsked bounds the agents that one request asks at a time.
const maxAsked = 16

func (s *service) acknowledged(ctx context.Context, in *acknowledgedInput) (Acknowledgement, error) {
	v := s.Consensus.View()
	out := Acknowledgement{Index: in.Index, Acknowledged: true, Clusters: []ClusterAcknowledgement{}}
	if out.Index == 0 {
		out.Index = v.Index
	}
	for _, c := range v.ClusterList() {
		if in.Cluster == "" || in.Cluster == string(c.Name) {
			out.Clusters = append(out.Clusters, ClusterAcknowledgement{Cluster: c.Name})
		}
	}
	if in.Cluster != "" && len(out.Clusters) == 0 {
		return out, huma.Error404NotFound("no cluster " + in.Cluster + ": see 'hanse cluster list'")
	}
	var asking sync.WaitGroup
	slots := make(chan struct{}, maxAsked)
	for i := range out.Clusters {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			s.askAcknowledged(ctx, out.Index, &out.Clusters[i])
		})
	}
	asking.Wait()
	for _, c := range out.Clusters {
		out.Acknowledged = out.Acknowledged && c.Acknowledged
	}
	return out, ctx.Err()
}

func (s *service) askAcknowledged(ctx context.Context, index uint64, c *ClusterAcknowledgement) {
	var site model.SiteAcknowledgement
	if err := s.question(ctx, c.Cluster, model.QueryAcknowledged, model.AcknowledgedRequest{Index: index}, &site); err != nil {
		c.Problem, c.Waiting = err.Error(), []model.ProxyAcknowledgement{}
		return
	}
	site.Waiting = orEmpty(site.Waiting)
	c.SiteAcknowledgement = site
	// A site without any connected proxy has nobody to wait for but its agent.
	c.Acknowledged = site.Derived >= index && len(site.Waiting) == 0 && site.More == 0
}
