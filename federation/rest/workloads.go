package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/state"
)

const workloadsPath = "/v1/workloads"

// WorkloadInPath is the workload that a request is about.
type WorkloadInPath struct {
	Cluster  string `path:"cluster" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" doc:"Whose site it is" example:"eu"`
	Workload string `path:"workload" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" doc:"Its name at the site" example:"payments-1"`
}

func (p WorkloadInPath) ref() model.Ref {
	return model.Ref{Kind: model.KindWorkload, Name: p.Cluster + "/" + p.Workload}
}

// WorkloadDetail is a workload as its site has it registered.
type WorkloadDetail struct {
	WorkloadView
	Reason string `json:"reason,omitempty" doc:"Why it is not ready"`
	// Registration is absent where the workload is no part of a service.
	Registration *model.Registration `json:"registration,omitempty" doc:"What is registered, as it can be written; absent for what only calls, and for gateways"`
}

func (s *service) registerWorkloads(api huma.API) {
	const tag, object = "Sites", workloadsPath + "/{cluster}/{workload}"
	huma.Register(api, described(ofAgents(operation(tag, "get-workload", http.MethodGet, object, "Get a workload as its site has it registered")),
		"The site's agent is asked."),
		func(ctx context.Context, in *struct {
			WorkloadInPath
			ReadOptions
		}) (*tagged[WorkloadDetail], error) {
			var out model.SiteWorkload
			if err := s.ask(ctx, model.ClusterName(in.Cluster), model.QueryWorkload, model.WorkloadRequest{Workload: in.Workload}, &out); err != nil {
				return nil, err
			}
			return &tagged[WorkloadDetail]{ETag: etagAt(out.Version), Body: WorkloadDetail{
				WorkloadView: WorkloadView{Cluster: model.ClusterName(in.Cluster), ProxyStatus: out.ProxyStatus}, Reason: out.Reason, Registration: out.Registration,
			}}, nil
		})
	huma.Register(api, described(ofAgents(operation(tag, "put-workload", http.MethodPut, object, "Register a workload that has no proxy, or change its registration")),
		"Its site's agent keeps it, as one that is ready, until it is deleted or a proxy takes it over. The site must let operators do so (hanse agent --api-workloads). "+
			"The workload's certificate takes a workload token of the site, as always. The change is in the audit log before the agent makes it."),
		func(ctx context.Context, in *struct {
			WorkloadInPath
			WriteOptions
			Body model.Registration
		}) (*writtenAnswer, error) {
			r := in.Body.Completed(s.Consensus.View().Clusters[model.ClusterName(in.Cluster)].Region)
			if err := callerOf(ctx).May(access.WritePolicy, []string{r.Namespace}); err != nil {
				return nil, huma.Error403Forbidden(err.Error())
			}
			if _, err := codec.WorkloadOfRegistration(r); err != nil && r.Region != "" {
				return nil, unprocessable(documentFault("body", err))
			}
			return s.writeWorkload(ctx, in.WorkloadInPath, &r, in.WriteOptions)
		})
	huma.Register(api, described(ofAgents(operation(tag, "delete-workload", http.MethodDelete, object, "End the registration of a workload that has no proxy")),
		"What a proxy has registered ends with the proxy."),
		func(ctx context.Context, in *struct {
			WorkloadInPath
			WriteOptions
		}) (*writtenAnswer, error) {
			if err := callerOf(ctx).Somewhere(access.WritePolicy); err != nil {
				return nil, huma.Error403Forbidden(err.Error())
			}
			return s.writeWorkload(ctx, in.WorkloadInPath, nil, in.WriteOptions)
		})
}

// writeWorkload asks the agent what the change would be, writes that down, and has it made: nothing is done that nobody knows of. What the
// audit log then has may still fail on its way to the agent, and the answer says so.
func (s *service) writeWorkload(ctx context.Context, on WorkloadInPath, r *model.Registration, o WriteOptions) (*writtenAnswer, error) {
	w := model.WorkloadWrite{Workload: on.Workload, Registration: r, DryRun: true, Actor: callerOf(ctx).Actor}
	w.Actor.RequestID = requestIDOf(ctx)
	if err := o.conditions(&w, on.ref()); err != nil {
		return nil, err
	}
	var tried model.WorkloadWritten
	if err := s.ask(ctx, model.ClusterName(on.Cluster), model.QueryRegister, w, &tried); err != nil {
		return nil, err
	}
	if err := callerOf(ctx).May(access.WritePolicy, namespacesOfWorkload(tried)); err != nil {
		return nil, huma.Error403Forbidden(err.Error())
	}
	v := s.Consensus.View()
	if o.DryRun || !tried.Changed {
		return workloadWritten(v.Index, tried, o), nil
	}
	recorded, err := s.propose(ctx, v, state.Entry{Command: deed(on.ref(), tried)}, false)
	if err != nil {
		return nil, err
	}
	// As it was written down, or not at all.
	w.DryRun, w.Absent, w.Version = false, tried.Before == nil, 0
	if tried.Before != nil {
		w.Version = tried.Before.Version
	}
	var done model.WorkloadWritten
	if err := s.ask(ctx, model.ClusterName(on.Cluster), model.QueryRegister, w, &done); err != nil {
		return nil, err
	}
	return workloadWritten(recorded.Index, done, o), nil
}

func workloadWritten(index uint64, w model.WorkloadWritten, o WriteOptions) *writtenAnswer {
	out := &writtenAnswer{Body: Written{Index: index, Changed: w.Changed, DryRun: o.DryRun}}
	switch {
	case o.DryRun && w.Before != nil:
		out.ETag = etagAt(w.Before.Version)
	case !o.DryRun && w.After != nil:
		out.ETag = etagAt(w.After.Version)
	}
	return out
}

// namespacesOfWorkload are those that a change is about.
func namespacesOfWorkload(w model.WorkloadWritten) []string {
	var out []string
	for _, one := range []*model.SiteWorkload{w.Before, w.After} {
		if one != nil && one.Registration != nil {
			out = append(out, one.Registration.Namespace)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// deed is the change as the audit log has it.
func deed(on model.Ref, w model.WorkloadWritten) state.RecordDeed {
	text := func(one *model.SiteWorkload) json.RawMessage {
		if one == nil {
			return nil
		}
		out, _ := json.Marshal(one.Registration) // It is strings, numbers and truth values.
		return out
	}
	return state.RecordDeed{Ref: on, Before: text(w.Before), After: text(w.After)}
}

// conditions are those under which an agent makes a change.
func (o WriteOptions) conditions(w *model.WorkloadWrite, on model.Ref) error {
	switch {
	case o.IfMatch != "" && o.IfNoneMatch != "":
		return huma.Error412PreconditionFailed("If-Match and If-None-Match: no object exists and does not; give one of the two")
	case o.IfNoneMatch == "*":
		w.Absent = true
	case o.IfNoneMatch != "":
		return huma.Error400BadRequest("If-None-Match: only * is understood for a write")
	case o.IfMatch == "*":
		w.Version = model.AnyVersion
	case o.IfMatch != "":
		version, ok := parseETag(o.IfMatch)
		if !ok {
			return huma.Error412PreconditionFailed("If-Match: " + strconv.Quote(clip(o.IfMatch)) + " is not an ETag of " + on.String())
		}
		w.Version = version
	}
	return nil
}
