package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hanse runs a command line and returns what it prints.
func hanse(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// serveAgent offers a core on an admin socket and returns the data folder.
func serveAgent(t *testing.T, s *site) string {
	t.Helper()
	return servePart(t, &agentParts{core: s.siteCore})
}

func servePart(t *testing.T, a *agentParts) string {
	t.Helper()
	dir := shortDir(t)
	l, err := listenSocket(filepath.Join(dir, adminSocketName))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveHTTP(ctx, l, a.adminHandler()) }()
	t.Cleanup(func() { cancel(); <-done })
	return dir
}

func TestTrustListAndForget(t *testing.T) {
	own, us, asia := newPeer(t, "eu", 1), newPeer(t, "us", 2), newPeer(t, "asia", 3)
	s := newSite(t, t.TempDir(), own)
	for _, p := range []peer{own, us, asia} {
		if err := s.introduce(p.bundle(t), p.Name != own.Name, p.Name == asia.Name); err != nil {
			t.Fatal(err)
		}
	}
	dir := serveAgent(t, s)
	text, err := hanse(t, "trust", "list", "--data-dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(text) {
		rows = append(rows, strings.Join(strings.Fields(line)[:3], " "))
	}
	if want := "TRUST DOMAIN SEQUENCE|asia.example.org 1 sole|eu.example.org 1 pinned|us.example.org 1 introduced"; strings.Join(rows, "|") != want {
		t.Errorf("listed:\n%s", text)
	}
	text, err = hanse(t, "trust", "list", "--data-dir", dir, "-o", "json")
	var held []believedBundle
	if err != nil || json.Unmarshal([]byte(text), &held) != nil || len(held) != 3 || len(held[0].Roots) != 1 || len(held[0].Roots[0]) != 64 {
		t.Errorf("as JSON: %v\n%s", err, text)
	}
	if _, err := hanse(t, "trust", "forget", us.TrustDomain, "--data-dir", dir); err != nil {
		t.Fatal(err)
	}
	if got := s.believed(); len(got) != 2 {
		t.Errorf("still believed: %+v", got)
	}
	for _, domain := range []string{us.TrustDomain, own.TrustDomain, "a/b?c"} {
		if _, err := hanse(t, "trust", "forget", domain, "--data-dir", dir); exitCodeOf(err) != exitFailure || !strings.Contains(err.Error(), domain) {
			t.Errorf("forget %s: %v", domain, err)
		}
	}
	if got := s.believed(); len(got) != 2 {
		t.Errorf("a refused request has changed what is believed: %+v", got)
	}
}

func TestCommandsThatCannotBe(t *testing.T) {
	t.Setenv("HANSE_OPERATOR_TOKEN_FILE", filepath.Join(t.TempDir(), "none"))
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"trust list --data-dir " + t.TempDir(), exitUnavailable, "is the agent running"},
		{"proxy drain --data-dir " + t.TempDir(), exitUnavailable, "is the proxy running"},
		{"trust forget", exitUsage, "needs one argument"},
		{"trust forgt x", exitUsage, `did you mean "forget"?`},
		{"tokn list", exitUsage, `hanse has no command "tokn"`},
		{"token create cluster a b", exitUsage, "takes one name"},
		{"agent stauts", exitUsage, `hanse agent has no command "stauts"; did you mean "status"?`},
		{"proxy drian", exitUsage, `did you mean "drain"?`},
		{"status --server 127.0.0.1", exitUsage, "--server"},
		{"status --timeout 0s", exitUsage, "--timeout"},
		{"status now", exitUsage, "takes no arguments"},
		{"status --nonsense", exitUsage, "unknown flag"},
		{"status", exitUsage, "no operator token"},
		{"agent", exitUsage, "--cluster"},
	} {
		_, err := hanse(t, strings.Fields(c.line)...)
		if exitCodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("hanse %s: code %d, %v", c.line, exitCodeOf(err), err)
		}
	}
	for _, line := range []string{"", "trust", "token create", "--version", "help trust"} {
		if text, err := hanse(t, strings.Fields(line)...); err != nil || text == "" {
			t.Errorf("hanse %s: %v", line, err)
		}
	}
}

func TestWorkloadTokenNeedsAnAgent(t *testing.T) {
	_, err := hanse(t, "token", "create", "workload", "--gateway", "--data-dir", t.TempDir(), "--ttl", time.Hour.String())
	if exitCodeOf(err) != exitUnavailable {
		t.Errorf("without an agent: %v", err)
	}
}
