package model

import "testing"

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
