package diagnose

import (
	"fmt"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

const (
	// soonForSites is what is left when a site's first certificate has not been renewed for most of its life: 24 h ones are from 16 h on.
	soonForSites = time.Hour
	// soonForAgents is what is left when an agent's certificates have not been renewed for days: they live a week or more.
	soonForAgents = 24 * time.Hour
	// soonForTokens leaves an operator a week to make another one.
	soonForTokens = 7 * 24 * time.Hour
	// overdue is the part of a certificate's life that nobody lets begin: nodes renew theirs when a third is left.
	overdue = 4
	// rootNotice is how long before a root ends its successor should be announced.
	rootNotice = 180 * 24 * time.Hour
)

// certificates looks for what has ended or soon will, by the nodes' clocks.
func (d *diagnosis) certificates() {
	for _, n := range d.report.Nodes.Value() {
		if v := n.Self.Value().Certificate; v.Had() {
			life := v.Value().Until.Sub(v.Value().From)
			d.validity("node/"+n.Name, "its certificate", v.Value().Until, life/overdue, nil)
		}
	}
	for _, c := range d.report.Clusters.Value() {
		d.siteCertificates(c)
	}
	for _, r := range d.report.Roots.Value() {
		d.validity("trust-domain/"+r.TrustDomain, "its root "+r.Name, r.Until, rootNotice, d.ofTrustDomain(r.TrustDomain))
	}
}

// siteCertificates goes by what the agent says when it is asked, which names each holder, else by its last status, which names none.
func (d *diagnosis) siteCertificates(c Cluster) {
	if !c.Agent.Had() {
		if c.Status != nil && !c.Status.EarliestExpiry.IsZero() {
			d.validity("cluster/"+string(c.Name), "the first certificate of its proxies and agent", c.Status.EarliestExpiry, soonForSites, about(c))
		}
		return
	}
	for _, e := range c.Agent.Value().Certificates {
		proxy, isProxy := strings.CutPrefix(e.Of, "proxy ")
		switch {
		case isProxy:
			d.validity("proxy/"+string(c.Name)+"/"+proxy, "its certificate", e.Until, soonForSites, about(c))
		case e.Of == "ca":
			d.validity("trust-domain/"+c.TrustDomain, "its root", e.Until, rootNotice, about(c))
		default:
			d.validity("agent/"+string(c.Name), fmt.Sprintf("its certificate (%s)", e.Of), e.Until, soonForAgents, about(c))
		}
	}
}

func (d *diagnosis) validity(subject, what string, until time.Time, soon time.Duration, clusters []model.ClusterName) {
	left := until.Sub(d.now())
	end := until.UTC().Format(time.RFC3339)
	switch {
	case left <= 0:
		d.add(certificateExpired, subject, fmt.Sprintf("%s expired at %s, %s ago", what, end, round(-left)), clusters)
	case left < soon:
		d.add(certificateExpiring, subject, fmt.Sprintf("%s expires at %s, in %s", what, end, round(left)), clusters)
	}
}

func (d *diagnosis) ofTrustDomain(name string) []model.ClusterName {
	var out []model.ClusterName
	for _, c := range d.report.Clusters.Value() {
		if c.TrustDomain == name {
			out = append(out, c.Name)
		}
	}
	return out
}

// tokens looks at operators' tokens only: those for joining are meant to end soon.
func (d *diagnosis) tokens() {
	for _, t := range d.report.Tokens.Value() {
		if t.Kind != model.TokenOperator || t.Revoked || t.ExpiresAt.IsZero() {
			continue
		}
		subject, end := "token/"+t.ID, t.ExpiresAt.UTC().Format(time.RFC3339)
		whose := "the operator token"
		if t.Label != "" {
			whose += fmt.Sprintf(" of %q", t.Label)
		}
		switch left := t.ExpiresAt.Sub(d.now()); {
		case left <= 0:
			d.add(tokenExpired, subject, fmt.Sprintf("%s ended at %s", whose, end), nil)
		case left < soonForTokens && left < t.ExpiresAt.Sub(t.CreatedAt)/overdue:
			d.add(tokenExpiring, subject, fmt.Sprintf("%s ends at %s, in %s", whose, end, round(left)), nil)
		}
	}
}
