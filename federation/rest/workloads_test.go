package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/federation/state"
)

func aWorkload(namespace string) string {
	return `{"namespace":"` + namespace + `","service":"pay","address":"10.0.0.5","inboundPort":15006,"ports":[{"number":80}]}`
}

// registry is a site whose agent has a session: it takes everything whose conditions hold.
type registry struct {
	workloads map[string]model.SiteWorkload
	// refuse, when set, is what is answered to changes that are no trials.
	refuse error
	// writes are those that were no trials.
	writes []model.WorkloadWrite
}

func (r *registry) ask(kind model.QueryKind, request []byte) ([]byte, error) {
	if kind == model.QueryWorkload {
		var q model.WorkloadRequest
		if err := json.Unmarshal(request, &q); err != nil {
			return nil, err
		}
		if w, ok := r.workloads[q.Workload]; ok {
			return json.Marshal(w)
		}
		return nil, &model.QueryError{Code: model.QueryNotFound, Message: "no workload " + q.Workload}
	}
	var q model.WorkloadWrite
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, err
	}
	out, err := r.write(q)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func (r *registry) write(q model.WorkloadWrite) (out model.WorkloadWritten, err error) {
	if held, ok := r.workloads[q.Workload]; ok {
		out.Before = &held
	}
	switch {
	case q.Absent && out.Before != nil, q.Version == model.AnyVersion && out.Before == nil,
		q.Version != 0 && q.Version != model.AnyVersion && (out.Before == nil || out.Before.Version != q.Version):
		return out, &model.QueryError{Code: model.QueryMismatch, Message: "was changed"}
	case q.Registration == nil && out.Before == nil:
		return out, &model.QueryError{Code: model.QueryNotFound, Message: "no workload " + q.Workload}
	}
	if q.Registration != nil {
		w, err := codec.WorkloadOfRegistration(*q.Registration)
		if err != nil {
			return out, err
		}
		out.After = &model.SiteWorkload{
			ProxyStatus: model.ProxyStatus{Workload: q.Workload, Declared: true, Ready: true}, Version: codec.RegistrationVersion(w), Registration: q.Registration,
		}
	}
	out.Changed = out.Before == nil || out.After == nil || out.Before.Version != out.After.Version
	if q.DryRun {
		return out, nil
	}
	r.writes = append(r.writes, q)
	if r.refuse != nil {
		return out, r.refuse
	}
	if out.After == nil {
		delete(r.workloads, q.Workload)
	} else {
		r.workloads[q.Workload] = *out.After
	}
	return out, nil
}

// siteGroup is a group with the site eu, whose agent has its session at a node.
func siteGroup(t *testing.T, at string) (*group, *registry) {
	g := newGroup(t)
	joined(g, "eu", 1)
	g.live.alive = map[string]bool{"lead": true, "follow": true}
	r := &registry{workloads: map[string]model.SiteWorkload{}}
	g.agents[at].site = r
	return g, r
}

const pay1 = "/v1/workloads/eu/pay-1"

func TestAWorkloadIsRegisteredAtItsSite(t *testing.T) {
	for _, at := range []string{"lead", "follow"} {
		g, site := siteGroup(t, at)
		var w rest.Written
		tried := g.do("follow", http.MethodPut, pay1+"?dryRun=true", aWorkload("shop")).ok(http.StatusOK, &w)
		if !w.Changed || !w.DryRun || len(site.writes) != 0 || len(g.state.View().Audit()) != 0 || tried.header.Get("ETag") != "" {
			t.Fatalf("%s: tried: %+v, written %v", at, w, site.writes)
		}
		w = rest.Written{}
		made := g.do("follow", http.MethodPut, pay1, aWorkload("shop")).ok(http.StatusOK, &w)
		if !w.Changed || w.Index != g.state.View().Index || len(site.writes) != 1 || !site.writes[0].Absent {
			t.Fatalf("%s: %+v, written %+v", at, w, site.writes)
		}
		if who := site.writes[0].Actor; who.Name == "" || who.RequestID == "" {
			t.Errorf("%s: the site is not told who asks: %+v", at, who)
		}
		var d rest.WorkloadDetail
		got := g.do("follow", http.MethodGet, pay1, "").ok(http.StatusOK, &d)
		if got.header.Get("ETag") != made.header.Get("ETag") || !d.Declared || d.Registration.Region != "eu" || d.Registration.Ports[0].Target != "127.0.0.1:80" {
			t.Errorf("%s: got %+v with %s, written with %s", at, d, got.header.Get("ETag"), made.header.Get("ETag"))
		}
		// What was read can be written back, and changes nothing.
		index := g.state.View().Index
		g.do("lead", http.MethodPut, pay1, encode(t, d.Registration)).ok(http.StatusOK, &w)
		if w.Changed || g.state.View().Index != index {
			t.Errorf("%s: written back: %+v", at, w)
		}
		g.do("lead", http.MethodDelete, pay1, "", with("If-Match", `"7"`)).problem(http.StatusPreconditionFailed)
		g.do("lead", http.MethodDelete, pay1, "", with("If-Match", got.header.Get("ETag"))).ok(http.StatusOK, &w)
		g.do("lead", http.MethodGet, pay1, "").problem(http.StatusNotFound)
		g.do("lead", http.MethodDelete, pay1, "").problem(http.StatusNotFound)
		audit := g.state.View().Audit()
		if len(audit) != 2 || audit[0].Ref.String() != "Workload/eu/pay-1" || audit[0].Before != nil || !strings.Contains(string(audit[0].After), `"pay"`) ||
			audit[1].After != nil || string(audit[1].Before) != string(audit[0].After) {
			t.Errorf("%s: audit %+v", at, audit)
		}
	}
}

// Nothing is done that is not written down: without a log there is no change, and what is written down is what the site was asked for.
func TestARegistrationIsWrittenDownFirst(t *testing.T) {
	g, site := siteGroup(t, "lead")
	g.proposeErr = &state.Error{Code: state.Conflict, Message: "not now"}
	g.do("lead", http.MethodPut, pay1, aWorkload("shop")).problem(http.StatusConflict, "not now")
	if len(site.writes) != 0 {
		t.Errorf("the site was asked: %+v", site.writes)
	}
	g.proposeErr = nil
	site.refuse = &model.QueryError{Code: model.QueryTimedOut, Message: "too slow"}
	g.do("lead", http.MethodPut, pay1, aWorkload("shop")).problem(http.StatusGatewayTimeout, "too slow")
	if len(g.state.View().Audit()) != 1 {
		t.Errorf("audit %+v", g.state.View().Audit())
	}
}

func TestBadRegistrations(t *testing.T) {
	g, site := siteGroup(t, "lead")
	for body, says := range map[string]string{
		`{"namespace":"shop","service":"pay","address":"web","inboundPort":15006,"ports":[{"number":80}]}`:                          "address",
		`{"namespace":"shop","service":"pay","address":"10.0.0.5","inboundPort":15006,"ports":[{"number":80},{"number":80}]}`:       "ports[1]",
		`{"namespace":"shop","service":"pay","address":"10.0.0.5","inboundPort":15006,"ports":[]}`:                                  "ports",
		`{"namespace":"shop","service":"pay","address":"10.0.0.5","inboundPort":15006,"ports":[{"number":53,"protocol":"udp"}]}`:    "protocol",
		`{"namespace":"shop","service":"pay","address":"10.0.0.5","inboundPort":15006,"ports":[{"number":80,"target":"web:80"}]}`:   "target",
		`{"namespace":"shop","service":"pay","address":"10.0.0.5","inboundPort":15006,"ports":[{"number":80}],"upstreams":["web"]}`: "upstreams",
	} {
		g.do("lead", http.MethodPut, pay1, body).problem(http.StatusUnprocessableEntity, says)
	}
	g.do("lead", http.MethodPut, "/v1/workloads/nowhere/pay-1", aWorkload("shop")).problem(http.StatusNotFound, "no cluster nowhere")
	g.do("lead", http.MethodPut, pay1, aWorkload("shop"), with("If-Match", "*")).problem(http.StatusPreconditionFailed)
	g.do("lead", http.MethodPut, pay1, aWorkload("shop"), func(r *http.Request) {
		with("If-Match", "*")(r)
		with("If-None-Match", "*")(r)
	}).problem(http.StatusPreconditionFailed, "give one of the two")
	if len(site.writes) != 0 {
		t.Errorf("written: %+v", site.writes)
	}
	g.agents["lead"].site = nil
	g.do("lead", http.MethodPut, pay1, aWorkload("shop")).problem(http.StatusServiceUnavailable, "cluster eu")
}

// An operator of one namespace changes nothing that is another's, whatever he wants to make of it.
func TestAWorkloadOfAnotherNamespaceIsOutOfReach(t *testing.T) {
	g, site := siteGroup(t, "lead")
	g.do("lead", http.MethodPut, pay1, aWorkload("bank")).ok(http.StatusOK, nil)
	shop := g.bearer(12, model.RoleOperator, "shop")
	g.do("lead", http.MethodPut, pay1, aWorkload("shop"), shop).problem(http.StatusForbidden, "bank")
	g.do("lead", http.MethodDelete, pay1, "", shop).problem(http.StatusForbidden, "bank")
	if len(site.writes) != 1 {
		t.Errorf("written: %+v", site.writes)
	}
}

// What changes something is passed on by nodes alone, and never by a way that only reads.
func TestOnlyNodesPassChangesOn(t *testing.T) {
	g, site := siteGroup(t, "lead")
	const passedOn = "/v1/agents/eu/answers/register"
	r := model.Registration{Namespace: "shop", Service: "pay", Address: "10.0.0.5", InboundPort: 1, Ports: []model.RegistrationPort{{Number: 80}}}.Completed("eu")
	change := encode(t, model.WorkloadWrite{Workload: "pay-1", Registration: &r})
	as := func(id string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Authorization")
			g.people.shows(id)(r)
		}
	}
	g.do("lead", http.MethodPost, passedOn, change).problem(http.StatusForbidden, "only a node")
	g.do("lead", http.MethodPost, passedOn, change, as(model.AgentID("acme", "eu"))).problem(http.StatusUnauthorized)
	g.do("lead", http.MethodGet, passedOn+"?request=null", "").problem(http.StatusForbidden)
	g.do("lead", http.MethodGet, passedOn+"?request=null", "", as(model.NodeID("acme", "follow"))).problem(http.StatusForbidden)
	if len(site.writes) != 0 {
		t.Fatalf("written: %+v", site.writes)
	}
	g.do("lead", http.MethodPost, passedOn, change, as(model.NodeID("acme", "follow"))).ok(http.StatusOK, nil)
	if len(site.writes) != 1 {
		t.Errorf("a node is not believed: %d", len(site.writes))
	}
}

func with(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}
