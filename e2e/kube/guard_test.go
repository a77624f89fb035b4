//go:build e2ekube

package kube

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// guarded is a namespace with a Service of a user, and two ways to its API server.
type guarded struct {
	t           *testing.T
	ctx         context.Context
	namespace   string
	user, agent kubernetes.Interface
}

// TestTheAgentWritesOnlyWhatIsItsOwn is what a stolen agent's token is worth: RBAC lets it write Services, the API server's policy says which.
func TestTheAgentWritesOnlyWhatIsItsOwn(t *testing.T) {
	m := world.members[0]
	config := rest.CopyConfig(m.Config)
	config.Impersonate.UserName = "system:serviceaccount:hanse-system:agent"
	agent, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(world.ctx, time.Minute)
	defer cancel()
	g := &guarded{t: t, ctx: ctx, namespace: fmt.Sprintf("guard-%d", time.Now().UnixNano()), user: m.Kube, agent: agent}
	if _, err := m.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: g.namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = m.Kube.CoreV1().Namespaces().Delete(context.Background(), g.namespace, metav1.DeleteOptions{})
	}()
	g.services()
	g.slices()
}

const managed = `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"hanse"}}}`

func (g *guarded) services() {
	users, agents := g.user.CoreV1().Services(g.namespace), g.agent.CoreV1().Services(g.namespace)
	service := func(name, manager string) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/managed-by": manager}},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		}
	}
	_, err := users.Create(g.ctx, service("web", "ann"), metav1.CreateOptions{})
	g.allowed("a user's own Service", err)
	_, err = agents.Create(g.ctx, service("derived-abc", "hanse"), metav1.CreateOptions{})
	g.allowed("a derived Service", err)
	_, err = agents.Create(g.ctx, service("derived-def", "ann"), metav1.CreateOptions{})
	g.refused("a Service without the agent's label", err)
	_, err = agents.Create(g.ctx, service("other", "hanse"), metav1.CreateOptions{})
	g.refused("a Service of another name", err)
	_, err = agents.Patch(g.ctx, "web", types.MergePatchType, []byte(`{"spec":{"selector":{"app":"mine"}}}`), metav1.PatchOptions{})
	g.refused("a user's Service, redirected", err)
	_, err = agents.Patch(g.ctx, "web", types.MergePatchType, []byte(managed), metav1.PatchOptions{})
	g.refused("a user's Service, taken over", err)
	g.refused("a user's Service, deleted", agents.Delete(g.ctx, "web", metav1.DeleteOptions{}))
	_, err = users.Patch(g.ctx, "derived-abc", types.MergePatchType, []byte(`{"metadata":{"labels":null}}`), metav1.PatchOptions{})
	g.allowed("a user, who takes the label away", err)
	_, err = agents.Patch(g.ctx, "derived-abc", types.MergePatchType, []byte(managed), metav1.PatchOptions{})
	g.allowed("the agent, which puts it back", err)
	g.allowed("a derived Service, deleted", agents.Delete(g.ctx, "derived-abc", metav1.DeleteOptions{}))
}

func (g *guarded) slices() {
	users, agents := g.user.DiscoveryV1().EndpointSlices(g.namespace), g.agent.DiscoveryV1().EndpointSlices(g.namespace)
	slice := func(name, manager, service string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelManagedBy: manager, discoveryv1.LabelServiceName: service}},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.1"}}},
		}
	}
	_, err := users.Create(g.ctx, slice("web-1", "ann", "web"), metav1.CreateOptions{})
	g.allowed("a user's own slice", err)
	_, err = agents.Create(g.ctx, slice("derived-abc-1", "hanse", "derived-abc"), metav1.CreateOptions{})
	g.allowed("a slice of a derived Service", err)
	_, err = agents.Create(g.ctx, slice("web-2", "hanse", "web"), metav1.CreateOptions{})
	g.refused("a slice that adds endpoints to a user's Service", err)
	_, err = agents.Patch(g.ctx, "web-1", types.MergePatchType, []byte(`{"metadata":{"labels":{"`+discoveryv1.LabelManagedBy+`":"hanse","`+
		discoveryv1.LabelServiceName+`":"derived-abc"}}}`), metav1.PatchOptions{})
	g.refused("a user's slice, taken over", err)
	g.refused("a user's slice, deleted", agents.Delete(g.ctx, "web-1", metav1.DeleteOptions{}))
	g.allowed("its own slice, deleted", agents.Delete(g.ctx, "derived-abc-1", metav1.DeleteOptions{}))
}

func (g *guarded) allowed(what string, err error) {
	g.t.Helper()
	if err != nil {
		g.t.Errorf("%s: %v", what, err)
	}
}

func (g *guarded) refused(what string, err error) {
	g.t.Helper()
	if err == nil || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'hanse-agent'") {
		g.t.Errorf("%s: %v", what, err)
	}
}
