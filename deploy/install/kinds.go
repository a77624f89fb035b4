package install

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/hanse-mesh/hanse/deploy/helm"
)

// kind is where the API server keeps the objects of a kind.
type kind struct {
	name          string
	group         string
	resource      string
	clusterScoped bool
}

// installed are the kinds of what the chart makes, in the order of creation.
var installed = []kind{
	{name: "Namespace", resource: "namespaces", clusterScoped: true},
	{name: "CustomResourceDefinition", group: "apiextensions.k8s.io", resource: "customresourcedefinitions", clusterScoped: true},
	{name: "ServiceAccount", resource: "serviceaccounts"},
	{name: "Secret", resource: "secrets"},
	{name: "ClusterRole", group: "rbac.authorization.k8s.io", resource: "clusterroles", clusterScoped: true},
	{name: "ClusterRoleBinding", group: "rbac.authorization.k8s.io", resource: "clusterrolebindings", clusterScoped: true},
	{name: "Role", group: "rbac.authorization.k8s.io", resource: "roles"},
	{name: "RoleBinding", group: "rbac.authorization.k8s.io", resource: "rolebindings"},
	{name: "ValidatingAdmissionPolicy", group: "admissionregistration.k8s.io", resource: "validatingadmissionpolicies", clusterScoped: true},
	{name: "ValidatingAdmissionPolicyBinding", group: "admissionregistration.k8s.io", resource: "validatingadmissionpolicybindings", clusterScoped: true},
	{name: "PodDisruptionBudget", group: "policy", resource: "poddisruptionbudgets"},
	{name: "Service", resource: "services"},
	{name: "Deployment", group: "apps", resource: "deployments"},
	{name: "StatefulSet", group: "apps", resource: "statefulsets"},
}

// kinds are those of installed that the cluster knows.
func (f Found) kinds() []kind {
	if len(f.APIs) > 0 {
		return installed
	}
	return slices.DeleteFunc(slices.Clone(installed), func(k kind) bool { return strings.HasPrefix(k.name, "ValidatingAdmissionPolicy") })
}

// others are kinds that are only read or edited.
var others = []kind{
	{name: "ConfigMap", resource: "configmaps"},
	{name: "PersistentVolumeClaim", resource: "persistentvolumeclaims"},
}

func kindNamed(name string) (kind, bool) {
	for _, table := range [][]kind{installed, others} {
		for _, k := range table {
			if k.name == name {
				return k, true
			}
		}
	}
	return kind{}, false
}

func (k kind) gvr() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.group, Version: "v1", Resource: k.resource}
}

// place is the namespace of an installed object of the kind.
func (k kind) place() string {
	if k.clusterScoped {
		return ""
	}
	return helm.Namespace
}

// kindOf finds an object's kind. The chart makes no others: a test holds it to that.
func kindOf(o *unstructured.Unstructured) (kind, error) {
	k, ok := kindNamed(o.GetKind())
	if !ok || o.GroupVersionKind().Group != k.group || o.GroupVersionKind().Version != "v1" {
		return kind{}, fmt.Errorf("objects of kind %s %s are not known here", o.GetAPIVersion(), o.GetKind())
	}
	return k, nil
}

// of is the objects of a kind that is in the tables.
func (i *Installer) of(name, namespace string) dynamic.ResourceInterface {
	k, _ := kindNamed(name)
	return i.in(k, namespace)
}

func (i *Installer) in(k kind, namespace string) dynamic.ResourceInterface {
	if k.clusterScoped {
		return i.Objects.Resource(k.gvr())
	}
	return i.Objects.Resource(k.gvr()).Namespace(namespace)
}
