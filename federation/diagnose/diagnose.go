// Package diagnose owns what the state of a whole federation says about its faults: which there are, how bad they are, whom they are about,
// and what to do.
//
// It is pure. Whoever asks gathers a Report, in which each part is a value or the reason why it could not be had; what could not be had
// is a finding, too, so that nothing passes unseen. A finding is about what it names: what else is in the federation adds none and
// takes none away.
package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// Severity is how bad a finding is.
type Severity string

// The severities, worst first.
const (
	// Error is a fault that fails calls or changes now, or will with the next fault.
	Error Severity = "error"
	// Warning is a fault that costs redundancy or will become an error.
	Warning Severity = "warning"
	// Info is worth knowing, and may be meant.
	Info Severity = "info"
)

func (s Severity) rank() int { return slices.Index([]Severity{Error, Warning, Info}, s) }

// Finding is one fault.
type Finding struct {
	Severity Severity `json:"severity"`
	// Code names the kind of fault. It is stable: scripts may rely on it.
	Code  Code  `json:"code"`
	Group Group `json:"group"`
	// Subject is what is at fault, as TYPE/NAME, for example cluster/eu, proxy/eu/cart-1 or FailoverPolicy/default.
	Subject string `json:"subject"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
	// Evidence is what the finding was drawn from.
	Evidence []string `json:"evidence,omitempty"`
	// Clusters are those that the finding concerns; none when it concerns all of the federation.
	Clusters []model.ClusterName `json:"clusters,omitempty"`
}

// Diagnose returns what is wrong, worst first; equally bad findings by group, code and subject. Of one code and subject there is one.
func Diagnose(r Report) []Finding {
	d := &diagnosis{report: r, found: map[[2]string]*Finding{}}
	d.nodes()
	d.clocks()
	d.versions()
	d.certificates()
	d.tokens()
	d.feeds()
	d.proxies()
	d.gateways()
	d.services()
	d.policies()
	d.texts()
	d.unseen()
	return d.sorted()
}

// diagnosis gathers findings.
type diagnosis struct {
	report Report
	found  map[[2]string]*Finding
}

// add notes a fault. A second one of the same code and subject adds its evidence and clusters to the first.
func (d *diagnosis) add(k kind, subject, message string, clusters []model.ClusterName, evidence ...string) {
	d.addAs(k.severity, k, subject, message, clusters, evidence...)
}

// addAs is add with another severity than the usual one of the kind.
func (d *diagnosis) addAs(s Severity, k kind, subject, message string, clusters []model.ClusterName, evidence ...string) {
	at := [2]string{string(k.code), subject}
	f := d.found[at]
	if f == nil {
		f = &Finding{Severity: s, Code: k.code, Group: k.group, Subject: subject, Message: message, Remedy: k.remedy}
		d.found[at] = f
	}
	if s.rank() < f.Severity.rank() {
		f.Severity = s
	}
	for _, e := range evidence {
		if !slices.Contains(f.Evidence, e) {
			f.Evidence = append(f.Evidence, e)
		}
	}
	f.Clusters = append(f.Clusters, clusters...)
}

func (d *diagnosis) sorted() []Finding {
	out := make([]Finding, 0, len(d.found))
	for _, f := range d.found {
		slices.Sort(f.Clusters)
		f.Clusters = slices.Compact(f.Clusters)
		slices.Sort(f.Evidence)
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity.rank(), b.Severity.rank()), cmp.Compare(a.Group.rank(), b.Group.rank()),
			strings.Compare(string(a.Code), string(b.Code)), strings.Compare(a.Subject, b.Subject))
	})
	return out
}

// unseen says what could not be looked at.
func (d *diagnosis) unseen() {
	r := d.report
	for _, part := range []struct {
		subject, missing string
		hides            string
	}{
		{"nodes", r.Nodes.Missing(), "whether the nodes are alive, their clocks, versions and certificates"},
		{"clusters", r.Clusters.Missing(), "feeds, gateways, proxies, and whether policies name the right clusters and regions"},
		{"services", r.Services.Missing(), "whether services agree, who may call them, and whether export rules name them"},
		{"failover-policies", r.Failover.Missing(), "whether failover policies name the right regions"},
		{"export-rules", r.Exports.Missing(), "whether export rules name what is there"},
		{"import-rules", r.Imports.Missing(), "whether import rules name what is there, and keep out what should come in"},
		{"tokens", r.Tokens.Missing(), "whether operators' tokens end soon"},
		{"trust-domains", r.Roots.Missing(), "whether the clusters' root certificates end soon"},
		{"verdicts", r.Verdicts.Missing(), "which clusters reach which gateways"},
	} {
		d.notSeen(part.subject, part.missing, part.hides, nil)
	}
	for _, n := range r.Nodes.Value() {
		switch self := n.Self.Value(); {
		case n.Self.Had():
			d.notSeen("node/"+n.Name+"/clock", self.Clock.Missing(), "whether its clock is right", nil)
			d.notSeen("node/"+n.Name+"/certificate", self.Certificate.Missing(), "whether its certificate ends soon", nil)
		case n.Alive:
			d.notSeen("node/"+n.Name, n.Self.Missing(), "its clock, version, certificate, and what it sees of the others", nil)
		}
	}
	for _, c := range r.Clusters.Value() {
		about := []model.ClusterName{c.Name}
		subject, clock, ways := "agent/"+string(c.Name), "whether its clock is right and its own certificates last", "which ways to other clusters' gateways are degraded, and why probes fail"
		switch {
		case !c.Agent.Had() && !c.Paths.Had():
			d.notSeen(subject, c.Agent.Missing(), clock+"; "+ways, about)
		default:
			d.notSeen(subject, c.Agent.Missing(), clock, about)
			d.notSeen(subject+"/gateways", c.Paths.Missing(), ways, about)
		}
	}
}

func (d *diagnosis) notSeen(subject, missing, hides string, about []model.ClusterName) {
	if missing != "" {
		d.add(notSeen, subject, fmt.Sprintf("could not be looked at (%s), so it is not known: %s", missing, hides), about)
	}
}

// names joins what is listed for a person.
func names[T ~string](list []T) string {
	if len(list) == 0 {
		return "nothing"
	}
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = string(n)
	}
	return strings.Join(out, ", ")
}
