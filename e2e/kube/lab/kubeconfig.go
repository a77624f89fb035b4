package lab

import (
	"encoding/base64"
	"fmt"
)

// kubeconfig is a file with one context, for whoever holds a token.
func kubeconfig(context, server string, ca []byte, token string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %[1]s
clusters:
- name: %[1]s
  cluster: {server: %[2]q, certificate-authority-data: %[3]s}
contexts:
- name: %[1]s
  context: {cluster: %[1]s, user: %[1]s}
users:
- name: %[1]s
  user: {token: %[4]s}
`, context, server, base64.StdEncoding.EncodeToString(ca), token)
}

// Kubeconfigs returns one file with a context for each cluster, in the lab's order.
func Kubeconfigs(clusters []*Cluster) string {
	var servers, contexts, users string
	for _, c := range clusters {
		ca := base64.StdEncoding.EncodeToString(c.credentials.caPEM)
		servers += fmt.Sprintf("- {name: %s, cluster: {server: %q, certificate-authority-data: %s}}\n", c.Name, c.server(), ca)
		contexts += fmt.Sprintf("- {name: %[1]s, context: {cluster: %[1]s, user: %[1]s}}\n", c.Name)
		users += fmt.Sprintf("- {name: %s, user: {token: %s}}\n", c.Name, c.credentials.tokens["admin"])
	}
	return fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: %s\nclusters:\n%scontexts:\n%susers:\n%s", clusters[0].Name, servers, contexts, users)
}
