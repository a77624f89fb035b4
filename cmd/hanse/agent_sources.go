package main

import (
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/export"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
)

// origin is where a site's workloads come from. What one tells never removes what another one has told.
type origin string

const (
	// fromProxies is the registry of proxies; every site has it.
	fromProxies origin = "proxies"
	// fromKubernetes is the API server of a Kubernetes cluster.
	fromKubernetes origin = "kubernetes"
)

// siteFacts is what the sources have told of the site. It is part of siteCore and under its lock.
type siteFacts struct {
	// awaited are the sources that have not told everything yet.
	awaited map[origin]bool
	// ids are the workloads of each source; they are in workloads, too.
	ids       map[origin]map[string]struct{}
	workloads map[string]model.Workload
	exports   map[model.ServiceKey]model.ServiceExport
	// gateways are the addresses to publish in place of those that gateways advertise; nil when they advertise their own.
	gateways []model.Gateway
	ledger   export.Ledger
	// list is what current returned last; nil when it has to be made anew.
	list []model.Workload
}

func newSiteFacts(sources ...origin) siteFacts {
	f := siteFacts{
		awaited: map[origin]bool{}, ids: map[origin]map[string]struct{}{},
		workloads: map[string]model.Workload{}, exports: map[model.ServiceKey]model.ServiceExport{},
	}
	for _, from := range sources {
		f.awaited[from], f.ids[from] = true, map[string]struct{}{}
	}
	return f
}

// complete reports whether every source has told everything.
func (f *siteFacts) complete() bool { return len(f.awaited) == 0 }

// take applies a source's update. Sources use IDs that no other one uses.
func (f *siteFacts) take(from origin, u source.Update) {
	f.list = nil
	if u.Full {
		delete(f.awaited, from)
		f.keepOnly(from, u)
	}
	for _, w := range u.Upserts {
		f.workloads[w.ID], f.ids[from][w.ID] = w, struct{}{}
		f.ledger.Set(w)
	}
	for _, id := range u.Removals {
		f.remove(from, id)
	}
	for _, e := range u.Exports {
		f.exports[e.Service] = e
		f.ledger.SetExport(e)
	}
	for _, k := range u.Unexported {
		f.unexport(k)
	}
	if u.Gateways != nil {
		f.gateways = u.Gateways
	}
}

// keepOnly removes what a source has told earlier and a full update does not name. Exports come from one source alone.
func (f *siteFacts) keepOnly(from origin, u source.Update) {
	named := make(map[string]struct{}, len(u.Upserts))
	for _, w := range u.Upserts {
		named[w.ID] = struct{}{}
	}
	for id := range f.ids[from] {
		if _, kept := named[id]; !kept {
			f.remove(from, id)
		}
	}
	if from != fromKubernetes {
		return
	}
	exported := make(map[model.ServiceKey]struct{}, len(u.Exports))
	for _, e := range u.Exports {
		exported[e.Service] = struct{}{}
	}
	for k := range f.exports {
		if _, kept := exported[k]; !kept {
			f.unexport(k)
		}
	}
}

func (f *siteFacts) remove(from origin, id string) {
	if _, own := f.ids[from][id]; !own {
		return
	}
	delete(f.ids[from], id)
	delete(f.workloads, id)
	f.ledger.Remove(id)
}

func (f *siteFacts) unexport(k model.ServiceKey) {
	delete(f.exports, k)
	f.ledger.RemoveExport(k)
}

// kubernetes reports whether the site is a Kubernetes cluster.
func (f *siteFacts) kubernetes() bool {
	_, ok := f.ids[fromKubernetes]
	return ok
}

// current are the site's workloads. In a Kubernetes cluster a pod whose own proxy is known counts as that one, and the ServiceExports say
// what is exported. The list is not changed later.
func (f *siteFacts) current() []model.Workload {
	if f.list != nil {
		return f.list
	}
	twins := export.TwinSet{}
	if f.kubernetes() {
		var proxies []model.Workload
		for id := range f.ids[fromProxies] {
			proxies = append(proxies, f.workloads[id])
		}
		twins = export.Twins(proxies)
	}
	out := make([]model.Workload, 0, len(f.workloads))
	for _, w := range f.workloads {
		if twins.Has(w) {
			continue
		}
		if f.kubernetes() {
			_, w.Export = f.exports[w.Service]
		}
		out = append(out, w)
	}
	f.list = out
	return out
}

// services are those that the site offers. Pods of a Kubernetes cluster are left out: their services are the exported ones.
func (f *siteFacts) services() map[model.ServiceKey]struct{} {
	out := make(map[model.ServiceKey]struct{}, len(f.exports))
	for k := range f.exports {
		out[k] = struct{}{}
	}
	for id := range f.ids[fromProxies] {
		if w := f.workloads[id]; w.Serves() {
			out[w.Service] = struct{}{}
		}
	}
	return out
}
