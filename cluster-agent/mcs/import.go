package mcs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

// serviceImport is the ServiceImport with its status.
func (s *service) serviceImport(at metav1.Time) *mcsv1beta1.ServiceImport {
	ips, families := s.addresses()
	w := s.Winner
	out := &mcsv1beta1.ServiceImport{
		TypeMeta:   metav1.TypeMeta{APIVersion: mcsv1beta1.GroupVersion.String(), Kind: mcsv1beta1.ServiceImportKindName},
		ObjectMeta: metav1.ObjectMeta{Namespace: s.key.Namespace, Name: s.key.Name, Labels: s.labels(), Annotations: s.annotations()},
		Spec: mcsv1beta1.ServiceImportSpec{
			Ports: s.importPorts(), IPs: ips, IPFamilies: families, Type: importType(w), SessionAffinity: corev1.ServiceAffinity(w.SessionAffinity),
			InternalTrafficPolicy: optional(corev1.ServiceInternalTrafficPolicy(w.InternalTrafficPolicy)),
			TrafficDistribution:   optional(w.TrafficDistribution),
		},
		Status: mcsv1beta1.ServiceImportStatus{
			EndpointSliceObjects: mcsv1beta1.EndpointSliceObjectsAbsent, Conditions: []metav1.Condition{s.importReady(ips, families, at)},
		},
	}
	if w.SessionAffinity == clientIP && w.AffinityTimeout > 0 {
		out.Spec.SessionAffinityConfig = affinityConfig(w.AffinityTimeout)
	}
	if s.facts.EndpointSlices {
		out.Status.EndpointSliceObjects = mcsv1beta1.EndpointSliceObjectsPresent
	}
	for _, c := range slices.Sorted(slices.Values(s.Clusters)) {
		out.Status.Clusters = append(out.Status.Clusters, mcsv1beta1.ClusterStatus{Cluster: string(c)})
	}
	return out
}

// addresses returns what the API server gave the derived Service, whole or not at all; of a headless service the families that it has here.
func (s *service) addresses() ([]string, []corev1.IPFamily) {
	if s.Winner.Headless {
		return nil, s.headlessFamilies()
	}
	d := s.facts.Derived[s.key]
	if len(d.ClusterIPs) != len(d.IPFamilies) {
		return nil, nil
	}
	families := make([]corev1.IPFamily, len(d.ClusterIPs))
	for i, ip := range d.ClusterIPs {
		if families[i] = familyOf(ip); families[i] == "" || string(families[i]) != d.IPFamilies[i] {
			return nil, nil
		}
	}
	return d.ClusterIPs, families
}

// headlessFamilies leaves out what this cluster's pods cannot reach.
func (s *service) headlessFamilies() []corev1.IPFamily {
	var out []corev1.IPFamily
	for _, f := range s.IPFamilies {
		if len(s.facts.Families) == 0 || slices.Contains(s.facts.Families, string(f)) {
			out = append(out, corev1.IPFamily(f))
		}
	}
	return out
}

func (s *service) importReady(ips []string, families []corev1.IPFamily, at metav1.Time) metav1.Condition {
	c := metav1.Condition{Type: string(mcsv1beta1.ServiceImportConditionReady), Status: metav1.ConditionTrue, LastTransitionTime: at,
		Reason: string(mcsv1beta1.ServiceImportReasonReady), Message: "imported from " + clusterList(s.Clusters)}
	pending := func(reason mcsv1beta1.ServiceImportConditionReason, format string, args ...any) {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(reason), fmt.Sprintf(format, args...)
	}
	switch {
	case s.Winner.Headless && len(families) == 0:
		pending(mcsv1beta1.ServiceImportReasonIPFamilyNotSupported, "its endpoints have %s addresses, this cluster's services %s: nothing here can reach them",
			familyText(model.ServiceExport{IPFamilies: s.IPFamilies}), strings.Join(s.facts.Families, "+"))
	case s.Winner.Headless:
		c.Message += "; names lead to the endpoints' own addresses, which answer where the clusters' pod networks are routed to each other"
	case s.derived == nil:
		pending(mcsv1beta1.ServiceImportReasonPending, "none of its ports has an egress port yet")
	case len(ips) == 0:
		pending(mcsv1beta1.ServiceImportReasonPending, "waiting for the addresses of Service %s: if none is made, look at the agent's log", DerivedName(s.key))
	}
	return c
}

// maxListed bounds the clusters that a message names.
const maxListed = 8

func clusterList(clusters []model.ClusterName) string {
	names := make([]string, 0, maxListed)
	for _, c := range slices.Sorted(slices.Values(clusters)) {
		if len(names) == maxListed {
			return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), len(clusters)-maxListed)
		}
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}

// importPorts is never nil: the field must be there even when a headless service has no port.
func (s *service) importPorts() []mcsv1beta1.ServicePort {
	out := make([]mcsv1beta1.ServicePort, len(s.Ports))
	for i, p := range s.Ports {
		out[i] = mcsv1beta1.ServicePort{Name: p.Name, Protocol: transport(p.Port), AppProtocol: optional(p.AppProtocol), Port: int32(p.Number)}
	}
	return out
}

// labels are the exported ones; the agent's own wins over one of its name.
func (s *service) labels() map[string]string {
	out := map[string]string{}
	maps.Copy(out, s.Winner.Labels)
	out[LabelManagedBy] = Manager
	return out
}

func (s *service) annotations() map[string]string {
	out := maps.Clone(s.Winner.Annotations)
	if s.Winner.Headless {
		return out
	}
	if out == nil {
		out = map[string]string{}
	}
	out[AnnotationDerived] = DerivedName(s.key)
	return out
}

func affinityConfig(seconds int32) *corev1.SessionAffinityConfig {
	return &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
}
