package vm

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

const (
	// AnyNamespace in Config.Declarable allows every namespace but the site's own.
	AnyNamespace = "*"
	// maxDeclared bounds the workloads that operators register without a proxy.
	maxDeclared = 1000
)

// Workload returns a registered workload. The error is a *model.QueryError.
func (s *Site) Workload(id string) (model.SiteWorkload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.siteWorkload(id)
	if w == nil {
		return model.SiteWorkload{}, refuse(model.QueryNotFound, "no workload %.80q is registered at this site", id)
	}
	return *w, nil
}

// Declare registers a workload that has no proxy, or ends such a registration, as an operator of the federation asks. What it changes is on
// disk when it returns. Errors are *model.QueryError, or the disk's.
func (s *Site) Declare(w model.WorkloadWrite) (model.WorkloadWritten, error) {
	out, err := s.declare(w)
	if err != nil || w.DryRun || !out.Changed {
		return out, err
	}
	s.cfg.Logger.Info("a workload's registration was changed by an operator", "workload", w.Workload, "registered", w.Registration != nil,
		"actor", w.Actor.Name, "request_id", w.Actor.RequestID)
	if err := s.saveDeclared(); err != nil {
		wake(s.unsaved)
		return out, fmt.Errorf("the change holds but is not on disk yet: %w", err)
	}
	return out, nil
}

func (s *Site) declare(w model.WorkloadWrite) (model.WorkloadWritten, error) {
	next, err := s.declaredWorkload(w)
	if err != nil {
		return model.WorkloadWritten{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := model.WorkloadWritten{Before: s.siteWorkload(w.Workload)}
	if err := s.mayDeclare(w, next, out.Before); err != nil {
		return model.WorkloadWritten{}, err
	}
	if next != nil {
		out.After = &model.SiteWorkload{
			ProxyStatus: (&entry{workload: *next, declared: true}).status(), Version: codec.RegistrationVersion(*next),
			Registration: codec.RegistrationOf(*next),
		}
	}
	out.Changed = out.Before == nil || out.After == nil || out.Before.Version != out.After.Version
	if w.DryRun || !out.Changed {
		return out, nil
	}
	s.versions.declared++
	if next == nil {
		s.remove(w.Workload)
		return out, nil
	}
	s.entries[next.ID] = &entry{workload: *next, declared: true}
	s.touch(next.ID)
	return out, nil
}

// declaredWorkload reads what is to be registered; nil when a registration is to end.
func (s *Site) declaredWorkload(w model.WorkloadWrite) (*model.Workload, error) {
	if err := model.ValidateLabel("workload", w.Workload); err != nil {
		return nil, refuse(model.QueryInvalid, "%v", err)
	}
	if w.Registration == nil {
		return nil, nil
	}
	next, err := codec.WorkloadOfRegistration(w.Registration.Completed(s.cfg.Region))
	if err != nil {
		return nil, refuse(model.QueryInvalid, "%v", err)
	}
	next.ID = w.Workload
	return &next, nil
}

// mayDeclare says why a change is refused; s.mu is held. A proxy's own word counts more than an operator's from elsewhere.
func (s *Site) mayDeclare(w model.WorkloadWrite, next *model.Workload, before *model.SiteWorkload) error {
	if err := meets(w, before); err != nil {
		return err
	}
	switch {
	case before == nil && next == nil:
		return refuse(model.QueryNotFound, "no workload %q is registered at this site", w.Workload)
	case before != nil && !before.Declared:
		return refuse(model.QueryConflict, "workload %q is registered by its proxy: change it there, or choose another name", w.Workload)
	}
	for _, held := range s.namespacesOf(w.Workload, next) {
		if held == model.SystemNamespace || !slices.Contains(s.cfg.Declarable, held) && !slices.Contains(s.cfg.Declarable, AnyNamespace) {
			return refuse(model.QueryDenied, "site %s lets the federation's operators register nothing in namespace %s: its own operator may allow it with 'hanse agent --api-workloads %s'",
				s.cfg.Cluster, held, held)
		}
	}
	if next == nil {
		return nil
	}
	if e, ok := s.enrolments[next.ID]; ok && (e.Namespace != next.Namespace || e.ServiceAccount != next.ServiceAccount || e.Gateway) {
		return refuse(model.QueryConflict, "workload %q is enrolled as %s/%s: register it as that, or choose another name", next.ID, e.Namespace, e.ServiceAccount)
	}
	if declared := len(s.workloads(byOperator)); before == nil && declared >= maxDeclared {
		return refuse(model.QueryConflict, "%d workloads are registered without a proxy, which is the limit: run proxies, or open another site", declared)
	}
	return nil
}

// namespacesOf are those that a change is about: the present one and the next; s.mu is held.
func (s *Site) namespacesOf(id string, next *model.Workload) []string {
	var out []string
	if e, ok := s.entries[id]; ok {
		out = append(out, e.workload.Namespace)
	}
	if next != nil {
		out = append(out, next.Namespace)
	}
	return out
}

// meets refuses a change whose conditions do not hold.
func meets(w model.WorkloadWrite, before *model.SiteWorkload) error {
	switch {
	case w.Absent && before != nil:
		return refuse(model.QueryMismatch, "workload %q exists already", w.Workload)
	case w.Version != 0 && before == nil:
		return refuse(model.QueryMismatch, "workload %q does not exist", w.Workload)
	case w.Version != 0 && w.Version != model.AnyVersion && w.Version != before.Version:
		return refuse(model.QueryMismatch, "workload %q was changed meanwhile: read it again and repeat the change", w.Workload)
	}
	return nil
}

// siteWorkload is an entry as others are told of it, nil when there is none; s.mu is held.
func (s *Site) siteWorkload(id string) *model.SiteWorkload {
	e, ok := s.entries[id]
	if !ok {
		return nil
	}
	return &model.SiteWorkload{
		ProxyStatus: e.status(), Version: codec.RegistrationVersion(e.workload), Reason: e.workload.Health.Reason,
		Registration: codec.RegistrationOf(e.workload),
	}
}

// mayTakeOver says why a token's holder cannot have the name of a workload that an operator has registered, as a status; s.mu is held. A
// token for one namespace must not push a workload of another aside.
func (s *Site) mayTakeOver(e enrolment) error {
	held, ok := s.entries[e.Workload]
	if !ok || !held.declared || held.workload.Namespace == e.Namespace && held.workload.ServiceAccount == e.ServiceAccount {
		return nil
	}
	return status.Errorf(codes.AlreadyExists,
		"workload %q is registered by an operator as %s/%s, this token is for %s/%s: choose another workload id, or have that registration ended",
		e.Workload, held.workload.Namespace, held.workload.ServiceAccount, e.Namespace, e.ServiceAccount)
}

func refuse(code model.QueryCode, format string, args ...any) error {
	return &model.QueryError{Code: code, Message: fmt.Sprintf(format, args...)}
}
