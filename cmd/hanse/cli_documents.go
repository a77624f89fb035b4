package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/policy"
)

// setLabel marks the documents of a set.
const setLabel = "hanse.dev/set"

// documentFiles names the files that a command reads documents from.
type documentFiles struct{ names []string }

func (f *documentFiles) bind(cmd *cobra.Command) {
	cmd.Flags().StringSliceVarP(&f.names, "filename", "f", nil, "file or folder with documents, YAML or JSON; - is standard input")
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
}

// read parses all files before anything is done; errors name file, line and field.
func (f *documentFiles) read(cmd *cobra.Command) ([]policy.Document, error) {
	if len(f.names) == 0 {
		return nil, usageError("%s needs -f FILE (or -f - for standard input)", cmd.CommandPath())
	}
	var docs []policy.Document
	for _, name := range f.names {
		paths, err := expand(name)
		if err != nil {
			return nil, usageError("%s: %w", cmd.Name(), err)
		}
		for _, path := range paths {
			found, err := readDocumentFile(cmd.InOrStdin(), path)
			if err != nil {
				return nil, usageError("%s: %w", cmd.Name(), err)
			}
			docs = append(docs, found...)
		}
	}
	return docs, checkTwice(docs)
}

func readDocumentFile(stdin io.Reader, path string) ([]policy.Document, error) {
	var data []byte
	var err error
	if path == "-" {
		path = "standard input"
		data, err = io.ReadAll(io.LimitReader(stdin, policy.MaxBytes+1))
	} else {
		data, err = readBounded(path)
	}
	if err != nil {
		return nil, err
	}
	return policy.ParseDocuments(path, data)
}

// readBounded reads no more of a file than tells that it is too large.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, policy.MaxBytes+1))
}

// expand turns a folder into its documents' files.
func expand(name string) ([]string, error) {
	if name == "-" {
		return []string{name}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{name}, nil
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

// checkTwice refuses a document that stands there twice: which of them counts would depend on the files' names.
func checkTwice(docs []policy.Document) error {
	seen := map[string]bool{}
	for _, d := range docs {
		ref := fmt.Sprintf("%s/%s", d.Kind, d.Name())
		if seen[ref] {
			return usageError("%s is given twice: keep one of the two documents", ref)
		}
		seen[ref] = true
	}
	return nil
}

// asSet returns the documents as they are sent, as members of a set when it has a name.
func asSet(docs []policy.Document, set string) ([]json.RawMessage, error) {
	out := make([]json.RawMessage, len(docs))
	for i, d := range docs {
		text, err := d.CanonicalJSON()
		if err != nil {
			return nil, err
		}
		if held := d.Labels()[setLabel]; set != "" && held != set {
			if held != "" {
				return nil, usageError("%s/%s carries %s=%s: it belongs to another set than --set %s", d.Kind, d.Name(), setLabel, held, set)
			}
			if text, err = withLabel(text, set); err != nil {
				return nil, err
			}
		}
		out[i] = text
	}
	return out, nil
}

func withLabel(text []byte, set string) ([]byte, error) {
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	labels, _ := fields["labels"].(map[string]any)
	if labels == nil {
		labels = map[string]any{}
	}
	labels[setLabel] = set
	fields["labels"] = labels
	return json.Marshal(fields)
}
