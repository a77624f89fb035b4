package model

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// TokenAudience is the audience of the service-account tokens by which pods prove to their site's agent who they are. The API server takes
// none of them for itself.
const TokenAudience = "hanse"

// Pod is who a service-account token was issued to.
type Pod struct {
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
	Name           string `json:"name"`
	UID            string `json:"uid"`
}

const (
	podSeparator = "--"
	// podHash is the number of hexadecimal digits that tell apart pods whose names do not fit.
	podHash = 10
	// maxPodPrefix leaves room for the separator and the hash in a label of 63.
	maxPodPrefix = 63 - len(podSeparator) - podHash
)

// PodWorkloadID is the workload ID of a pod's proxy: "NAMESPACE--POD" where that is an RFC 1123 label and can be read in one way only, else
// the start of that and a hash. Different pods have different IDs, except by a collision that somebody has searched for.
func PodWorkloadID(namespace, pod string) string {
	id := namespace + podSeparator + pod
	if ValidateLabel("workload", id) == nil && strings.Count(id, podSeparator) == 1 {
		return id
	}
	sum := sha256.Sum256([]byte(namespace + "/" + pod))
	prefix := strings.ReplaceAll(strings.ReplaceAll(id, ".", "-"), podSeparator, "-")
	prefix = strings.TrimRight(prefix[:min(len(prefix), maxPodPrefix)], "-")
	return prefix + podSeparator + hex.EncodeToString(sum[:])[:podHash]
}
