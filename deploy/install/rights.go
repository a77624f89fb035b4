package install

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/deploy/helm"
)

// ErrDenied is what an error is when the operator lacks rights in the cluster.
var ErrDenied = errors.New("not allowed")

// right is one thing that the operator must be allowed to do.
type right struct {
	verb, group, resource, namespace, name string
}

// object is what the right is about.
func (r right) object() string {
	what := strings.TrimSuffix(r.resource+"."+r.group, ".")
	if r.name != "" {
		what += " " + r.name
	}
	if r.namespace != "" {
		what += " in " + r.namespace
	}
	return what
}

// check asks the API server about each right, and names all that are missing at once.
func (i *Installer) check(ctx context.Context, rights []right) error {
	var missing []right
	asked := map[right]bool{}
	for _, r := range rights {
		if asked[r] {
			continue
		}
		asked[r] = true
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: r.verb, Group: r.group, Resource: r.resource, Namespace: r.namespace, Name: r.name},
		}}
		answer, err := i.Cluster.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("ask the API server what you may do: %w", err)
		}
		if !answer.Status.Allowed {
			missing = append(missing, r)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: in this cluster you may not\n%sask for these rights, or use a kubeconfig that has them (cluster-admin has)",
			ErrDenied, list(missing))
	}
	return nil
}

// list has a line for each object, with the verbs before it.
func list(rights []right) string {
	verbs := map[string][]string{}
	var objects []string
	for _, r := range rights {
		if verbs[r.object()] == nil {
			objects = append(objects, r.object())
		}
		verbs[r.object()] = append(verbs[r.object()], r.verb)
	}
	var b strings.Builder
	for _, o := range objects {
		fmt.Fprintf(&b, "  %s %s\n", strings.Join(verbs[o], ", "), o)
	}
	return b.String()
}

// toLook are the rights without which nothing can be said about a cluster.
func toLook(f Found) []right {
	var out []right
	for _, k := range f.kinds() {
		out = append(out, right{"get", k.group, k.resource, k.place(), ""}, right{"list", k.group, k.resource, k.place(), ""})
	}
	return append(out, right{"list", "", "pods", helm.Namespace, ""})
}

// toApply are the rights that applying a plan needs.
func (p Plan) toApply() []right {
	var out []right
	for _, s := range p.Steps {
		k, _ := kindNamed(s.Kind)
		switch s.Action {
		case Create:
			out = append(out, right{"create", k.group, k.resource, s.Namespace, ""}, right{"patch", k.group, k.resource, s.Namespace, ""})
		case Change:
			out = append(out, right{"patch", k.group, k.resource, s.Namespace, ""})
		case Remove:
			out = append(out, right{"delete", k.group, k.resource, s.Namespace, ""})
		}
	}
	return out
}
