package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/trust/token"
)

// everyCommand lists a command and all below it, except for the help.
func everyCommand(cmd *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		if c.Name() != "help" && !c.Hidden {
			out = append(out, everyCommand(c)...)
		}
	}
	return out
}

// groups reports whether a command only groups others.
func groups(cmd *cobra.Command) bool {
	return cmd.HasSubCommands() && !strings.Contains(cmd.UseLine(), "[flags]")
}

func TestEveryCommandShowsAnExample(t *testing.T) {
	for _, cmd := range everyCommand(newRootCommand()) {
		if cmd.Short == "" {
			t.Errorf("%s says nothing of itself", cmd.CommandPath())
		}
		if !groups(cmd) && !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s shows no example of itself", cmd.CommandPath())
		}
	}
}

// What the examples say is run: it may find nothing and meet nobody, but it must not be wrong usage.
func TestExamplesAreGoodUsage(t *testing.T) {
	for _, cmd := range everyCommand(newRootCommand()) {
		if cmd.Example == "" {
			continue
		}
		t.Run(strings.ReplaceAll(cmd.CommandPath(), " ", "_"), func(t *testing.T) {
			s := newSession(t)
			s.prepare()
			for line := range strings.Lines(strings.ReplaceAll(cmd.Example, "\\\n", " ")) {
				for _, command := range exampleCommands(line) {
					if did := s.try(s.concrete(command)); exitCodeOf(did.failure) == exitUsage {
						t.Errorf("%s: %v", command, did.failure)
					}
				}
			}
		})
	}
}

// exampleCommands are our commands in a line of shell; one that reads from a pipe reads from the file that is printed into it.
func exampleCommands(line string) []string {
	line, _, _ = strings.Cut(line, "   #")
	var out []string
	input := ""
	for _, part := range regexp.MustCompile(`\||&&`).Split(line, -1) {
		part = strings.TrimSpace(part)
		if file, ok := strings.CutPrefix(part, "cat "); ok {
			input = " < " + file
		}
		_, command, found := strings.Cut(" "+part, " hanse ")
		if !found {
			continue
		}
		command, _, _ = strings.Cut("hanse "+command, " > ")
		out = append(out, command+input)
	}
	return out
}

// prepare makes what the examples take as given: credentials' files and a context.
func (s *session) prepare() {
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	operator := s.text(model.TokenOperator)
	write("operator.token", operator)
	write(filepath.Join(s.home, "production.token"), operator)
	write("eu.token", s.text(model.TokenCluster))
	write("eu.kubeconfig", "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], "+
		"users: [{name: u}], contexts: [{name: c, context: {cluster: c, user: u}}]}")
	alice := newPeer(s.t, "alice", 1)
	key, err := x509.MarshalPKCS8PrivateKey(alice.authority.Signer())
	if err != nil {
		s.t.Fatal(err)
	}
	write("alice.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	write("alice.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: alice.authority.Root()})))
	held := contexts{Contexts: map[string]contextSpec{"production": {Socket: s.socket}}}
	if err := held.save(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) text(kind model.TokenKind) string {
	made, err := token.New(kind, bytes.NewReader(bytes.Repeat([]byte{99}, 39)), "acme", bytes.Repeat([]byte{7}, 32), []string{"127.0.0.1:1"})
	if err != nil {
		s.t.Fatal(err)
	}
	return made.String()
}

var shortToken = regexp.MustCompile(`hanse-(cluster|node|operator|workload)-1\.…`)

// concrete replaces what an example leaves open or what must not be touched here.
func (s *session) concrete(command string) string {
	command = shortToken.ReplaceAllStringFunc(command, func(short string) string {
		return s.text(model.TokenKind(shortToken.FindStringSubmatch(short)[1]))
	})
	command = strings.ReplaceAll(command, "~/", s.home+"/")
	return strings.ReplaceAll(command, "/var/lib/hanse", filepath.Join(s.home, "lib"))
}

// try runs a command that may go on for ever: one that follows is interrupted when it has said something, one that waits or runs a role
// before it begins.
func (s *session) try(command string) invoked {
	ctx, interrupt := context.WithCancel(s.t.Context())
	defer interrupt()
	if lasts(words(s.t, command)[1:]) {
		interrupt()
	}
	s.said = interrupt
	did := s.run(ctx, command)
	if errors.Is(did.failure, context.Canceled) {
		did.failure = nil
	}
	return did
}

// lasts reports whether a command line runs a role, or waits for proxies that there are none of here.
func lasts(args []string) bool {
	root := newRootCommand()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return false
	}
	switch cmd.CommandPath() {
	case "hanse server", "hanse agent", "hanse proxy", "hanse dns", "hanse wait":
		return true
	case "hanse join":
		return strings.Contains(strings.Join(rest, " "), "--run")
	}
	return false
}
