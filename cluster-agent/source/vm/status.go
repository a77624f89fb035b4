package vm

import (
	"slices"
	"strings"
	"time"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// What one proxy's report, and what the agent tells it, may hold.
const (
	maxNacks    = 32
	maxText     = 2048
	maxProblems = 256
)

// report is what a proxy last said of its Envoy and certificate.
type report struct {
	nacks             []model.Nack
	envoyVersion      string
	certificateExpiry time.Time
	// acknowledged is nil when the proxy does not tell.
	acknowledged *string
}

func readReport(r *hansev1.ProxyReport) report {
	out := report{envoyVersion: text(r.GetEnvoyVersion())}
	for _, n := range r.GetNacks()[:min(maxNacks, len(r.GetNacks()))] {
		out.nacks = append(out.nacks, model.Nack{TypeURL: text(n.GetTypeUrl()), Reason: text(n.GetReason()), At: n.GetAt().AsTime()})
	}
	if t := r.GetCertificateExpiry(); t != nil && t.IsValid() {
		out.certificateExpiry = t.AsTime()
	}
	if a := r.GetAcknowledged(); a != nil {
		set := text(a.GetSet())
		out.acknowledged = &set
	}
	return out
}

// text cuts what a proxy says to a bounded length.
func text(s string) string { return strings.ToValidUTF8(s[:min(maxText, len(s))], "") }

// Workloads returns the registered workloads, sorted by ID.
func (s *Site) Workloads() []model.Workload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workloads(all)
}

// Attached reports whether the workload's proxy holds a stream.
func (s *Site) Attached(workloadID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attached(workloadID)
}

func (s *Site) attached(id string) bool {
	e, ok := s.entries[id]
	return ok && e.stream != nil
}

// Proxies returns how each registered workload's proxy fares, sorted by workload.
func (s *Site) Proxies() []model.ProxyStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]model.ProxyStatus, 0, len(s.entries))
	for _, e := range s.entries {
		out = append(out, e.status())
	}
	slices.SortFunc(out, func(a, b model.ProxyStatus) int { return strings.Compare(a.Workload, b.Workload) })
	return out
}

func (e *entry) status() model.ProxyStatus {
	return model.ProxyStatus{
		Workload: e.workload.ID, Declared: e.declared, Connected: e.stream != nil, Ready: e.workload.Health.Ready, Draining: e.workload.Health.Draining,
		Nacks: e.report.nacks, EnvoyVersion: e.report.envoyVersion,
	}
}

// EarliestExpiry returns when the first certificate that a proxy reported runs out; it is zero when none reported one.
func (s *Site) EarliestExpiry() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first time.Time
	for _, e := range s.entries {
		if t := e.report.certificateExpiry; !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// Report is what a proxy last said of itself.
type Report struct {
	Workload  string
	Connected bool
	// CertificateExpiry is zero when the proxy has not told.
	CertificateExpiry time.Time
	Nacks             []model.Nack
	// Acknowledged is the digest of the set that its Envoy follows, empty while there is none; nil when the proxy does not tell.
	Acknowledged *string
}

// Reports returns what each registered workload's proxy last said of itself, sorted by workload.
func (s *Site) Reports() []Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Report, 0, len(s.entries))
	for id, e := range s.entries {
		out = append(out, Report{
			Workload: id, Connected: e.stream != nil, CertificateExpiry: e.report.certificateExpiry,
			Nacks: e.report.nacks, Acknowledged: e.report.acknowledged,
		})
	}
	slices.SortFunc(out, func(a, b Report) int { return strings.Compare(a.Workload, b.Workload) })
	return out
}

// SendProblems tells a workload's proxy what of its registration cannot be offered. It never blocks; only the newest list that
// differs from what the proxy knows is sent, and again after the proxy re-attached.
func (s *Site) SendProblems(workloadID string, problems []string) {
	problems = slices.Clone(problems[:min(maxProblems, len(problems))])
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[workloadID]
	if !ok || slices.Equal(e.problems, problems) {
		return
	}
	e.problems = problems
	if e.stream != nil {
		wake(e.stream.wake)
	}
}

// newProblems returns the problems of the workload that a holds, and whether the proxy does not know them yet.
func (s *Site) newProblems(a *attachment) (problems []string, changed bool) {
	s.update(a, func(e *entry) {
		problems, changed = e.problems, !slices.Equal(e.problems, a.sent)
	})
	return problems, changed
}
