package main

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/deploy/helm"
)

// chart is everything that the chart can install.
func chart(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	objects, err := helm.Render(helm.Options{KubeVersion: "v1.36.3", Values: map[string]any{
		"cluster": "eu", "region": "eu", "server": map[string]any{"enabled": true}, "agent": map[string]any{"servers": []any{"n1.example.org:7700"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// inPod fills in what a pod is told of itself.
var inPod = strings.NewReplacer("$(POD_NAME)", "hanse-server-0", "$(POD_IP)", "fd00::7", "$(POD_NAMESPACE)", model.SystemNamespace)

// The chart's command lines and variables are flags of this binary, with values that they take.
func TestTheChartsContainersAreGoodUsage(t *testing.T) {
	seen := 0
	for _, o := range chart(t) {
		var pod corev1.PodTemplateSpec
		template, found, _ := unstructured.NestedMap(o.Object, "spec", "template")
		if !found {
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, &pod); err != nil {
			t.Fatal(err)
		}
		for _, c := range pod.Spec.Containers {
			seen++
			t.Run(c.Name, func(t *testing.T) { goodUsage(t, c) })
		}
	}
	if seen != 5 {
		t.Errorf("%d containers", seen)
	}
}

func goodUsage(t *testing.T, c corev1.Container) {
	args := make([]string, 0, len(c.Args))
	for _, a := range c.Args {
		args = append(args, inPod.Replace(a))
	}
	cmd, flags, err := newRootCommand().Find(args)
	if err != nil || cmd.Name() != args[0] {
		t.Fatalf("%q: %v", args, err)
	}
	if err := cmd.ParseFlags(flags); err != nil {
		t.Errorf("%q: %v", args, err)
	}
	if left := cmd.Flags().Args(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	if f := cmd.Flags().Lookup("health-listen"); f == nil {
		t.Error("the role serves no health")
	}
	for _, e := range c.Env {
		name, ours := strings.CutPrefix(e.Name, "HANSE_")
		if !ours {
			continue
		}
		flag := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		// The socket is for who runs commands in the pod.
		if flag == "socket" {
			continue
		}
		if err := cmd.Flags().Set(flag, inPod.Replace(e.Value)); err != nil {
			t.Errorf("%s=%s: %v", e.Name, e.Value, err)
		}
	}
	if err := cmd.Args(cmd, nil); err != nil {
		t.Error(err)
	}
}

// Whose identities others let in, and whose objects the agent may write, stand in the chart as in this binary.
func TestTheChartsNamesAreThoseOfTheAgent(t *testing.T) {
	if helm.Namespace != model.SystemNamespace {
		t.Errorf("the chart's namespace is %s", helm.Namespace)
	}
	wanted := []string{identitySecret, leaseName, "hanse-roots"}
	for part := range maxCacheParts {
		wanted = append(wanted, cacheSecret(0, part), cacheSecret(1, part))
	}
	var named, accounts []string
	for _, o := range chart(t) {
		if o.GetKind() == "ServiceAccount" {
			accounts = append(accounts, o.GetName())
		}
		if o.GetKind() != "Role" || o.GetName() != "hanse-agent" {
			continue
		}
		var role rbacv1.Role
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, r := range role.Rules {
			named = append(named, r.ResourceNames...)
		}
	}
	for _, name := range wanted {
		if !slices.Contains(named, name) {
			t.Errorf("the agent may not write %s", name)
		}
	}
	for _, account := range []string{model.GatewayServiceAccount, model.EgressServiceAccount} {
		if !slices.Contains(accounts, account) {
			t.Errorf("nobody runs as %s", account)
		}
	}
}
