package export

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// Ledger keeps a site's records: of a change it derives anew only the services that it touches. The zero value knows nothing. It is not safe
// for concurrent use; records that it has handed out never change.
type Ledger struct {
	workloads map[string]model.Workload
	gateways  map[string]model.Workload
	services  map[model.ServiceKey]*account
	// order are the accounts by record key; nil when it has to be made anew.
	order []*account
	// terms are those that all accounts which are not due were settled by.
	terms Terms
}

// account is one service in the ledger.
type account struct {
	key      model.ServiceKey
	record   string
	ids      map[string]struct{}
	exported *model.ServiceExport
	// due says that what follows is out of date.
	due     bool
	service *model.ServiceRecord
	reasons []string
	// refusal says why the export is not published.
	refusal string
}

// Set takes a new or changed workload.
func (l *Ledger) Set(w model.Workload) {
	if was, known := l.workloads[w.ID]; known && (was.Service != w.Service || (was.Gateway == nil) != (w.Gateway == nil)) {
		l.Remove(w.ID)
	}
	if l.workloads == nil {
		l.workloads, l.gateways = map[string]model.Workload{}, map[string]model.Workload{}
	}
	l.workloads[w.ID] = w
	if w.Gateway != nil {
		l.gateways[w.ID] = w
	}
	if w.Serves() {
		a := l.account(w.Service)
		a.ids[w.ID], a.due = struct{}{}, true
	}
}

// Remove forgets a workload.
func (l *Ledger) Remove(id string) {
	w, known := l.workloads[id]
	if !known {
		return
	}
	delete(l.workloads, id)
	delete(l.gateways, id)
	if w.Serves() {
		a := l.account(w.Service)
		delete(a.ids, id)
		l.close(a)
	}
}

// SetExport takes a new or changed export.
func (l *Ledger) SetExport(e model.ServiceExport) {
	a := l.account(e.Service)
	a.exported, a.due = &e, true
}

// RemoveExport forgets an export.
func (l *Ledger) RemoveExport(k model.ServiceKey) {
	if a := l.services[k]; a != nil {
		a.exported = nil
		l.close(a)
	}
}

func (l *Ledger) account(k model.ServiceKey) *account {
	a := l.services[k]
	if a == nil {
		if l.services == nil {
			l.services = map[model.ServiceKey]*account{}
		}
		a = &account{key: k, record: model.RecordKey(k), ids: map[string]struct{}{}}
		l.services[k], l.order = a, nil
	}
	return a
}

// close ends an account that nothing is left of.
func (l *Ledger) close(a *account) {
	a.due = true
	if len(a.ids) == 0 && a.exported == nil {
		delete(l.services, a.key)
		l.order = nil
	}
}

// Records returns what the site publishes. Rules are taken for the same while they are the same slice.
func (l *Ledger) Records(t Terms) Output {
	all := !sameTerms(l.terms, t)
	l.terms = t
	if l.order == nil {
		l.order = slices.SortedFunc(maps.Values(l.services), func(a, b *account) int { return strings.Compare(a.record, b.record) })
	}
	out := Output{Records: make([]model.Record, 0, len(l.order)+1), Refusals: map[model.ServiceKey]string{}}
	byID := slices.SortedFunc(maps.Values(l.gateways), func(a, b model.Workload) int { return strings.Compare(a.ID, b.ID) })
	gateways, reasons := gatewaySet(byID, t.Gateways)
	if len(gateways) > 0 {
		out.Records = append(out.Records, model.Record{Cluster: t.Cluster.Name, Gateways: gateways})
	}
	for _, a := range l.order {
		if a.due || all {
			l.settle(a)
		}
		if a.service != nil {
			out.Records = append(out.Records, model.Record{Cluster: t.Cluster.Name, Service: a.service})
		}
		if a.refusal != "" {
			out.Refusals[a.key] = a.refusal
		}
		reasons = append(reasons, a.reasons...)
	}
	out.Reasons = boundReasons(reasons)
	return out
}

// settle derives a service's record, or why it has none.
func (l *Ledger) settle(a *account) {
	*a = account{key: a.key, record: a.record, ids: a.ids, exported: a.exported}
	group := l.eligible(a)
	if a.exported == nil && (len(group) == 0 || l.terms.ByExport) {
		return
	}
	why := closed(l.terms, a.key)
	if a.exported != nil && why == "" {
		why = invalid(*a.exported)
	}
	if why != "" {
		a.reasons = append(a.reasons, fmt.Sprintf("service %s is not exported: %s", a.key, why))
		if a.exported != nil {
			a.refusal = why
		}
		return
	}
	service, reasons := Summarise(l.terms.Cluster.TrustDomain, group, a.exported)
	a.service, a.reasons = &service, append(a.reasons, reasons...)
}

// eligible returns the workloads that count for a service, sorted by ID.
func (l *Ledger) eligible(a *account) (group []model.Workload) {
	for _, id := range slices.Sorted(maps.Keys(a.ids)) {
		w := l.workloads[id]
		switch why := unfit(w); {
		case a.exported == nil && !w.Export:
		case why != "":
			a.reasons = append(a.reasons, fmt.Sprintf("workload %s is not exported: %s", id, why))
		case a.exported == nil && l.terms.ByExport:
			a.reasons = append(a.reasons, fmt.Sprintf("workload %s is not exported: service %s has no ServiceExport", id, a.key))
		default:
			group = append(group, w)
		}
	}
	return group
}

// invalid says for what of itself nobody would take the export.
func invalid(e model.ServiceExport) string {
	if len(e.Ports) > codec.MaxServicePorts {
		return fmt.Sprintf("the Service has %d ports: at most %d can be exported", len(e.Ports), codec.MaxServicePorts)
	}
	if err := e.Validate(); err != nil {
		return err.Error()
	}
	return ""
}

func sameTerms(a, b Terms) bool {
	return a.ByExport == b.ByExport && a.Cluster.Name == b.Cluster.Name && a.Cluster.TrustDomain == b.Cluster.TrustDomain &&
		slices.Equal(a.Cluster.ExportNamespaces, b.Cluster.ExportNamespaces) && sameRules(a.Rules, b.Rules)
}

func sameRules(a, b []policy.ExportRule) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
