package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// policyPaths is where the API keeps each kind of document.
var policyPaths = map[policy.Kind]string{
	policy.KindFailoverPolicy: "/v1/failover-policies/",
	policy.KindExportRule:     "/v1/export-rules/",
}

func newApplyCommand(opts *operatorOptions) *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Create or change policies from YAML or JSON files",
		Long: `Reads policy documents (several per file, separated by ---) and writes them to the federation. All files are read and checked
before anything is written.

A failover policy and an export rule look like this:

  kind: ExportRule
  name: shop-everywhere
  spec:
    from: ["*"]
    namespaces: [shop]
    to: ["*"]
  ---
  kind: FailoverPolicy
  name: default
  spec:
    failover:
      - {from: eu, to: [us, ap]}`,
		Example: "  hanse apply -f policies.yaml\n  cat policies.yaml | hanse apply -f -",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return usageError("apply needs -f FILE (or -f - for standard input)")
			}
			docs, err := readDocuments(cmd.InOrStdin(), files)
			if err != nil {
				return err
			}
			c, err := opts.client()
			if err != nil {
				return err
			}
			return applyDocuments(cmd, c, docs)
		},
	}
	cmd.Flags().StringSliceVarP(&files, "filename", "f", nil, "file or folder with policy documents; - is standard input")
	return cmd
}

func readDocuments(stdin io.Reader, files []string) ([]policy.Document, error) {
	var docs []policy.Document
	for _, name := range files {
		paths, err := expand(name)
		if err != nil {
			return nil, usageError("apply: %w", err)
		}
		for _, path := range paths {
			found, err := readDocumentFile(stdin, path)
			if err != nil {
				return nil, err
			}
			docs = append(docs, found...)
		}
	}
	return docs, nil
}

func readDocumentFile(stdin io.Reader, path string) ([]policy.Document, error) {
	var data []byte
	var err error
	if path == "-" {
		path = "standard input"
		data, err = io.ReadAll(io.LimitReader(stdin, 2<<20))
	} else {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, usageError("apply: %w", err)
	}
	docs, err := policy.ParseDocuments(path, data)
	if err != nil {
		return nil, usageError("apply: %w", err)
	}
	return docs, nil
}

// expand turns a folder into its policy files.
func expand(name string) ([]string, error) {
	info, err := os.Stat(name)
	if name == "-" || err == nil && !info.IsDir() {
		return []string{name}, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, pattern := range []string{"*.yaml", "*.yml", "*.json"} {
		found, err := filepath.Glob(filepath.Join(name, pattern))
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("folder %s has no file *.yaml, *.yml or *.json", name)
	}
	slices.Sort(out)
	return out, nil
}

func applyDocuments(cmd *cobra.Command, c *client, docs []policy.Document) error {
	for _, d := range docs {
		name := d.Name()
		text, err := d.CanonicalJSON()
		if err != nil {
			return err
		}
		var written rest.Written
		if err := c.do(cmd.Context(), http.MethodPut, policyPaths[d.Kind]+name, json.RawMessage(text), &written); err != nil {
			return fmt.Errorf("%s %s: %w", d.Kind, name, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s applied (index %d)\n", d.Kind, name, written.Index)
		for _, w := range written.Warnings {
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s %s: %s\n", d.Kind, name, w)
		}
	}
	return nil
}

// policies is what "policy list" shows.
type policies struct {
	Failover []rest.FailoverPolicy `json:"failoverPolicies"`
	Exports  []rest.ExportRule     `json:"exportRules"`
}

func newPolicyCommand(opts *operatorOptions) *cobra.Command {
	var out output
	list := &cobra.Command{
		Use: "list", Short: "List failover policies and export rules", Example: "  hanse policy list", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := opts.client()
			if err != nil {
				return err
			}
			var f rest.List[rest.FailoverPolicy]
			var e rest.List[rest.ExportRule]
			if err := c.do(cmd.Context(), http.MethodGet, "/v1/failover-policies", nil, &f); err != nil {
				return err
			}
			if err := c.do(cmd.Context(), http.MethodGet, "/v1/export-rules", nil, &e); err != nil {
				return err
			}
			all := policies{f.Items, e.Items}
			return out.print(cmd, all, func(w io.Writer) { printPolicies(w, all) })
		},
	}
	out.bind(list)
	remove := &cobra.Command{
		Use: "delete KIND/NAME", Short: "Delete a policy", Example: "  hanse policy delete ExportRule/shop-everywhere",
		Args: oneArg("KIND/NAME, for example FailoverPolicy/default"),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, name, _ := strings.Cut(args[0], "/")
			path, ok := policyPaths[policy.Kind(kind)]
			if !ok || name == "" {
				return usageError("%q is not KIND/NAME with KIND FailoverPolicy or ExportRule", args[0])
			}
			return deleteAndSay(cmd, opts, path+name, args[0]+" deleted")
		},
	}
	cmd := &cobra.Command{Use: "policy", Short: "Failover policies and export rules"}
	cmd.AddCommand(list, remove)
	return cmd
}

func printPolicies(w io.Writer, p policies) {
	row(w, "KIND", "NAME", "SELECTS", "SAYS")
	for _, f := range p.Failover {
		for _, o := range f.Spec.Failover {
			row(w, policy.KindFailoverPolicy, f.Name, selector(f.Spec.Namespace, f.Spec.Services), o.From+" → "+strings.Join(o.To, ", "))
		}
	}
	for _, e := range p.Exports {
		row(w, policy.KindExportRule, e.Name, selector(strings.Join(e.Spec.Namespaces, ","), e.Spec.Services),
			strings.Join(e.Spec.From, ",")+" → "+strings.Join(e.Spec.To, ","))
	}
}

func selector(namespace string, services []string) string {
	if namespace == "" {
		namespace = policy.Any
	}
	if len(services) == 0 {
		return namespace + "/" + policy.Any
	}
	return namespace + "/" + strings.Join(services, ",")
}
