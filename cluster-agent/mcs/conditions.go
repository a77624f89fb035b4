package mcs

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

// exportConditions are the conditions of a ServiceExport. merged is nil when the export is part of no merged service.
func exportConditions(cluster model.ClusterName, e LocalExport, merged *Merged, at metav1.Time) []metav1.Condition {
	out := []metav1.Condition{validCondition(e), readyCondition(cluster, e), conflictCondition(merged)}
	for i := range out {
		out[i].ObservedGeneration, out[i].LastTransitionTime = e.Generation, at
	}
	return KeepTransitions(e.Conditions, out)
}

// KeepTransitions returns the wanted conditions, each with the time of the present one of its type if that has the same status.
func KeepTransitions(present, wanted []metav1.Condition) []metav1.Condition {
	out := slices.Clone(wanted)
	for i := range out {
		for _, p := range present {
			if p.Type == out[i].Type && p.Status == out[i].Status && !p.LastTransitionTime.IsZero() {
				out[i].LastTransitionTime = p.LastTransitionTime
			}
		}
	}
	return out
}

func validCondition(e LocalExport) metav1.Condition {
	c := metav1.Condition{Type: string(mcsv1beta1.ServiceExportConditionValid), Status: metav1.ConditionFalse, Reason: e.Invalid}
	switch {
	case e.valid():
		c.Status, c.Reason = metav1.ConditionTrue, string(mcsv1beta1.ServiceExportReasonValid)
		c.Message = "the Service can be exported"
	case e.Invalid == string(mcsv1beta1.ServiceExportReasonInvalidServiceType):
		c.Message = "a Service of type ExternalName has no endpoints to export: make one in each cluster instead"
	default:
		c.Reason = string(mcsv1beta1.ServiceExportReasonNoService)
		c.Message = "there is no Service " + e.Service.Name + " in namespace " + e.Service.Namespace + ": create it, or delete the ServiceExport"
	}
	return c
}

func readyCondition(cluster model.ClusterName, e LocalExport) metav1.Condition {
	c := metav1.Condition{Type: string(mcsv1beta1.ServiceExportConditionReady), Status: metav1.ConditionFalse}
	switch {
	case e.counts():
		c.Status, c.Reason = metav1.ConditionTrue, string(mcsv1beta1.ServiceExportReasonExported)
		c.Message = "exported by cluster " + string(cluster) + uncarried(*e.Export)
	case e.valid():
		c.Reason, c.Message = string(mcsv1beta1.ServiceExportReasonFailed), shorten("the federation does not let it out: "+e.Refused, maxMessage)
	case e.Invalid == string(mcsv1beta1.ServiceExportReasonInvalidServiceType):
		c.Reason, c.Message = string(mcsv1beta1.ServiceExportReasonFailed), "the Service cannot be exported: see the condition Valid"
	default:
		c.Reason, c.Message = string(mcsv1beta1.ServiceExportReasonPending), "waiting for the Service"
	}
	return c
}

// uncarried warns of ports that importers see and cannot call.
func uncarried(e model.ServiceExport) string {
	var out []string
	for _, p := range e.Ports {
		if !p.Protocol.Carried() {
			out = append(out, portText(p))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "; imported, but not carried between clusters: " + strings.Join(out, " ")
}

// conflictCondition is the same on all exports of a service: each cluster's users see it, whoever of them differs.
func conflictCondition(merged *Merged) metav1.Condition {
	c := metav1.Condition{Type: string(mcsv1beta1.ServiceExportConditionConflict), Status: metav1.ConditionFalse,
		Reason: string(mcsv1beta1.ServiceExportReasonNoConflicts)}
	switch {
	case merged == nil:
		c.Message = "the export is not part of the service"
	case len(merged.Conflicts) == 0:
		c.Message = "all exports agree: those of " + clusterList(merged.Clusters)
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, strings.Join(merged.Conflicts, ","), merged.Message
	}
	return c
}

// valid reports whether the Service can be exported.
func (e LocalExport) valid() bool { return e.Invalid == "" && e.Export != nil }
