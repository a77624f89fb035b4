package helm

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// kinds is the order of creation: what others refer to comes first. Removal goes the other way.
var kinds = []string{
	"Namespace", "CustomResourceDefinition", "ServiceAccount", "Secret", "ConfigMap", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
	"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "PodDisruptionBudget", "Service", "Deployment", "StatefulSet",
}

func inOrder(a, b *unstructured.Unstructured) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.GetKind(), b.GetKind()), cmp.Compare(a.GetName(), b.GetName()))
}

// rank puts a kind that is not in the table behind all that are.
func rank(o *unstructured.Unstructured) int {
	if i := slices.Index(kinds, o.GetKind()); i >= 0 {
		return i
	}
	return len(kinds)
}
