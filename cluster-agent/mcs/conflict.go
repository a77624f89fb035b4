package mcs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

// The bounds of a Conflict condition's message; the API server refuses one of more than 32 KiB.
const (
	maxDiffering = 8
	maxMessage   = 4 << 10
)

// difference is one property in which an export differs from the one that decides.
type difference struct {
	reason mcsv1beta1.ServiceExportConditionReason
	// text says what the export has, and what it should have.
	text string
}

// conflicts compares every export with the first. The reasons are in a fixed order, each once; the message names the winner and the others.
func conflicts(exports []Remote, merged []MergedPort) ([]string, string) {
	winner := exports[0]
	found := map[mcsv1beta1.ServiceExportConditionReason]bool{}
	var clauses []string
	for _, e := range exports[1:] {
		var texts []string
		for _, d := range differences(winner, e, merged) {
			found[d.reason] = true
			texts = append(texts, d.text)
		}
		if len(texts) > 0 {
			clauses = append(clauses, fmt.Sprintf("cluster %s has %s", e.Cluster, strings.Join(texts, ", ")))
		}
	}
	if len(clauses) == 0 {
		return nil, ""
	}
	var reasons []string
	for _, r := range reasonOrder {
		if found[r] {
			reasons = append(reasons, string(r))
		}
	}
	if more := len(clauses) - maxDiffering; more > 0 {
		clauses = append(clauses[:maxDiffering], fmt.Sprintf("%d more clusters differ", more))
	}
	message := fmt.Sprintf("the export of cluster %s of %s is the oldest and decides: %s", winner.Cluster,
		winner.Export.CreatedAt.UTC().Format(time.RFC3339), strings.Join(clauses, "; "))
	return reasons, shorten(message, maxMessage)
}

// reasonOrder is how reasons are joined.
var reasonOrder = []mcsv1beta1.ServiceExportConditionReason{
	mcsv1beta1.ServiceExportReasonPortConflict, mcsv1beta1.ServiceExportReasonTypeConflict,
	mcsv1beta1.ServiceExportReasonSessionAffinityConflict, mcsv1beta1.ServiceExportReasonSessionAffinityConfigConflict,
	mcsv1beta1.ServiceExportReasonInternalTrafficPolicyConflict, mcsv1beta1.ServiceExportReasonTrafficDistributionConflict,
	mcsv1beta1.ServiceExportReasonIPFamilyConflict, mcsv1beta1.ServiceExportReasonLabelsConflict,
	mcsv1beta1.ServiceExportReasonAnnotationsConflict,
}

// differences says in what an export conflicts with the winner.
func differences(first, other Remote, merged []MergedPort) []difference {
	winner, e := first.Export, other.Export
	var out []difference
	differ := func(reason mcsv1beta1.ServiceExportConditionReason, what, has, wins string) {
		if has != wins {
			out = append(out, difference{reason, fmt.Sprintf("%s %s instead of %s", what, has, wins)})
		}
	}
	if d, ok := portDifference(winner, e, merged); ok {
		out = append(out, d)
	}
	if first.StandIn || other.StandIn {
		return out
	}
	differ(mcsv1beta1.ServiceExportReasonTypeConflict, "type", string(importType(e)), string(importType(winner)))
	differ(mcsv1beta1.ServiceExportReasonSessionAffinityConflict, "session affinity", affinity(e), affinity(winner))
	if affinity(e) == affinity(winner) && affinity(e) == clientIP {
		differ(mcsv1beta1.ServiceExportReasonSessionAffinityConfigConflict, "session affinity of", seconds(e), seconds(winner))
	}
	differ(mcsv1beta1.ServiceExportReasonInternalTrafficPolicyConflict, "internal traffic policy", trafficPolicy(e), trafficPolicy(winner))
	differ(mcsv1beta1.ServiceExportReasonTrafficDistributionConflict, "traffic distribution", distribution(e), distribution(winner))
	// A service with addresses of its own is reached in both families whatever its backends have: gateways stand between. A headless one's
	// callers reach only the backends of their own family.
	if winner.Headless && e.Headless {
		differ(mcsv1beta1.ServiceExportReasonIPFamilyConflict, "IP families", familyText(e), familyText(winner))
	}
	if keys := differingKeys(winner.Labels, e.Labels); keys != "" {
		out = append(out, difference{mcsv1beta1.ServiceExportReasonLabelsConflict, "other exported labels (" + keys + ")"})
	}
	if keys := differingKeys(winner.Annotations, e.Annotations); keys != "" {
		out = append(out, difference{mcsv1beta1.ServiceExportReasonAnnotationsConflict, "other exported annotations (" + keys + ")"})
	}
	return out
}

// portDifference compares the ports as sets, and says which of e's are not served.
func portDifference(winner, e model.ServiceExport, merged []MergedPort) (difference, bool) {
	has, wins := portTexts(e.Ports), portTexts(winner.Ports)
	if slices.Equal(has, wins) {
		return difference{}, false
	}
	text := fmt.Sprintf("ports %s instead of %s", orNone(has), orNone(wins))
	var lost []string
	for _, p := range e.Ports {
		if !slices.ContainsFunc(merged, func(m MergedPort) bool { return m.is(p) }) {
			lost = append(lost, portText(p))
		}
	}
	if len(lost) > 0 {
		text += " (not served: " + strings.Join(lost, " ") + ")"
	}
	return difference{mcsv1beta1.ServiceExportReasonPortConflict, text}, true
}

func portTexts(ports []model.Port) []string {
	sorted := slices.Clone(ports)
	slices.SortFunc(sorted, model.Port.Compare)
	out := make([]string, len(sorted))
	for i, p := range sorted {
		out[i] = portText(p)
	}
	return out
}

func portText(p model.Port) string {
	text := fmt.Sprintf("%d/%s", p.Number, transport(p))
	if p.Name != "" {
		text = p.Name + ":" + text
	}
	if p.AppProtocol != "" {
		text += "(" + p.AppProtocol + ")"
	}
	return text
}

func orNone(texts []string) string {
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, " ")
}

// differingKeys lists the keys that do not have one value in both.
func differingKeys(a, b map[string]string) string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		x, inA := a[k]
		if y, inB := b[k]; inA != inB || x != y {
			out = append(out, k)
		}
	}
	return strings.Join(out, ", ")
}

func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
