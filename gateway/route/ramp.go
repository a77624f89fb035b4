package route

import "github.com/hanse-mesh/hanse/api/model"

// RampKey names the capacity that is failing back: one service's in one locality of one cluster.
type RampKey struct {
	Service  model.ServiceKey  `json:"service"`
	Cluster  model.ClusterName `json:"cluster"`
	Locality model.Locality    `json:"locality"`
	// Terminated tells what gateways terminate from what they pass on.
	Terminated bool `json:"terminated,omitempty"`
}

// HeldDown is the percentage of capacity that dies again and again: it stands behind all other capacity until it has held out for a
// while. What flaps could otherwise push the others' traffic to and fro.
const HeldDown uint32 = 0
