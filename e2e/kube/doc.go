// Package kube owns the suites against real Kubernetes clusters: what the Multi-Cluster Services API demands, rule by rule, with real pods,
// names and packets; that clusters' networks do not reach each other by any other way; what calls notice of a cluster that is struck; and as
// whom a pod with a proxy of its own is seen.
//
// They run behind the build tag e2ekube, as root, in clusters that package lab makes, or in those that KUBECONFIGS names: `make e2e-kube`.
package kube
