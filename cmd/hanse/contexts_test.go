package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/trust/token"
)

// ownHome gives the test a home of its own, without anything that the machine's user has set.
func ownHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "HANSE_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	return home
}

// tokenFile writes an operator token for a federation whose nodes stand at the addresses.
func tokenFile(t *testing.T, seed byte, addresses ...string) (path string, made token.Token) {
	t.Helper()
	made, err := token.New(model.TokenOperator, strings.NewReader(strings.Repeat(string(rune('a'+seed)), 39)), "acme",
		slices.Repeat([]byte{seed}, 32), addresses)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "operator.token")
	if err := os.WriteFile(path, []byte(made.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, made
}

func TestContextsAreKept(t *testing.T) {
	ownHome(t)
	file, made := tokenFile(t, 1, "n1:7701")
	run := func(line string) string {
		t.Helper()
		text, err := hanse(t, strings.Fields(line)...)
		if err != nil {
			t.Fatalf("hanse %s: %v", line, err)
		}
		return text
	}
	run("context set production --operator-token-file " + file)
	run("context set here --socket /run/hanse/admin.sock")
	if info, err := os.Stat(contextsFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if got := run("context list -o name"); got != "here\nproduction\n" {
		t.Errorf("listed %q", got)
	}
	held, err := loadContexts()
	if err != nil || held.Current != "production" || held.Contexts["production"].Pin != hex.EncodeToString(made.Pin) {
		t.Errorf("kept %+v, %v", held, err)
	}
	run("context use here")
	if got := run("context list"); !strings.Contains(got, "*       here") {
		t.Errorf("listed\n%s", got)
	}
	run("context delete here")
	if held, _ = loadContexts(); held.Current != "" || len(held.Contexts) != 1 {
		t.Errorf("kept %+v", held)
	}
}

func TestContextsThatCannotBe(t *testing.T) {
	ownHome(t)
	for line, want := range map[string]string{
		"context set a":                                   "say as whom",
		"context set a --operator-token x":                "names the token's file",
		"context set A/b --socket s":                      "context's name",
		"context set a --operator-token-file /none":       "/none",
		"context set a --certificate c":                   "--key",
		"context set a --socket s --pin 12":               "--pin",
		"context use a":                                   `no context "a"`,
		"context delete a":                                `no context "a"`,
		"status --context a":                              `no context "a"`,
		"--context a status":                              `no context "a"`,
		"context set a --token-file " + os.DevNull:        "--pin is not set",
		"--socket /x server --region eu":                  "--socket is for operators' commands",
		"context set a b":                                 "needs one argument",
		"context set a --token-file /none --server n1:77": "/none",
	} {
		_, err := hanse(t, strings.Fields(line)...)
		if exitCodeOf(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("hanse %s: code %d, %v", line, exitCodeOf(err), err)
		}
	}
	if err := os.MkdirAll(configDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(contextsFile(), []byte("curent: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := hanse(t, "status"); exitCodeOf(err) != exitUsage || !strings.Contains(err.Error(), "curent") {
		t.Errorf("a mistyped field: %v", err)
	}
}

// What a command is told goes before the context, and a token that says all by itself does not meet another federation's servers.
func TestTheWayToAFederation(t *testing.T) {
	ownHome(t)
	one, first := tokenFile(t, 1, "one:7701")
	two, second := tokenFile(t, 2, "two:7701")
	held := contexts{Current: "one", Contexts: map[string]contextSpec{
		"one":  {TokenFile: one, Servers: []string{"front:7701"}},
		"here": {Socket: "/run/admin.sock"},
	}}
	if err := held.save(); err != nil {
		t.Fatal(err)
	}
	const some = 1
	for name, c := range map[string]struct {
		options operatorOptions
		servers []string
		bearer  string
		socket  string
	}{
		"the context in use":         {operatorOptions{}, []string{"front:7701", "one:7701"}, first.String(), ""},
		"another context":            {operatorOptions{context: "here"}, nil, "", "/run/admin.sock"},
		"a token":                    {operatorOptions{token: second.String()}, []string{"two:7701"}, second.String(), ""},
		"a token's file":             {operatorOptions{tokenFile: two}, []string{"two:7701"}, second.String(), ""},
		"a server":                   {operatorOptions{servers: []string{"x:1"}}, []string{"x:1"}, first.String(), ""},
		"a socket":                   {operatorOptions{socket: "/s"}, nil, "", "/s"},
		"a socket before a token":    {operatorOptions{socket: "/s", token: second.String()}, nil, "", "/s"},
		"a context, another's token": {operatorOptions{context: "one", token: second.String()}, []string{"front:7701", "two:7701"}, second.String(), ""},
	} {
		c.options.timeout = some
		w, err := c.options.resolve()
		if err != nil || !slices.Equal(w.servers, c.servers) || w.bearer != c.bearer || w.socket != c.socket {
			t.Errorf("%s: %+v, %v", name, w, err)
		}
	}
}
