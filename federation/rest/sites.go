package rest

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

// GatewayView is a gateway with how fresh the knowledge of it is.
type GatewayView struct {
	Cluster model.ClusterName `json:"cluster"`
	model.Gateway
	// BadTo are the clusters whose probes find that it does not answer.
	BadTo      []model.ClusterName `json:"badTo" doc:"The clusters whose probes find that it does not answer"`
	AgeSeconds float64             `json:"ageSeconds" doc:"Seconds since the cluster's agent last confirmed it"`
	Stale      bool                `json:"stale" doc:"Whether its cluster has been silent for so long that others are preferred"`
}

// VerdictView is what one cluster's probes find of one gateway address of another.
type VerdictView struct {
	Prober  model.ClusterName `json:"prober" doc:"The cluster that probed"`
	Cluster model.ClusterName `json:"cluster" doc:"The cluster whose gateway it is"`
	Gateway string            `json:"gateway"`
	Address string            `json:"address"`
	Port    uint16            `json:"port"`
	Bad     bool              `json:"bad"`
	Since   time.Time         `json:"since" doc:"By the prober's clock"`
	// AgeSeconds is the time since the prober last confirmed its verdicts: what is old counts for nothing.
	AgeSeconds float64 `json:"ageSeconds" doc:"Seconds since the prober last confirmed it; what is old counts for nothing"`
}

// WorkloadView is a workload as its site's agent reports it.
type WorkloadView struct {
	Cluster model.ClusterName `json:"cluster"`
	model.ProxyStatus
	AgeSeconds float64 `json:"ageSeconds" doc:"Seconds since the cluster's agent last confirmed it"`
}

// ClusterOption limits a list to one cluster.
type ClusterOption struct {
	Cluster string `query:"cluster" maxLength:"63" doc:"Only those of this cluster" example:"eu"`
}

// site is what one member publishes of itself besides services.
type site struct {
	member   model.Cluster
	feed     *Feed
	gateways []model.Gateway
	status   *model.SiteStatus
	verdicts []model.VerdictSet
}

// sites reads the records of every member that has published, by name.
func (s *service) sites() []site {
	v := s.Consensus.View()
	published := s.published(v)
	var out []site
	for _, member := range v.ClusterList() {
		origin, ok := published[member.Name]
		if !ok {
			continue
		}
		one := site{member: member, feed: s.feed(origin)}
		records, _ := s.Catalog.Records(member.Name)
		for key, signed := range records {
			rec, err := codec.UnmarshalRecord(signed.Record)
			if err != nil || rec.Service != nil || rec.Key() != key {
				continue
			}
			switch {
			case rec.Status != nil:
				one.status = rec.Status
			case rec.Verdicts != nil:
				one.verdicts = append(one.verdicts, *rec.Verdicts)
			default:
				one.gateways = rec.Gateways
			}
		}
		out = append(out, one)
	}
	return out
}

func (s *service) registerSites(api huma.API) {
	const gatewaysPath, verdictsPath, tag = "/v1/gateways", "/v1/verdicts", "Sites"
	type options struct {
		ReadOptions
		PageOptions
		ClusterOption
	}
	huma.Register(api, operation(tag, "list-gateways", http.MethodGet, gatewaysPath, "List all gateways by cluster and name"),
		func(_ context.Context, in *options) (*struct{ Body List[GatewayView] }, error) {
			items := keep(gatewayViews(s.sites()), func(g GatewayView) bool { return in.Cluster == "" || string(g.Cluster) == in.Cluster })
			out, err := page(byKey(items, GatewayView.key), GatewayView.key, in.PageOptions, gatewaysPath, in.Cluster)
			return &struct{ Body List[GatewayView] }{out}, err
		})
	huma.Register(api, operation(tag, "list-verdicts", http.MethodGet, verdictsPath, "List what probes find of gateways, by prober"),
		func(_ context.Context, in *struct {
			ReadOptions
			PageOptions
			ClusterOption
			Prober string `query:"prober" maxLength:"63" doc:"Only what this cluster finds" example:"us"`
		}) (*struct{ Body List[VerdictView] }, error) {
			items := keep(verdictViews(s.sites()), func(v VerdictView) bool {
				return (in.Cluster == "" || string(v.Cluster) == in.Cluster) && (in.Prober == "" || string(v.Prober) == in.Prober)
			})
			out, err := page(byKey(items, VerdictView.key), VerdictView.key, in.PageOptions, verdictsPath, in.Cluster, in.Prober)
			return &struct{ Body List[VerdictView] }{out}, err
		})
	huma.Register(api, described(operation(tag, "list-workloads", http.MethodGet, workloadsPath, "List the sites' workloads by cluster and id"),
		"As the sites' agents report them: at most 200 of a site, those of larger ones are known to their agents."),
		func(_ context.Context, in *options) (*struct{ Body List[WorkloadView] }, error) {
			items := keep(workloadViews(s.sites()), func(w WorkloadView) bool { return in.Cluster == "" || string(w.Cluster) == in.Cluster })
			out, err := page(byKey(items, WorkloadView.key), WorkloadView.key, in.PageOptions, workloadsPath, in.Cluster)
			return &struct{ Body List[WorkloadView] }{out}, err
		})
}

func gatewayViews(sites []site) []GatewayView {
	var out []GatewayView
	for _, s := range sites {
		for _, g := range s.gateways {
			view := GatewayView{Cluster: s.member.Name, Gateway: g, AgeSeconds: s.feed.AgeSeconds, Stale: s.feed.Stale, BadTo: []model.ClusterName{}}
			for _, prober := range sites {
				if prober.findsBad(s.member.Name, g.Name) {
					view.BadTo = append(view.BadTo, prober.member.Name)
				}
			}
			out = append(out, view)
		}
	}
	return out
}

// verdictAge is the age from which a prober's verdicts count for nothing.
const verdictAge = 10 * time.Second

// findsBad reports whether the site's probes find an address of the gateway that does not answer.
func (s site) findsBad(cluster model.ClusterName, gateway string) bool {
	if s.feed.AgeSeconds > verdictAge.Seconds() {
		return false
	}
	for _, set := range s.verdicts {
		for _, v := range set.Verdicts {
			if set.Cluster == cluster && v.Gateway == gateway && v.Bad {
				return true
			}
		}
	}
	return false
}

func verdictViews(sites []site) []VerdictView {
	var out []VerdictView
	for _, s := range sites {
		for _, set := range s.verdicts {
			for _, v := range set.Verdicts {
				out = append(out, VerdictView{
					Prober: s.member.Name, Cluster: set.Cluster, Gateway: v.Gateway, Address: v.Address, Port: v.Port, Bad: v.Bad, Since: v.Since,
					AgeSeconds: s.feed.AgeSeconds,
				})
			}
		}
	}
	return out
}

func workloadViews(sites []site) []WorkloadView {
	var out []WorkloadView
	for _, s := range sites {
		if s.status == nil {
			continue
		}
		for _, p := range s.status.Proxies {
			out = append(out, WorkloadView{Cluster: s.member.Name, ProxyStatus: p, AgeSeconds: s.feed.AgeSeconds})
		}
	}
	return out
}

func (g GatewayView) key() string {
	return joinKey(string(g.Cluster), g.Name, g.Address, portKey(g.Port))
}
func (w WorkloadView) key() string { return joinKey(string(w.Cluster), w.Workload) }
func (v VerdictView) key() string {
	return joinKey(string(v.Prober), string(v.Cluster), v.Gateway, v.Address, portKey(v.Port))
}

func portKey(port uint16) string { return strconv.Itoa(int(port)) }
