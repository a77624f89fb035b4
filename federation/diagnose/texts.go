package diagnose

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// What agents and nodes say in words has the form of these patterns; cmd/hanse tests that they keep to it. What matches none is passed on
// as it is.
var (
	heldText     = regexp.MustCompile(`services of cluster ([a-z0-9-]+) vanished at once`)
	ruleText     = regexp.MustCompile(`^service ([^ .]+)\.([^ ]+) is not exported: no export rule opens it`)
	scopeText    = regexp.MustCompile(`^service ([^ .]+)\.([^ ]+) is not exported: (the join token .*)$`)
	workloadText = regexp.MustCompile(`^workload ([^ ]+) is not exported: (.*)$`)
	gatewayText  = regexp.MustCompile(`^gateway ([^ ]+) is not published: (.*)$`)
	upstreamText = regexp.MustCompile(`^([^ ]+): upstream ([^ .]+)\.([^ ]+): (.*)$`)
	refusesText  = regexp.MustCompile(`^the federation refuses ([^ ]+): (.*)$`)
	importedText = regexp.MustCompile(`^([^ ]+) of ([a-z0-9-]+): (.*)$`)
	notUsedText  = regexp.MustCompile(`^service ([^ .]+)\.([^ ]+) of cluster "([^"]+)" is refused: (.*)$`)
	protocolText = regexp.MustCompile(`^port \d+ of service ([^ .]+)\.([^ ]+) is .* but .*: only those that say`)
	declaredText = regexp.MustCompile(`^service ([^ .]+)\.([^ :]+): workload [^ ]+ declares port`)
	avoidedText  = regexp.MustCompile(`^gateway ([^ ]+) of ([a-z0-9-]+) at .* (?:is unreachable since|has not answered yet)`)
	degradedText = regexp.MustCompile(`^the path to gateway [^ ]+ of ([a-z0-9-]+) at .* is degraded`)
	moreText     = regexp.MustCompile(`more gateways are avoided$`)
)

const (
	// notTheirs is how a node words that a cluster claims an identity of somebody else.
	notTheirs = "is not the cluster's to claim"
	// notKnownHere is how an agent words that a workload calls what nobody offers to its cluster.
	notKnownHere = "service is not known here"
)

// texts reads what agents say of their sites in words.
func (d *diagnosis) texts() {
	for _, c := range d.report.Clusters.Value() {
		if c.Status == nil {
			continue
		}
		for _, text := range c.Status.Dropped {
			if !d.exportText(c, text) && !d.importText(c, text) {
				d.add(siteProblem, "cluster/"+string(c.Name), text, about(c), text)
			}
		}
	}
}

// exportText reads what keeps a site's own workloads and gateways at home.
func (d *diagnosis) exportText(c Cluster, text string) bool {
	said := "said by the agent of " + string(c.Name)
	at := func(m []string) string { return serviceSubject(keyOf(m)) + "/" + string(c.Name) }
	if m := ruleText.FindStringSubmatch(text); m != nil {
		d.add(exportRuleMissing, at(m), noRule(c.Name), about(c), said)
	} else if m := scopeText.FindStringSubmatch(text); m != nil {
		d.add(namespaceClosed, at(m), "is not exported: "+m[3], about(c), said)
	} else if m := workloadText.FindStringSubmatch(text); m != nil {
		d.add(workloadUnexported, "proxy/"+string(c.Name)+"/"+m[1], "is not exported: "+m[2], about(c), said)
	} else if m := gatewayText.FindStringSubmatch(text); m != nil {
		d.add(gatewayUnpublished, "gateway/"+string(c.Name)+"/"+m[1], "is not published: "+m[2], about(c), said)
	} else if m := declaredText.FindStringSubmatch(text); m != nil {
		d.add(portConflict, serviceSubject(keyOf(m)), "workloads do not agree on its ports", about(c), text)
	} else if m := refusesText.FindStringSubmatch(text); m != nil {
		d.refusedRecord(string(c.Name)+"/"+m[1], m[2], about(c), text)
	} else {
		return false
	}
	return true
}

// importText reads what a site cannot use of others.
func (d *diagnosis) importText(c Cluster, text string) bool {
	if m := upstreamText.FindStringSubmatch(text); m != nil {
		d.upstream(c, m[1], keyOf(m[1:]), m[4])
	} else if m := protocolText.FindStringSubmatch(text); m != nil {
		d.add(portConflict, serviceSubject(keyOf(m)), "clusters do not agree which protocol its ports speak", about(c), text)
	} else if m := notUsedText.FindStringSubmatch(text); m != nil {
		d.refusedImport(c, m[3], model.RecordKey(keyOf(m)), m[4])
	} else if m := importedText.FindStringSubmatch(text); m != nil {
		d.refusedImport(c, m[2], m[1], m[3])
	} else {
		return d.avoided(c, text)
	}
	return true
}

// refusedImport notes that a cluster does not use another one's record.
func (d *diagnosis) refusedImport(c Cluster, origin, key, reason string) {
	d.refusedRecord(origin+"/"+key, reason, []model.ClusterName{model.ClusterName(origin), c.Name}, "refused by cluster "+string(c.Name))
}

// avoided reads what an agent avoids. Its own list, when it could be asked, says it better, and verdicts do of what is unreachable.
func (d *diagnosis) avoided(c Cluster, text string) bool {
	if m := degradedText.FindStringSubmatch(text); m != nil {
		if !c.Paths.Had() {
			d.degraded(c.Name, model.ClusterName(m[1]), text)
		}
		return true
	}
	if m := avoidedText.FindStringSubmatch(text); m != nil {
		if to := model.ClusterName(m[2]); !c.Paths.Had() && !d.report.Verdicts.Had() {
			d.addAs(Error, gatewayUnreachable, gatewayName{to, m[1]}.subject(), "is not reached by "+string(c.Name), []model.ClusterName{c.Name, to}, text)
		}
		return true
	}
	return moreText.MatchString(text)
}

// upstream tells a caller that the rules keep out from one that calls what is not there.
func (d *diagnosis) upstream(c Cluster, workload string, service model.ServiceKey, reason string) {
	subject := "proxy/" + string(c.Name) + "/" + workload
	if !strings.HasPrefix(reason, notKnownHere) {
		d.add(upstreamWrong, subject, fmt.Sprintf("cannot call %s: %s", service, reason), about(c))
		return
	}
	offered := false
	for _, s := range d.report.Services.Value() {
		if s.Service != service {
			continue
		}
		offered = true
		for _, o := range s.Offers {
			if o.Cluster != c.Name && !slices.Contains(o.Importers, c.Name) {
				d.add(callerDenied, subject, fmt.Sprintf("calls %s, but no export rule opens it to cluster %s", service, c.Name), about(c),
					fmt.Sprintf("cluster %s offers it to: %s", o.Cluster, names(o.Importers)))
			}
		}
	}
	if !offered {
		d.add(upstreamUnknown, subject, fmt.Sprintf("calls %s, which nobody offers", service), about(c))
	}
}

// keyOf reads NAME and NAMESPACE from the first two groups of a match.
func keyOf(m []string) model.ServiceKey { return model.ServiceKey{Name: m[1], Namespace: m[2]} }
