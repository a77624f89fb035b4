package bootstrap

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func example() Config {
	return Config{
		NodeID: "web-1", Cluster: "alpha", XDSSocket: "/run/hanse/xds.sock", AdminSocket: "/run/hanse/admin.sock",
		Locality: model.Locality{Region: "eu", Zone: "eu-1"},
	}
}

func TestGolden(t *testing.T) {
	got, err := Build(example())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "bootstrap.json")
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
		t.Errorf("the bootstrap is not that of %s (-update rewrites it):\n%s", path, got)
	}
}

func TestSocketPaths(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no xds socket":    func(c *Config) { c.XDSSocket = "" },
		"relative path":    func(c *Config) { c.AdminSocket = "run/admin.sock" },
		"longer than 107":  func(c *Config) { c.XDSSocket = "/" + strings.Repeat("x", 107) },
		"admin too long":   func(c *Config) { c.AdminSocket = "/" + strings.Repeat("x", 107) },
		"text not in UTF8": func(c *Config) { c.NodeID = "\xff" },
	} {
		c := example()
		change(&c)
		if out, err := Build(c); err == nil {
			t.Errorf("%s: accepted: %s", name, out)
		}
	}
	c := example()
	c.XDSSocket = "/" + strings.Repeat("x", 106)
	if _, err := Build(c); err != nil {
		t.Errorf("107 bytes: %v", err)
	}
}

func TestEnvoyAccepts(t *testing.T) {
	binary := os.Getenv("HANSE_ENVOY")
	if binary == "" {
		var err error
		if binary, err = exec.LookPath("envoy"); err != nil {
			t.Skip("no Envoy: set HANSE_ENVOY or put envoy on the PATH")
		}
	}
	text, err := Build(example())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "--mode", "validate", "-c", path, "--log-level", "warning").CombinedOutput()
	if err != nil {
		t.Fatalf("Envoy refuses the bootstrap: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "[warning]") {
		t.Errorf("Envoy warns of the bootstrap:\n%s", out)
	}
}
