package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/deploy/install/fakecluster"
)

// kubeSession is an operator's shell with a kubeconfig of a cluster in which rollouts take no time.
func kubeSession(t *testing.T) (*session, *fakecluster.Cluster) {
	s, cluster := newSession(t), fakecluster.New(t)
	cluster.Changed = func(o *unstructured.Unstructured) {
		switch o.GetKind() {
		case "Deployment":
			n, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
			o.Object["status"] = map[string]any{"replicas": n, "updatedReplicas": n, "availableReplicas": n}
		case "Service":
			if o.GetName() == "hanse-dns" {
				_ = unstructured.SetNestedField(o.Object, "10.96.0.11", "spec", "clusterIP")
			}
		}
	}
	if err := os.WriteFile("lab.kubeconfig", cluster.Kubeconfig(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("lab.token", []byte(s.text(model.TokenCluster)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, cluster
}

func TestAClusterJoinsAndLeaves(t *testing.T) {
	s, cluster := kubeSession(t)
	cluster.Put("v1", "configmaps", "kube-system", "coredns", map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{
		"Corefile": ".:53 {\n    reload\n}\n"}})
	const at = " --kubeconfig lab.kubeconfig"

	did := s.run(t.Context(), "hanse cluster join --name ap --region ap --export shop --agent-server n1.example.org:7700 --image r:5000/h:1@sha256:"+strings.Repeat("0", 64)+" -o json"+at)
	var report joined
	if err := json.Unmarshal([]byte(did.out), &report); did.failure != nil || err != nil {
		t.Fatalf("%v, %v: %s", did.failure, err, did.err)
	}
	if !report.Ready || report.Cluster != "ap" || report.NameServer != "10.96.0.11" || len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "no address yet") {
		t.Errorf("%+v", report)
	}
	for _, want := range []string{"  create Namespace hanse-system\n", "make a join token, with which the cluster may export: shop\n", "created Deployment hanse-agent\n", "hanse-gateway: 2 of 2 ready\n", "CoreDNS asks 10.96.0.11"} {
		if !strings.Contains(did.err, want) {
			t.Errorf("it does not say %q:\n%s", want, did.err)
		}
	}
	made, _, _ := unstructured.NestedString(cluster.Get("v1", "secrets", "hanse-system", "hanse-join").Object, "stringData", "token")
	if !strings.HasPrefix(made, "hanse-cluster-1.") || made == unmadeToken {
		t.Errorf("the token is %q", made)
	}
	agent := cluster.Get("apps/v1", "deployments", "hanse-system", "hanse-agent")
	if text, _ := agent.MarshalJSON(); !strings.Contains(string(text), "--server=n1.example.org:7700") || !strings.Contains(string(text), `"r:5000/h@sha256:000`) {
		t.Errorf("the agent is %s", text)
	}

	cluster.Writes()
	if did := s.run(t.Context(), "hanse cluster join --name us --region ap"+at); exitCodeOf(did.failure) != exitConflict {
		t.Errorf("under another name: %v", did.failure)
	}
	if did := s.run(t.Context(), "hanse cluster leave --dry-run"+at); did.failure != nil || !strings.Contains(did.err, "remove Deployment hanse-agent") {
		t.Errorf("%v: %s", did.failure, did.err)
	}
	if did := s.run(t.Context(), "hanse cluster leave"+at); exitCodeOf(did.failure) != exitUsage || !strings.Contains(did.failure.Error(), "--yes") {
		t.Errorf("without --yes: %v", did.failure)
	}
	if writes := cluster.Writes(); len(writes) > 0 {
		t.Errorf("wrote %q", writes)
	}
	did = s.run(t.Context(), "hanse cluster leave --yes"+at)
	if did.failure != nil || !strings.Contains(did.out, "Hanse is out of this cluster.") || !strings.Contains(did.out, "hanse leave ap") {
		t.Errorf("%v: %s%s", did.failure, did.out, did.err)
	}
	if cluster.Get("v1", "namespaces", "", "hanse-system") != nil {
		t.Error("the namespace is still there")
	}
	if text, _, _ := unstructured.NestedString(cluster.Get("v1", "configmaps", "kube-system", "coredns").Object, "data", "Corefile"); text != ".:53 {\n    reload\n}\n" {
		t.Errorf("the Corefile is\n%s", text)
	}
	if did := s.run(t.Context(), "hanse cluster leave --yes"+at); did.failure != nil || !strings.Contains(did.out, "Nothing of Hanse") {
		t.Errorf("%v: %s", did.failure, did.out)
	}
}

// The membership ends only when that is asked for, and it does not matter if it has ended before.
func TestLeavingEndsTheMembership(t *testing.T) {
	s, _ := kubeSession(t)
	for range 2 {
		did := s.run(t.Context(), "hanse cluster leave --name us --remove-member --yes -o json --kubeconfig lab.kubeconfig")
		var report left
		if err := json.Unmarshal([]byte(did.out), &report); did.failure != nil || err != nil || !report.MemberRemoved {
			t.Errorf("%v, %v: %s", did.failure, err, did.out)
		}
	}
	if did := s.run(t.Context(), "hanse get cluster us"); exitCodeOf(did.failure) != exitNotFound {
		t.Errorf("us is still a member: %v", did.failure)
	}
	if did := s.run(t.Context(), "hanse cluster leave --remove-member --yes --kubeconfig lab.kubeconfig"); exitCodeOf(did.failure) != exitUsage {
		t.Errorf("without a name: %v", did.failure)
	}
}

func TestADryRunPrintsManifestsAndChangesNothing(t *testing.T) {
	s, cluster := kubeSession(t)
	const join = "hanse cluster join --kubeconfig lab.kubeconfig --name ap --region ap --dry-run --token - "
	did := s.run(t.Context(), join+" < lab.token")
	secret := strings.TrimSpace(readFile(t, "lab.token"))
	if did.failure != nil || !strings.Contains(did.out, "---\napiVersion: v1\nkind: Namespace\n") || strings.Contains(did.out, secret) {
		t.Errorf("%v:\n%s", did.failure, did.out)
	}
	did = s.run(t.Context(), join+"-o json < lab.token")
	var list struct {
		Kind  string
		Items []struct{ Kind string }
	}
	if err := json.Unmarshal([]byte(did.out), &list); err != nil || list.Kind != "List" || len(list.Items) < 25 {
		t.Errorf("%v, %v", did.failure, err)
	}
	if writes := cluster.Writes(); len(writes) > 0 {
		t.Errorf("wrote %q", writes)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWhatJoiningRefuses(t *testing.T) {
	s, cluster := kubeSession(t)
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("node.token", s.text(model.TokenNode))
	write("bad.yaml", "gateway: {replicsa: 3}\n")
	write("broken.yaml", "gateway: [\n")
	write("empty.kubeconfig", "{apiVersion: v1, kind: Config}")
	write("dead.kubeconfig", strings.ReplaceAll(string(cluster.Kubeconfig()), cluster.URL, "http://127.0.0.1:1"))
	const good = " --name ap --region ap --token - < lab.token"
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"--kubeconfig lab.kubeconfig --name AP --region ap":                                {exitUsage, "--name"},
		"--kubeconfig lab.kubeconfig --name ap --region a_p":                               {exitUsage, "--region"},
		"--kubeconfig lab.kubeconfig --name ap --region ap --token - < node.token":         {exitUsage, "is a node token"},
		"--kubeconfig lab.kubeconfig --name ap --region ap --token x":                      {exitUsage, "--token"},
		"--kubeconfig lab.kubeconfig --name ap --region ap --wait -1s":                     {exitUsage, "--wait"},
		"--kubeconfig lab.kubeconfig --agent-server n1" + good:                             {exitUsage, "--agent-server"},
		"--kubeconfig lab.kubeconfig --values none.yaml" + good:                            {exitUsage, "--values"},
		"--kubeconfig lab.kubeconfig --values broken.yaml" + good:                          {exitUsage, "broken.yaml"},
		"--kubeconfig lab.kubeconfig --values bad.yaml" + good:                             {exitUsage, "'replicsa' not allowed"},
		"--kubeconfig lab.kubeconfig --kube-context x" + good:                              {exitFailure, `"x"`},
		"--kubeconfig none.kubeconfig" + good:                                              {exitNotFound, "none.kubeconfig does not exist"},
		"--kubeconfig empty.kubeconfig" + good:                                             {exitNotFound, "no cluster is named"},
		"--kubeconfig dead.kubeconfig" + good:                                              {exitUnavailable, "API server does not answer"},
		"--kubeconfig lab.kubeconfig --name ap --region ap --socket none.sock --token '' ": {exitUnavailable, "none.sock"},
	} {
		did := s.run(t.Context(), "hanse cluster join "+line)
		if exitCodeOf(did.failure) != want.code || !strings.Contains(did.failure.Error(), want.text) {
			t.Errorf("%s: %d, %v", line, exitCodeOf(did.failure), did.failure)
		}
	}
	cluster.Deny("create deployments")
	if did := s.run(t.Context(), "hanse cluster join --kubeconfig lab.kubeconfig"+good); exitCodeOf(did.failure) != exitDenied {
		t.Errorf("without rights: %v", did.failure)
	}
	if writes := cluster.Writes(); len(writes) > 0 {
		t.Errorf("wrote %q", writes)
	}
}

func TestWaitingForARolloutEnds(t *testing.T) {
	s, cluster := kubeSession(t)
	cluster.Changed = nil
	did := s.run(t.Context(), "hanse cluster join --kubeconfig lab.kubeconfig --name ap --region ap --wait 1ms --token - < lab.token")
	if exitCodeOf(did.failure) != exitDifferences {
		t.Errorf("%v", did.failure)
	}
	did = s.run(t.Context(), "hanse cluster join --kubeconfig lab.kubeconfig --name ap --region ap --wait 0s")
	if did.failure != nil || !strings.Contains(did.out, "joins as soon as its agent runs") {
		t.Errorf("%v: %s", did.failure, did.out)
	}
}

func TestImagesAreTakenApart(t *testing.T) {
	for image, want := range map[string]string{
		"hanse":                        "hanse latest ",
		"r.example.org:5000/x/hanse":   "r.example.org:5000/x/hanse latest ",
		"r.example.org:5000/hanse:1":   "r.example.org:5000/hanse 1 ",
		"hanse@sha256:12":              "hanse latest sha256:12",
		"r.example.org/h:1@sha256:abc": "r.example.org/h 1 sha256:abc",
	} {
		values := map[string]any{}
		setImage(values, image, "image")
		got := values["image"].(map[string]any)
		if text := got["repository"].(string) + " " + got["tag"].(string) + " " + got["digest"].(string); text != want {
			t.Errorf("%s: %q", image, text)
		}
	}
}
