package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
)

// ClusterView is a member with what its feed says.
type ClusterView struct {
	model.Cluster
	// Connected is whether its agent has a session at the node that answers.
	Connected bool `json:"connected"`
	// Feed is nil until the cluster has published.
	Feed     *Feed             `json:"feed,omitempty"`
	Gateways []model.Gateway   `json:"gateways,omitempty"`
	Status   *model.SiteStatus `json:"status,omitempty"`
	// Refused says which of its records do not count, and why.
	Refused []string `json:"refused,omitempty"`
}

// Feed is what the node that answers holds of a cluster's records. What is held is always whole.
type Feed struct {
	Epoch      uint64    `json:"epoch"`
	Seq        uint64    `json:"seq"`
	ProducedAt time.Time `json:"producedAt"`
	// AgeSeconds is the time since its agent last confirmed them, by the node's own clock.
	AgeSeconds float64 `json:"ageSeconds"`
	// Complete is true: before the first full state there is no feed.
	Complete bool `json:"complete"`
	Records  int  `json:"records"`
	Bytes    int  `json:"bytes"`
	// Instance is the agent's process that published them.
	Instance string `json:"instance"`
	// Rivals are other processes, connected to this node, that would publish as the cluster: copies of one agent.
	Rivals []string `json:"rivals,omitempty"`
	// SlowedDown is true when the cluster lately sent more than a node takes.
	SlowedDown bool `json:"slowedDown,omitempty"`
	// Stale is true when the agent has been silent for longer than staleAfter: importers prefer others.
	Stale bool `json:"stale"`
}

const (
	// silentAfter is the silence after which a feed is a problem to look at: several missed heartbeats.
	silentAfter = 10 * time.Second
	// staleAfter is the silence after which importers let what is fresh go before it.
	staleAfter = 5 * time.Minute
)

// NodeView is a federation node as the answering node sees it.
type NodeView struct {
	model.Node
	Alive  bool `json:"alive"`
	Leader bool `json:"leader"`
}

const clustersPath, nodesPath = "/v1/clusters", "/v1/nodes"

func (s *service) registerMembers(api huma.API) {
	const tag = "Members"
	huma.Register(api, operation(tag, "list-clusters", http.MethodGet, clustersPath, "List the member clusters by name"), s.listClusters)
	huma.Register(api, operation(tag, "get-cluster", http.MethodGet, clustersPath+"/{name}", "Get a member cluster"), s.getCluster)
	remove := operation(tag, "remove-cluster", http.MethodDelete, clustersPath+"/{name}", "End a cluster's membership")
	huma.Register(api, described(remove, "Its services, bundle and agent stop counting at once. The tokens by which it came are revoked."), s.removeCluster)
	huma.Register(api, operation(tag, "list-nodes", http.MethodGet, nodesPath, "List the federation nodes by name"), s.listNodes)
	huma.Register(api, operation(tag, "get-node", http.MethodGet, nodesPath+"/{name}", "Get a federation node"), s.getNode)
	forget := operation(tag, "remove-node", http.MethodDelete, nodesPath+"/{name}", "Forget a federation node that has stopped")
	huma.Register(api, described(forget, "It leaves the Raft group, and counts for no majority any more. A node that still answers must be stopped first. "+
		"A node of the same name joins again with a new token and an empty data folder."), s.removeNode)
}

// RegionOption limits a list to one region.
type RegionOption struct {
	Region string `query:"region" maxLength:"63" doc:"Only those of this region" example:"eu"`
}

func (s *service) listClusters(_ context.Context, in *struct {
	ReadOptions
	PageOptions
	RegionOption
}) (*struct{ Body List[ClusterView] }, error) {
	items := keep(s.clusters(), func(c ClusterView) bool { return in.Region == "" || c.Region == in.Region })
	out, err := page(items, func(c ClusterView) string { return string(c.Name) }, in.PageOptions, clustersPath, in.Region)
	return &struct{ Body List[ClusterView] }{out}, err
}

func (s *service) getCluster(_ context.Context, in *struct {
	NameInPath
	ReadOptions
}) (*tagged[ClusterView], error) {
	for _, c := range s.clusters() {
		if string(c.Name) == in.Name {
			return &tagged[ClusterView]{etag(s.Consensus.View(), model.Ref{Kind: model.KindCluster, Name: in.Name}), c}, nil
		}
	}
	return nil, missing("cluster", in.Name)
}

func (s *service) removeCluster(ctx context.Context, in *struct {
	NameInPath
	WriteOptions
}) (*writtenAnswer, error) {
	return s.write(ctx, write{
		command: state.RemoveCluster{Name: model.ClusterName(in.Name)}, verb: access.Administer,
		on: model.Ref{Kind: model.KindCluster, Name: in.Name}, options: in.WriteOptions,
	})
}

func (s *service) listNodes(_ context.Context, in *struct {
	ReadOptions
	PageOptions
	RegionOption
}) (*struct{ Body List[NodeView] }, error) {
	items := keep(s.nodes(), func(n NodeView) bool { return in.Region == "" || n.Region == in.Region })
	out, err := page(items, func(n NodeView) string { return n.Name }, in.PageOptions, nodesPath, in.Region)
	return &struct{ Body List[NodeView] }{out}, err
}

func (s *service) getNode(_ context.Context, in *struct {
	NameInPath
	ReadOptions
}) (*tagged[NodeView], error) {
	for _, n := range s.nodes() {
		if n.Name == in.Name {
			return &tagged[NodeView]{etag(s.Consensus.View(), model.Ref{Kind: model.KindNode, Name: in.Name}), n}, nil
		}
	}
	return nil, missing("node", in.Name)
}

func (s *service) removeNode(ctx context.Context, in *struct {
	NameInPath
	WriteOptions
}) (*writtenAnswer, error) {
	if err := callerOf(ctx).May(access.Administer, nil); err != nil {
		return nil, huma.Error403Forbidden(err.Error())
	}
	if in.Name == s.Node || s.Live.Alive()[in.Name] {
		return nil, huma.Error409Conflict("node " + in.Name + " still answers: stop its process first, then remove it")
	}
	return s.write(ctx, write{
		command: state.RemoveNode{Name: in.Name}, verb: access.Administer, on: model.Ref{Kind: model.KindNode, Name: in.Name}, options: in.WriteOptions,
	})
}

func (s *service) clusters() []ClusterView {
	v, connected := s.Consensus.View(), s.Live.Connected()
	published := s.published(v)
	out := []ClusterView{}
	for _, c := range v.ClusterList() {
		c.ExportNamespaces = orEmpty(c.ExportNamespaces)
		view := ClusterView{Cluster: c, Connected: connected[c.Name], Refused: s.Live.Refused(c.Name)}
		if origin, ok := published[c.Name]; ok {
			view.Feed = s.feed(origin)
			view.Gateways, view.Status = s.siteRecords(c.Name)
		}
		out = append(out, view)
	}
	return out
}

// published are the origins that count: what the members of now have published under their present memberships.
func (s *service) published(v *state.View) map[model.ClusterName]catalog.Origin {
	out := map[model.ClusterName]catalog.Origin{}
	for _, o := range s.Catalog.Origins() {
		if member, ok := v.Clusters[o.Name]; ok && o.Version.Incarnation == member.Incarnation {
			out[o.Name] = o
		}
	}
	return out
}

func (s *service) feed(o catalog.Origin) *Feed {
	live := s.Live.Feed(o)
	return &Feed{
		Epoch: o.Version.Epoch, Seq: o.Version.Seq, ProducedAt: o.ProducedAt, AgeSeconds: live.Age.Seconds(), Complete: true,
		Records: o.Records, Bytes: o.Bytes, Instance: o.Instance, Rivals: live.Rivals, SlowedDown: live.SlowedDown, Stale: live.Age > staleAfter,
	}
}

// siteRecords reads the records that exist once per cluster.
func (s *service) siteRecords(name model.ClusterName) ([]model.Gateway, *model.SiteStatus) {
	records, _ := s.Catalog.Records(name)
	var gateways []model.Gateway
	var status *model.SiteStatus
	if r, ok := records[model.GatewaysKey]; ok {
		if rec, err := codec.UnmarshalRecord(r.Record); err == nil {
			gateways = rec.Gateways
		}
	}
	if r, ok := records[model.StatusKey]; ok {
		if rec, err := codec.UnmarshalRecord(r.Record); err == nil && rec.Status != nil {
			status = rec.Status
			status.Proxies = orEmpty(status.Proxies)
		}
	}
	return gateways, status
}

func (s *service) nodes() []NodeView {
	leader, _, _ := s.Consensus.Leader()
	alive := s.Live.Alive()
	out := []NodeView{}
	for _, n := range s.Consensus.View().NodeList() {
		out = append(out, NodeView{Node: n, Alive: alive[n.Name] || n.Name == s.Node, Leader: n.Name == leader})
	}
	return out
}
