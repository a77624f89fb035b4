package apply

import (
	"crypto/sha256"
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// digest stands for the content of the fields that the agent writes.
type digest [16]byte

// digestOf hashes the JSON form, which has no pointers and sorts maps. What the API has can be encoded: the error is never set.
func digestOf(v any) digest {
	text, _ := json.Marshal(v)
	sum := sha256.Sum256(text)
	return digest(sum[:16])
}

// serviceDigest leaves out what the API server chooses.
func serviceDigest(s *corev1.Service) digest {
	ports := slices.Clone(s.Spec.Ports)
	for i := range ports {
		ports[i].NodePort = 0
	}
	return digestOf([]any{s.Labels, corev1.ServiceSpec{
		Type: s.Spec.Type, Ports: ports, IPFamilies: s.Spec.IPFamilies, IPFamilyPolicy: s.Spec.IPFamilyPolicy,
		SessionAffinity: s.Spec.SessionAffinity, SessionAffinityConfig: s.Spec.SessionAffinityConfig,
		InternalTrafficPolicy: s.Spec.InternalTrafficPolicy,
	}})
}

func sliceDigest(s *discoveryv1.EndpointSlice) digest {
	return digestOf([]any{s.Labels, s.AddressType, orEmpty(s.Endpoints), orEmpty(s.Ports)})
}

func importDigest(i *mcsv1beta1.ServiceImport) digest {
	return digestOf([]any{orNone(i.Labels), orNone(i.Annotations), i.Spec})
}

func importStatusDigest(i *mcsv1beta1.ServiceImport) digest {
	return digestOf([]any{i.Status.EndpointSliceObjects, orEmpty(i.Status.Clusters), timeless(own(i.Status.Conditions, importConditions))})
}

func conditionsDigest(c []metav1.Condition) digest {
	return digestOf(timeless(own(c, exportConditions)))
}

// The conditions that are the agent's; others may keep more on the same objects.
var (
	importConditions = []string{string(mcsv1beta1.ServiceImportConditionReady)}
	exportConditions = []string{string(mcsv1beta1.ServiceExportConditionValid), string(mcsv1beta1.ServiceExportConditionReady),
		string(mcsv1beta1.ServiceExportConditionConflict)}
)

// own returns the conditions of the given types, in their order.
func own(all []metav1.Condition, kinds []string) []metav1.Condition {
	out := []metav1.Condition{}
	for _, t := range kinds {
		for _, c := range all {
			if c.Type == t {
				out = append(out, c)
			}
		}
	}
	return out
}

// timeless takes the times away: when a condition changed does not make it another one.
func timeless(all []metav1.Condition) []metav1.Condition {
	out := slices.Clone(all)
	for i := range out {
		out[i].LastTransitionTime = metav1.Time{}
	}
	return out
}

// orEmpty makes nil and empty lists alike.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// orNone makes nil and empty maps alike.
func orNone(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
