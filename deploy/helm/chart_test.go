package helm

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/mcs-api/config/crd"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the goldens and the CRDs anew")

const (
	kubeVersion = "v1.36.3"
	policies    = "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy"
)

// cases are files of values in testdata; each has its manifests beside it.
var cases = []string{"cluster", "everything", "nodes"}

func values(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := yaml.UnmarshalStrict(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func rendered(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	out, err := Render(Options{Values: values(t, name), KubeVersion: kubeVersion, APIs: []string{policies}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// asText is the objects as a YAML stream.
func asText(t *testing.T, objects []*unstructured.Unstructured) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, o := range objects {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs: look with go test ./deploy/helm -update && git diff", path)
	}
}

func TestManifests(t *testing.T) {
	for _, name := range cases {
		golden(t, name+".yaml", asText(t, rendered(t, name)))
	}
}

// What this package renders is what Helm renders.
func TestHelmRendersTheSame(t *testing.T) {
	binary := os.Getenv("HANSE_HELM")
	if binary == "" {
		t.Skip("HANSE_HELM names no helm: make chart builds one")
	}
	run := func(args ...string) []byte {
		t.Helper()
		var stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("helm %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
		}
		return out
	}
	for _, name := range cases {
		given := []string{folder, "--namespace", Namespace, "--kube-version", kubeVersion, "--values", filepath.Join("testdata", name+".values.yaml")}
		run(append([]string{"lint", "--strict"}, given...)...)
		text := run(append([]string{"template", Release, "--api-versions", policies}, given...)...)
		objects, err := parseAll(map[string]string{"all.yaml": string(text)})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(asText(t, objects), asText(t, rendered(t, name))) {
			t.Errorf("%s: helm template shows something else", name)
		}
	}
}

// The chart's CRDs are those of the API's own release.
func TestCRDs(t *testing.T) {
	for name, want := range map[string][]byte{"serviceexports": crd.ServiceExportCRD, "serviceimports": crd.ServiceImportCRD} {
		path := filepath.Join(folder, "crds", "multicluster.x-k8s.io_"+name+".yaml")
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what sigs.k8s.io/mcs-api has (%v): go test ./deploy/helm -update", path, err)
		}
	}
	crds, err := CRDs()
	if err != nil || len(crds) != 2 || crds[0].GetKind() != "CustomResourceDefinition" {
		t.Errorf("got %v, %v", crds, err)
	}
}

func TestObjectsAreCreatedBehindWhatTheyReferTo(t *testing.T) {
	last := 0
	for _, o := range rendered(t, "everything") {
		if rank(o) == len(kinds) {
			t.Errorf("%s has no place in the order", o.GetKind())
		}
		if rank(o) < last {
			t.Errorf("%s %s stands too late", o.GetKind(), o.GetName())
		}
		last = rank(o)
	}
}

func TestManagerIsNamed(t *testing.T) {
	objects, err := Render(Options{Values: values(t, "cluster"), KubeVersion: kubeVersion, Manager: "somebody"})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.GetLabels()["app.kubernetes.io/managed-by"] != "somebody" {
			t.Errorf("%s %s is managed by %v", o.GetKind(), o.GetName(), o.GetLabels())
		}
		if o.GetKind() == "ValidatingAdmissionPolicy" {
			t.Error("a policy for an API server that has none")
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct{ values, version, want string }{
		"no cluster":         {"region: eu", kubeVersion, "cluster is not set: give this cluster its name"},
		"no region":          {"cluster: eu", kubeVersion, "region is not set: name the region"},
		"capital letters":    {"{cluster: EU, region: eu}", kubeVersion, "/cluster"},
		"misspelt component": {"{cluster: eu, region: eu, agnet: {}}", kubeVersion, "'agnet' not allowed"},
		"misspelt value":     {"{cluster: eu, region: eu, gateway: {replica: 2}}", kubeVersion, "'replica' not allowed"},
		"no gateways at all": {"{cluster: eu, region: eu, gateway: {replicas: 0}}", kubeVersion, "/gateway/replicas"},
		"two nodes":          {"{cluster: eu, region: eu, server: {replicas: 2}}", kubeVersion, "/server/replicas"},
		"another's token":    {"{cluster: eu, region: eu, agent: {joinToken: hanse-node-1.x}}", kubeVersion, "/agent/joinToken"},
		"no port":            {"{cluster: eu, region: eu, agent: {servers: [n1]}}", kubeVersion, "/agent/servers/0"},
		"gateway alone":      {"{agent: {enabled: false}}", kubeVersion, "gateway and egress are configured by the agent"},
		"old cluster":        {"{cluster: eu, region: eu}", "v1.28.9", "Kubernetes v1.28.9, but Hanse needs >=1.29.0"},
		"no version":         {"{cluster: eu, region: eu}", "new", `version of Kubernetes "new"`},
	} {
		var given map[string]any
		if err := yaml.Unmarshal([]byte(c.values), &given); err != nil {
			t.Fatal(err)
		}
		_, err := Render(Options{Values: given, KubeVersion: c.version})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
