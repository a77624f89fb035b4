package model

import "strings"

// NodeID is a federation node's identity: spiffe://FEDERATION/server/NODE.
func NodeID(federation, node string) string { return "spiffe://" + federation + nodePath + node }

// AgentID is the identity of a cluster's agent towards the federation: spiffe://FEDERATION/agent/CLUSTER.
func AgentID(federation string, cluster ClusterName) string {
	return "spiffe://" + federation + agentPath + string(cluster)
}

// The paths of federation-internal identities.
const (
	nodePath  = "/server/"
	agentPath = "/agent/"
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

func labelAfter(prefix, id string) (string, bool) {
	name, ok := strings.CutPrefix(id, prefix)
	if !ok || ValidateLabel("name", name) != nil {
		return "", false
	}
	return name, true
}
