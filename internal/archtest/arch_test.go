package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// source is one Go file that is not a test.
type source struct {
	dir, name string
	file      *ast.File
}

func readTree(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if rel != "." && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || rel == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), rel, text, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{dir: filepath.ToSlash(filepath.Dir(rel)), name: filepath.ToSlash(rel), file: f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("only %d sources found: the test looks in the wrong place", len(out))
	}
	return out
}

func under(pattern, dir string) bool {
	if pattern == "..." {
		return true
	}
	folder, all := strings.CutSuffix(pattern, "/...")
	return dir == folder || all && strings.HasPrefix(dir, folder+"/")
}

func ruleFor(dir string) (rule, bool) {
	for _, r := range rules {
		if under(r.path, dir) {
			return r, true
		}
	}
	return rule{}, false
}

// importProblems lists what a file imports against the rules.
func importProblems(s source) []string {
	r, ok := ruleFor(s.dir)
	if !ok {
		return []string{fmt.Sprintf("%s: package %s has no row in the table of rules", s.name, s.dir)}
	}
	var out []string
	for _, spec := range s.file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if ours, isOurs := strings.CutPrefix(path, module); isOurs {
			if !allowed(r.ours, ours) {
				out = append(out, fmt.Sprintf("%s: %s may not import %s", s.name, s.dir, ours))
			}
			continue
		}
		if why, banned := impure[path]; banned && r.pure {
			out = append(out, fmt.Sprintf("%s: %s is pure and may not import %s: %s", s.name, s.dir, path, why))
		}
		for prefix, owners := range exclusive {
			if (path == prefix || strings.HasPrefix(path, prefix+"/")) && !owned(owners, s.dir) {
				out = append(out, fmt.Sprintf("%s: only %v may import %s", s.name, owners, path))
			}
		}
	}
	return out
}

func allowed(patterns []string, path string) bool {
	for _, p := range patterns {
		if under(p, path) {
			return true
		}
	}
	return false
}

func owned(folders []string, dir string) bool {
	for _, f := range folders {
		if dir == f || strings.HasPrefix(dir, f+"/") {
			return true
		}
	}
	return false
}

// purityProblems lists goroutines and clock reads in a pure package.
func purityProblems(s source) []string {
	if r, ok := ruleFor(s.dir); !ok || !r.pure {
		return nil
	}
	var out []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			out = append(out, fmt.Sprintf("%s: a pure package starts a goroutine", s.name))
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && impureCalls[pkg.Name+"."+n.Sel.Name] {
				out = append(out, fmt.Sprintf("%s: a pure package calls %s.%s", s.name, pkg.Name, n.Sel.Name))
			}
		}
		return true
	})
	return out
}

func TestImportRules(t *testing.T) {
	for _, s := range readTree(t) {
		for _, p := range append(importProblems(s), purityProblems(s)...) {
			t.Error(p)
		}
	}
}

func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	said, seen := map[string]bool{}, map[string]string{}
	for _, s := range readTree(t) {
		if strings.HasPrefix(s.dir, "api/gen") {
			continue
		}
		seen[s.dir] = s.name
		if doc := s.file.Doc.Text(); strings.HasPrefix(doc, "Package ") || strings.HasPrefix(doc, "Command ") {
			said[s.dir] = true
		}
	}
	for dir, name := range seen {
		if !said[dir] {
			t.Errorf("%s: package %s has no package comment: say what it owns", name, dir)
		}
	}
}

// The rules themselves must bite: each planted violation is found.
func TestRulesFindPlantedViolations(t *testing.T) {
	plants := map[string]struct{ dir, text string }{
		"shell imports shell":     {"federation/gossip", `package gossip; import _ "` + module + `federation/consensus"`},
		"pure package locks":      {"gateway/route", `package route; import _ "sync"`},
		"pure package has time":   {"gateway/route", `package route; import "time"; var _ = time.Now()`},
		"pure starts a goroutine": {"federation/state", `package state; func f() { go f() }`},
		"second raft importer":    {"federation/server", `package server; import _ "github.com/hashicorp/raft"`},
		"package without a rule":  {"newfolder", `package newfolder`},
		"leaf imports ours":       {"internal/run", `package run; import _ "` + module + `api/model"`},
	}
	for name, p := range plants {
		t.Run(name, func(t *testing.T) {
			f, err := parser.ParseFile(token.NewFileSet(), "planted.go", p.text, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			s := source{dir: p.dir, name: "planted.go", file: f}
			if len(importProblems(s))+len(purityProblems(s)) == 0 {
				t.Error("the violation was not found")
			}
		})
	}
}
