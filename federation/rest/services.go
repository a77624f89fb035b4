package rest

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/state"
)

// ServiceView is a service as the federation offers it.
type ServiceView struct {
	model.ServiceKey
	// Host is the name by which it is called.
	Host   string  `json:"host"`
	Offers []Offer `json:"offers"`
}

// Offer is one cluster's part of a service.
type Offer struct {
	Cluster model.ClusterName `json:"cluster"`
	Ports   []model.Port      `json:"ports"`
	// Capacity is what answers callers itself, by the passthrough SNI; Terminated are pods for which the cluster's gateways answer.
	Capacity   []model.Capacity `json:"capacity" doc:"Workloads with an Envoy of their own"`
	Terminated []model.Capacity `json:"terminated,omitempty" doc:"Pods without an Envoy, for which the cluster's gateways answer"`
	Identities []string         `json:"identities"`
	// ImportedBy are the clusters that the export rules let call it and that their import rules let take it.
	ImportedBy []string `json:"importedBy"`
	// AgeSeconds is the time since the cluster's agent last confirmed the offer.
	AgeSeconds float64 `json:"ageSeconds"`
	Stale      bool    `json:"stale"`
}

// Ready sums the ready and total capacity of the offer, of both kinds.
func (o Offer) Ready() (ready, total uint32) {
	for _, c := range slices.Concat(o.Capacity, o.Terminated) {
		ready += c.Ready
		total += c.Total
	}
	return ready, total
}

// ServiceDetail is a service with everything by which it is reached.
type ServiceDetail struct {
	ServiceView
	// Endpoints are where the service stands: one for each locality and kind of each offer.
	Endpoints []Endpoint `json:"endpoints"`
}

// Endpoint is a service's capacity in one locality of one cluster. Callers of other clusters reach it by one of the gateways.
type Endpoint struct {
	Cluster model.ClusterName `json:"cluster"`
	model.Capacity
	Terminated bool          `json:"terminated,omitempty" doc:"Whether the gateways answer for these pods, which have no Envoy"`
	Gateways   []GatewayView `json:"gateways"`
	AgeSeconds float64       `json:"ageSeconds" doc:"Seconds since the cluster's agent last confirmed it"`
	Stale      bool          `json:"stale" doc:"Whether its cluster has been silent for so long that others are preferred"`
}

// ServiceInPath is the service that a request is about.
type ServiceInPath struct {
	Namespace string `path:"namespace" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" example:"shop"`
	Name      string `path:"name" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" example:"cart"`
}

const servicesPath = "/v1/services"

func (s *service) registerServices(api huma.API) {
	const tag = "Services"
	huma.Register(api, operation(tag, "list-services", http.MethodGet, servicesPath, "List services by namespace and name"),
		func(_ context.Context, in *struct {
			ReadOptions
			PageOptions
			ClusterOption
			Namespace string `query:"namespace" maxLength:"63" doc:"Only those of this namespace" example:"shop"`
		}) (*struct{ Body List[ServiceView] }, error) {
			items := s.services(func(k model.ServiceKey) bool { return in.Namespace == "" || k.Namespace == in.Namespace })
			items = keep(items, func(v ServiceView) bool { return in.Cluster == "" || v.offeredBy(in.Cluster) })
			out, err := page(items, ServiceView.key, in.PageOptions, servicesPath, in.Namespace, in.Cluster)
			return &struct{ Body List[ServiceView] }{out}, err
		})
	get := operation(tag, "get-service", http.MethodGet, servicesPath+"/{namespace}/{name}", "Get a service with its endpoints and gateways")
	huma.Register(api, get, func(_ context.Context, in *struct {
		ServiceInPath
		ReadOptions
	}) (*struct{ Body ServiceDetail }, error) {
		found := s.services(func(k model.ServiceKey) bool { return k.Namespace == in.Namespace && k.Name == in.Name })
		if len(found) == 0 {
			return nil, missing("service", in.Namespace+"/"+in.Name)
		}
		return &struct{ Body ServiceDetail }{ServiceDetail{found[0], endpoints(found[0].Offers, gatewayViews(s.sites()))}}, nil
	})
}

func (v ServiceView) key() string { return joinKey(v.Namespace, v.Name) }

func (v ServiceView) offeredBy(cluster string) bool {
	return slices.ContainsFunc(v.Offers, func(o Offer) bool { return string(o.Cluster) == cluster })
}

func endpoints(offers []Offer, gateways []GatewayView) []Endpoint {
	out := []Endpoint{}
	for _, o := range offers {
		own := orEmpty(keep(gateways, func(g GatewayView) bool { return g.Cluster == o.Cluster }))
		for i, c := range slices.Concat(o.Capacity, o.Terminated) {
			out = append(out, Endpoint{
				Cluster: o.Cluster, Capacity: c, Terminated: i >= len(o.Capacity), Gateways: own, AgeSeconds: o.AgeSeconds, Stale: o.Stale,
			})
		}
	}
	return out
}

// services merges what the members offer, of the services that are asked for; nil is all.
func (s *service) services(wanted func(model.ServiceKey) bool) []ServiceView {
	v := s.Consensus.View()
	found := map[model.ServiceKey]*ServiceView{}
	for _, origin := range s.published(v) {
		member := v.Clusters[origin.Name]
		records, _ := s.Catalog.Records(origin.Name)
		feed := s.feed(origin)
		for key, signed := range records {
			rec, err := codec.UnmarshalRecord(signed.Record)
			if err != nil || rec.Service == nil || rec.Key() != key {
				continue
			}
			k := rec.Service.Service
			if wanted != nil && !wanted(k) {
				continue
			}
			if found[k] == nil {
				found[k] = &ServiceView{ServiceKey: k, Host: k.Host()}
			}
			found[k].Offers = append(found[k].Offers, offer(v, member, *rec.Service, feed))
		}
	}
	return sortServices(found)
}

func offer(v *state.View, member model.Cluster, rec model.ServiceRecord, feed *Feed) Offer {
	o := Offer{
		Cluster: member.Name, Ports: orEmpty(rec.Ports), Capacity: orEmpty(rec.Capacity), Terminated: rec.Terminated, Identities: orEmpty(rec.Identities),
		ImportedBy: []string{}, AgeSeconds: feed.AgeSeconds, Stale: feed.Stale,
	}
	rules, takes := v.ExportList(), v.ImportList()
	for name := range v.Clusters {
		if name != member.Name && policy.Exports(rules, member, rec.Service, name) && policy.Admits(takes, name, member.Name, rec.Service) {
			o.ImportedBy = append(o.ImportedBy, string(name))
		}
	}
	slices.Sort(o.ImportedBy)
	return o
}

func sortServices(found map[model.ServiceKey]*ServiceView) []ServiceView {
	out := make([]ServiceView, 0, len(found))
	for _, s := range found {
		slices.SortFunc(s.Offers, func(a, b Offer) int { return strings.Compare(string(a.Cluster), string(b.Cluster)) })
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b ServiceView) int { return a.Compare(b.ServiceKey) })
	return out
}
