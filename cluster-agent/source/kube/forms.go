package kube

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/api/model"
)

// The forms below are what is remembered of an object: a cluster has many more objects than exported services, so each is as small as
// what follows from it allows. Values are immutable once read.

// service is what counts of a Service.
type service struct {
	kind     corev1.ServiceType
	headless bool
	// derived is the service that it stands for when the agent itself made it.
	derived      model.ServiceKey
	ports        []model.Port
	families     []model.IPFamily
	clusterIPs   []string
	affinity     string
	timeout      int32
	policy       string
	distribution string
	// entry is set for the Service of this cluster's gateways alone.
	entry *entry
}

// slice is what counts of an EndpointSlice.
type slice struct {
	service   model.ServiceKey
	family    model.IPFamily
	ports     []slicePort
	endpoints []endpoint
}

type slicePort struct {
	name      string
	number    uint16
	transport model.Protocol
}

type endpoint struct {
	address, pod, hostname, node, zone string
	// ready is true for new calls; terminating pods may go on serving what they have.
	ready, serving, terminating bool
}

// node is what counts of a Node.
type node struct {
	region, zone string
	ready        bool
	// addresses are those that others outside the cluster would use, the best kind first.
	addresses string
	podCIDRs  string
}

// export is what counts of a ServiceExport.
type export struct {
	generation          int64
	createdAt           time.Time
	labels, annotations map[string]string
	conditions          []metav1.Condition
}
