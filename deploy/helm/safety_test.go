package helm

import (
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// typed is an object as Kubernetes reads it; a field that it does not know is an error.
func typed(t *testing.T, o *unstructured.Unstructured) runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionv1.AddToScheme, appsv1.AddToScheme, corev1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	out, err := scheme.New(o.GroupVersionKind())
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, out, true)
	}
	if err != nil {
		t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
	}
	return out
}

// workload is what the tests look at of a Deployment or StatefulSet.
type workload struct {
	name     string
	replicas int32
	selector *metav1.LabelSelector
	pod      corev1.PodTemplateSpec
}

func (w workload) proxy() bool { return w.name == "hanse-gateway" || w.name == "hanse-egress" }

func workloads(t *testing.T, objects []*unstructured.Unstructured) []workload {
	t.Helper()
	var out []workload
	for _, o := range objects {
		switch v := typed(t, o).(type) {
		case *appsv1.Deployment:
			out = append(out, workload{v.Name, *v.Spec.Replicas, v.Spec.Selector, v.Spec.Template})
		case *appsv1.StatefulSet:
			out = append(out, workload{v.Name, *v.Spec.Replicas, v.Spec.Selector, v.Spec.Template})
		}
	}
	return out
}

// everyWorkload calls a function for each workload of each case.
func everyWorkload(t *testing.T, each func(t *testing.T, w workload)) {
	seen := 0
	for _, name := range cases {
		for _, w := range workloads(t, rendered(t, name)) {
			seen++
			t.Run(name+"/"+w.name, func(t *testing.T) { each(t, w) })
		}
	}
	if seen != 4+5+1 {
		t.Errorf("looked at %d workloads", seen)
	}
}

// The rules of Kubernetes' own restricted profile, a root file system that nobody writes to, and no token that is not needed.
func TestNoPodHasPrivileges(t *testing.T) {
	everyWorkload(t, func(t *testing.T, w workload) {
		pod := w.pod.Spec
		if pod.HostNetwork || pod.HostPID || pod.HostIPC || pod.ShareProcessNamespace != nil {
			t.Error("shares the node's namespaces")
		}
		s := pod.SecurityContext
		if !*s.RunAsNonRoot || *s.RunAsUser == 0 || *s.RunAsGroup == 0 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("pod: %+v", s)
		}
		if *pod.EnableServiceLinks {
			t.Error("Kubernetes adds variables that are taken for flags")
		}
		if mounted := *pod.AutomountServiceAccountToken; mounted != (w.name == "hanse-agent" || w.name == "hanse-dns") {
			t.Errorf("has a token for the API server: %t", mounted)
		}
		for _, v := range pod.Volumes {
			if v.EmptyDir == nil && v.Projected == nil && v.Secret == nil {
				t.Errorf("volume %s is of a kind that nobody decided about", v.Name)
			}
		}
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			s := c.SecurityContext
			if *s.AllowPrivilegeEscalation || *s.Privileged || !*s.ReadOnlyRootFilesystem || !*s.RunAsNonRoot || len(s.Capabilities.Add) > 0 ||
				!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || s.SeccompProfile != nil || s.RunAsUser != nil {
				t.Errorf("container %s: %+v", c.Name, s)
			}
			for _, p := range c.Ports {
				if p.HostPort != 0 || p.ContainerPort < 1024 {
					t.Errorf("container %s: port %+v", c.Name, p)
				}
			}
			if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("container %s: %+v", c.Name, c.Resources)
			}
		}
	})
}

func TestProbesAskTheHealthPort(t *testing.T) {
	everyWorkload(t, func(t *testing.T, w workload) {
		for _, c := range w.pod.Spec.Containers {
			for path, probe := range map[string]*corev1.Probe{"/readyz": c.ReadinessProbe, "/healthz": c.LivenessProbe} {
				if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.StrVal != "health" {
					t.Errorf("%s: %+v", path, probe)
				}
			}
			if !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == "health" }) {
				t.Error("no port is called health")
			}
			bound := slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, "--health-listen=[$(POD_IP)]:") }) ||
				slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
					return e.Name == "HANSE_HEALTH_LISTEN" && strings.HasPrefix(e.Value, "[$(POD_IP)]:")
				})
			if !bound {
				t.Error("the kubelet does not reach the health port, or more than it does")
			}
		}
	})
}

// One pod of several may go, and they stand apart. The only one of its kind must not keep a node from being emptied.
func TestDisruptionsAreBounded(t *testing.T) {
	for _, name := range cases {
		objects := rendered(t, name)
		budgets := map[string]*policyv1.PodDisruptionBudget{}
		for _, o := range objects {
			if b, ok := typed(t, o).(*policyv1.PodDisruptionBudget); ok {
				budgets[b.Name] = b
			}
		}
		for _, w := range workloads(t, objects) {
			b := budgets[w.name]
			if (b != nil) != (w.replicas > 1) {
				t.Errorf("%s: %s with %d replicas: budget %v", name, w.name, w.replicas, b)
			}
			if b == nil {
				continue
			}
			selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
			if err != nil || !selector.Matches(labels.Set(w.pod.Labels)) || b.Spec.MaxUnavailable.IntVal != 1 {
				t.Errorf("%s: %s: %+v (%v)", name, w.name, b.Spec, err)
			}
			if spread := w.pod.Spec.TopologySpreadConstraints; len(spread) != 2 || spread[0].LabelSelector.MatchLabels["app.kubernetes.io/component"] == "" {
				t.Errorf("%s: %s: %+v", name, w.name, spread)
			}
		}
	}
}

// A drain that Kubernetes cuts short fails calls.
func TestProxiesHaveTimeToDrain(t *testing.T) {
	want := map[string]map[string]int64{
		"cluster":    {"hanse-gateway": 30, "hanse-egress": 30},
		"everything": {"hanse-gateway": 120, "hanse-egress": 0},
	}
	for name, drains := range want {
		for _, w := range workloads(t, rendered(t, name)) {
			if drain, proxy := drains[w.name]; proxy && *w.pod.Spec.TerminationGracePeriodSeconds < drain+10 {
				t.Errorf("%s: %s: %d s for a drain of %d s", name, w.name, *w.pod.Spec.TerminationGracePeriodSeconds, drain)
			}
		}
	}
}

// A proxy shows its token to the agent alone, and believes the agent's roots.
func TestProxiesProveThemselvesToTheAgent(t *testing.T) {
	everyWorkload(t, func(t *testing.T, w workload) {
		var tokens []*corev1.ServiceAccountTokenProjection
		for _, v := range w.pod.Spec.Volumes {
			if v.Projected == nil {
				continue
			}
			for _, s := range v.Projected.Sources {
				if s.ServiceAccountToken != nil {
					tokens = append(tokens, s.ServiceAccountToken)
				}
				if s.ConfigMap != nil && (s.ConfigMap.Name != "hanse-roots" || s.ConfigMap.Optional != nil) {
					t.Errorf("roots: %+v", s.ConfigMap)
				}
			}
		}
		if !w.proxy() {
			if len(tokens) > 0 {
				t.Error("has a token that it does not need")
			}
			return
		}
		if len(tokens) != 1 || tokens[0].Audience != "hanse" || *tokens[0].ExpirationSeconds > 3600 {
			t.Errorf("tokens: %+v", tokens)
		}
		if account := w.pod.Spec.ServiceAccountName; "hanse-"+account != w.name {
			t.Errorf("runs as %s: the name is part of what others let in", account)
		}
	})
}
