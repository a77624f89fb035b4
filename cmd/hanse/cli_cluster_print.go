package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/hanse-mesh/hanse/deploy/install"
)

// announce says what will be done.
func (j *clusterJoin) announce(w io.Writer, todo intended) {
	fmt.Fprintf(w, "cluster %s in region %s, Kubernetes %s: %s\n", j.name, j.region, todo.found.Version, summary(todo.plan))
	for _, s := range todo.plan.Steps {
		if s.Action != install.Keep {
			fmt.Fprintf(w, "  %s %s %s\n", s.Action, s.Kind, s.Name)
		}
	}
	if todo.mint {
		fmt.Fprintf(w, "  make a join token, with which the cluster may export: %s\n", namespaces(j.export))
	}
	if todo.forwarding.Changes() {
		fmt.Fprintln(w, "  change ConfigMap kube-system/coredns: ask Hanse for clusterset.local")
	}
}

func namespaces(names []string) string {
	switch {
	case len(names) == 0:
		return "nothing"
	case len(names) == 1 && names[0] == "*":
		return "all namespaces (--export narrows it)"
	default:
		return strings.Join(names, ", ")
	}
}

func summary(plan install.Plan) string {
	if plan.Changes() == 0 {
		return fmt.Sprintf("all %d objects are as they should be", len(plan.Steps))
	}
	return fmt.Sprintf("%d of %d objects to write", plan.Changes(), len(plan.Steps))
}

// printManifests prints what would be applied, in a form that kubectl takes.
func (j *clusterJoin) printManifests(cmd *cobra.Command, plan install.Plan) error {
	objects := plan.WithToken("hanse-cluster-1.…").Manifests()
	items := make([]any, 0, len(objects))
	for _, o := range objects {
		items = append(items, o.Object)
	}
	if !j.out.forPeople() {
		return j.out.print(cmd, map[string]any{"apiVersion": "v1", "kind": "List", "items": items}, nil)
	}
	return printStream(cmd.OutOrStdout(), objects)
}

func printStream(w io.Writer, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "---\n%s", text); err != nil {
			return err
		}
	}
	return nil
}

func (r joined) explain(w io.Writer) {
	if r.Ready {
		fmt.Fprintf(w, "Cluster %s has joined, and everything is ready.\n", r.Cluster)
	} else {
		fmt.Fprintf(w, "Everything is applied; cluster %s joins as soon as its agent runs.\n", r.Cluster)
	}
	if len(r.Gateways) > 0 {
		fmt.Fprintf(w, "Its gateways are reached at %s.\n", strings.Join(r.Gateways, ", "))
	}
	if r.NameServer != "" {
		fmt.Fprintf(w, "Its name server for clusterset.local is %s.\n", r.NameServer)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "Note: %s.\n", note)
	}
	fmt.Fprintf(w, "See it with 'hanse describe cluster %s'.\n", r.Cluster)
}
