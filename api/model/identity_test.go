package model

import (
	"strings"
	"testing"
)

func TestFederationIdentities(t *testing.T) {
	if name, ok := NodeOfID("acme", NodeID("acme", "n1")); !ok || name != "n1" {
		t.Errorf("node: %q, %v", name, ok)
	}
	if name, ok := ClusterOfID("acme", AgentID("acme", "alpha")); !ok || name != "alpha" {
		t.Errorf("agent: %q, %v", name, ok)
	}
	for _, id := range []string{
		"", "spiffe://acme", "spiffe://acme/server/", "spiffe://acme/server/a/b", "spiffe://other/server/n1", "spiffe://acme/serverless/n1",
		"spiffe://acme/agent/n1", "spiffe://acme/ns/server/sa/n1", "spiffe://acme/server/N1",
	} {
		if name, ok := NodeOfID("acme", id); ok {
			t.Errorf("%q counts as node %q", id, name)
		}
	}
	if name, ok := ClusterOfID("acme", NodeID("acme", "n1")); ok {
		t.Errorf("a node counts as the agent of %q", name)
	}
}

func TestOperatorIdentities(t *testing.T) {
	for _, name := range []string{"ann", "Ann.Smith-2", "a_b", "...", strings.Repeat("a", 64)} {
		if got, ok := OperatorOfID("acme", OperatorID("acme", name)); !ok || got != name {
			t.Errorf("%q: %q, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "ann@example.org", "a b", "ä", "a\n", "a%2e", strings.Repeat("a", 65)} {
		if got, ok := OperatorOfID("acme", OperatorID("acme", name)); ok {
			t.Errorf("%q counts as operator %q", name, got)
		}
	}
	for _, id := range []string{NodeID("acme", "n1"), AgentID("acme", "n1"), OperatorID("other", "ann"), "spiffe://acme/operators/ann"} {
		if got, ok := OperatorOfID("acme", id); ok {
			t.Errorf("%q counts as operator %q", id, got)
		}
	}
	if name, ok := NodeOfID("acme", OperatorID("acme", "n1")); ok {
		t.Errorf("an operator counts as node %q", name)
	}
}
