package rest

import (
	"context"
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
	Cluster    model.ClusterName `json:"cluster"`
	Ports      []model.Port      `json:"ports"`
	Capacity   []model.Capacity  `json:"capacity"`
	Identities []string          `json:"identities"`
	// ImportedBy are the clusters that the export rules let call it.
	ImportedBy []string `json:"importedBy"`
	// AgeSeconds is the time since the cluster's agent last confirmed the offer.
	AgeSeconds float64 `json:"ageSeconds"`
	Stale      bool    `json:"stale"`
}

// Ready sums the ready and total capacity of the offer.
func (o Offer) Ready() (ready, total uint32) {
	for _, c := range o.Capacity {
		ready += c.Ready
		total += c.Total
	}
	return ready, total
}

// ServiceList lists services by namespace and name.
type ServiceList struct {
	Services []ServiceView `json:"services"`
}

func (s *service) registerServices(api huma.API) {
	huma.Get(api, "/v1/services", func(_ context.Context, in *struct {
		Namespace string `query:"namespace" maxLength:"63"`
	}) (*struct{ Body ServiceList }, error) {
		return &struct{ Body ServiceList }{ServiceList{s.services(in.Namespace)}}, nil
	})
}

func (s *service) services(namespace string) []ServiceView {
	v := s.Consensus.View()
	found := map[model.ServiceKey]*ServiceView{}
	for _, origin := range s.Catalog.Origins() {
		member, ok := v.Clusters[origin.Name]
		if !ok || origin.Version.Incarnation != member.Incarnation {
			continue
		}
		records, _ := s.Catalog.Records(origin.Name)
		feed := s.feed(origin)
		for key, signed := range records {
			rec, err := codec.UnmarshalRecord(signed.Record)
			if err != nil || rec.Service == nil || rec.Key() != key {
				continue
			}
			k := rec.Service.Service
			if namespace != "" && k.Namespace != namespace {
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
		Cluster: member.Name, Ports: rec.Ports, Capacity: rec.Capacity, Identities: rec.Identities,
		ImportedBy: []string{}, AgeSeconds: feed.AgeSeconds, Stale: feed.Stale,
	}
	rules := v.ExportList()
	for name := range v.Clusters {
		if name != member.Name && policy.Exports(rules, member, rec.Service, name) {
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
