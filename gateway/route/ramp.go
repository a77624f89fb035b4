package route

import "github.com/hanse-mesh/hanse/api/model"

// RampKey names the capacity that is failing back: one service's in one locality of one cluster.
type RampKey struct {
	Service  model.ServiceKey
	Cluster  model.ClusterName
	Locality model.Locality
}
