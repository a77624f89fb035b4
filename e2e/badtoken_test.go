//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/trust/token"
)

// create makes a token and returns its text.
func (b *badInput) create(t *testing.T, args ...string) string {
	t.Helper()
	i := invocation{args: append([]string{"token", "create"}, args...), env: b.operator, code: exitOK}
	return strings.TrimSpace(i.check(t, b.f.binary))
}

func parse(t *testing.T, text string) token.Token {
	t.Helper()
	parsed, err := token.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func (b *badInput) tokens(t *testing.T) {
	good := b.create(t, "cluster", "sa")
	forged := parse(t, good)
	forged.Secret = "guessed"
	foreign := parse(t, good)
	foreign.Pin = make([]byte, len(foreign.Pin))
	revoked := b.create(t, "cluster", "sa")
	(invocation{args: []string{"token", "revoke", parse(t, revoked).ID}, env: b.operator}).check(t, b.f.binary)
	expired := b.create(t, "cluster", "sa", "--ttl", "1s")
	at, letter := len(good)/2, "A"
	if good[at] == 'A' {
		letter = "B"
	}
	mistyped := good[:at] + letter + good[at+1:]
	sleep(b.ctx, 1100*time.Millisecond)

	join := func(cluster, text string) []string { return agent(t, cluster, "--token", text) }
	checkAll(t, b.f.binary, []invocation{
		{name: "wrong secret", args: join("sa", forged.String()), code: exitFailure, says: []string{forged.ID, "secret is wrong"}},
		{name: "mistyped", args: join("sa", mistyped), code: exitUsage, says: []string{"--token", "mistyped"}},
		{name: "cut short", args: join("sa", good[:len(good)-10]), code: exitUsage, says: []string{"--token", "cut short"}},
		{name: "not a token", args: join("sa", "let-me-in"), code: exitUsage, says: []string{"--token", "not a hanse token"}},
		{name: "expired", args: join("sa", expired), code: exitFailure, says: []string{parse(t, expired).ID, "expired"}},
		{name: "revoked", args: join("sa", revoked), code: exitFailure, says: []string{parse(t, revoked).ID, "revoked"}},
		{name: "for another cluster", args: join("moon", good), code: exitFailure, says: []string{"sa", "moon"}},
		{name: "name is taken", args: join("eu", b.create(t, "cluster", "eu")), code: exitFailure, says: []string{"eu", "taken"}},
		{name: "a node's, for an agent", args: join("sa", b.create(t, "node")), code: exitUsage, says: []string{"node token", "cluster token"}},
		{name: "an agent's, for a node", args: b.flags(t, "--join", good), code: exitUsage, says: []string{"--join", "cluster token", "node token"}},
		{name: "an agent's, for an operator", args: []string{"status", "--operator-token", good}, code: exitUsage, says: []string{"cluster token", "operator token"}},
		{
			name: "an operator's with a wrong secret", args: []string{"status", "--operator-token", b.wrongOperator(t)},
			code: exitDenied, says: []string{"secret is wrong"},
		},
		{name: "life without unit", args: []string{"token", "create", "node", "--ttl", "5"}, env: b.operator, code: exitUsage, says: []string{"--ttl"}},
		{name: "too long a life", args: []string{"token", "create", "node", "--ttl", "9000h"}, env: b.operator, code: exitFailure, says: []string{"ttl", "720h"}},
		{name: "for no cluster", args: []string{"token", "create", "cluster"}, env: b.operator, code: exitUsage, says: []string{"NAME", "--prefix"}},
		{name: "for a bad name", args: []string{"token", "create", "cluster", "Not_A_Name"}, env: b.operator, code: exitFailure, says: []string{"Not_A_Name"}},
	})
	t.Run("another federation's", func(t *testing.T) {
		p := spawn(t, filepath.Join(t.TempDir(), "agent.log"), append([]string{b.f.binary}, join("sa", foreign.String())...)...)
		b.f.eventually(b.ctx, 10*time.Second, "the agent says what is wrong", func() error {
			if !p.said(t, "this is not the one that issued the token") {
				return fmt.Errorf("it says %s", p.tail())
			}
			return nil
		})
	})
}

func (b *badInput) wrongOperator(t *testing.T) string {
	t.Helper()
	wrong := parse(t, b.f.operator)
	wrong.Secret = "guessed"
	return wrong.String()
}
