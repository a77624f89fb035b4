package model

import (
	"fmt"
	"strings"
)

// NodeID is a federation node's identity: spiffe://FEDERATION/server/NODE.
func NodeID(federation, node string) string { return "spiffe://" + federation + nodePath + node }

// AgentID is the identity of a cluster's agent towards the federation: spiffe://FEDERATION/agent/CLUSTER.
func AgentID(federation string, cluster ClusterName) string {
	return "spiffe://" + federation + agentPath + string(cluster)
}

// OperatorID is the identity of an operator who shows a certificate: spiffe://FEDERATION/operator/NAME.
func OperatorID(federation, name string) string {
	return "spiffe://" + federation + operatorPath + name
}

// The paths of federation-internal identities.
const (
	nodePath     = "/server/"
	agentPath    = "/agent/"
	operatorPath = "/operator/"
)

// NodeOfID returns the node's name when id is a node's identity in the federation.
func NodeOfID(federation, id string) (string, bool) {
	return labelAfter("spiffe://"+federation+nodePath, id)
}

// ClusterOfID returns the cluster's name when id is an agent's identity in the federation.
func ClusterOfID(federation, id string) (ClusterName, bool) {
	name, ok := labelAfter("spiffe://"+federation+agentPath, id)
	return ClusterName(name), ok
}

// OperatorOfID returns the operator's name when id is an operator's identity in the federation.
func OperatorOfID(federation, id string) (string, bool) {
	name, ok := strings.CutPrefix(id, "spiffe://"+federation+operatorPath)
	if !ok || ValidateOperator("name", name) != nil {
		return "", false
	}
	return name, true
}

// maxOperator bounds an operator's name, in bytes.
const maxOperator = 64

// ValidateOperator reports why value cannot be the name of an operator in a certificate: it is one segment of a SPIFFE ID's path.
func ValidateOperator(field, value string) error {
	other := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.')
	}
	switch {
	case value == "" || len(value) > maxOperator:
		return fmt.Errorf("%s must have 1 to %d characters", field, maxOperator)
	case strings.ContainsFunc(value, other) || value == "." || value == "..":
		return fmt.Errorf("%s %q is not an operator's name: use letters, digits, '.', '-' and '_', for example ann.smith", field, value)
	}
	return nil
}

func labelAfter(prefix, id string) (string, bool) {
	name, ok := strings.CutPrefix(id, prefix)
	if !ok || ValidateLabel("name", name) != nil {
		return "", false
	}
	return name, true
}
