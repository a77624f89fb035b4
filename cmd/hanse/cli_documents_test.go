package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/policy"
)

const (
	openShop = "kind: ExportRule\nname: shop\nspec: {from: [\"*\"], namespaces: [shop], to: [\"*\"]}\n"
	openBank = "kind: ExportRule\nname: bank\nlabels: {hanse.dev/set: money}\nspec: {from: [eu], namespaces: [bank], to: [us]}\n"
)

// documentsIn reads files as "apply -f" does.
func documentsIn(stdin string, names ...string) ([]policy.Document, error) {
	cmd := &cobra.Command{Use: "apply"}
	cmd.SetIn(strings.NewReader(stdin))
	return (&documentFiles{names}).read(cmd)
}

func TestDocumentsComeFromFilesFoldersAndInput(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b.yaml": openShop, "a.yml": openBank, "note.txt": "no document"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	docs, err := documentsIn(`{"kind":"ExportRule","name":"all","spec":{"from":["*"],"namespaces":["*"],"to":["*"]}}`, dir, "-")
	if err != nil || len(docs) != 3 || docs[0].Name() != "bank" || docs[1].Name() != "shop" || docs[2].Name() != "all" {
		t.Fatalf("read %+v, %v", docs, err)
	}
	for want, names := range map[string][]string{
		"given twice":    {dir, filepath.Join(dir, "b.yaml")},
		"/no/such":       {"/no/such"},
		"has no file":    {t.TempDir()},
		"needs -f":       nil,
		"standard input": {"-"},
	} {
		if _, err := documentsIn("kind: ExportRule\nnmae: x\n", names...); exitCodeOf(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", names, err)
		}
	}
}

func TestMistypedDocumentsSayWhereAndWhat(t *testing.T) {
	for text, want := range map[string][]string{
		"kind: ExportRul\nname: x\nspec: {}\n":                      {"standard input:1", `did you mean "ExportRule"`},
		openShop + "---\nkind: ExportRule\nname: x\nspek: {}\n":     {"standard input:7", "document 2", `did you mean "spec"`},
		"kind: ExportRule\nname: x\nspec:\n  frm: [a]\n  to: [b]\n": {"standard input:4", `did you mean "from"`},
	} {
		_, err := documentsIn(text, "-")
		if exitCodeOf(err) != exitUsage {
			t.Errorf("%q: %v", text, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: the error does not say %q: %v", text, w, err)
			}
		}
	}
}

func TestASetMarksItsDocuments(t *testing.T) {
	docs, err := documentsIn(openShop+"---\n"+openBank, "-")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := asSet(docs, "")
	if err != nil || bytes.Contains(plain[0], []byte(setLabel)) {
		t.Errorf("without a set: %s, %v", plain, err)
	}
	if _, err := asSet(docs, "shop"); exitCodeOf(err) != exitUsage || !strings.Contains(err.Error(), "ExportRule/bank") {
		t.Errorf("a document of another set: %v", err)
	}
	marked, err := asSet(docs, "money")
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range marked {
		d, err := policy.ParseJSON(docs[i].Kind, text)
		if err != nil || d.Labels()[setLabel] != "money" {
			t.Errorf("%s: %v", text, err)
		}
		var held map[string]any
		if json.Unmarshal(text, &held) != nil || held["spec"] == nil {
			t.Errorf("%s has lost its spec", text)
		}
	}
}
