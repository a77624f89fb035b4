package model

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"
)

// Version orders the states of one origin: the larger (Incarnation, Epoch, Seq) wins whole. It holds no wall clock.
type Version struct {
	// Incarnation is the Raft index at which the cluster joined.
	Incarnation uint64
	// Epoch grows each time the origin's publisher starts; an epoch begins with the full state.
	Epoch uint64
	// Seq counts the batches within an epoch, from 1.
	Seq uint64
}

// Compare orders versions; the result is as of cmp.Compare.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Incarnation, o.Incarnation), cmp.Compare(v.Epoch, o.Epoch), cmp.Compare(v.Seq, o.Seq))
}

// Validate refuses numbers of 2^63 and more: nobody counts so far, but a negative number in the wrong type looks like one, and what wins
// over everything for ever must not come from that.
func (v Version) Validate() error {
	if max(v.Incarnation, v.Epoch, v.Seq) > math.MaxInt64 {
		return fmt.Errorf("version %d.%d.%d has a number of 2^63 or more: it was negative, or overflowed", v.Incarnation, v.Epoch, v.Seq)
	}
	return nil
}

// IsZero reports whether v precedes every published state.
func (v Version) IsZero() bool { return v == Version{} }

// SameEpoch reports whether a batch can lead from one version to the other.
func (v Version) SameEpoch(o Version) bool {
	return v.Incarnation == o.Incarnation && v.Epoch == o.Epoch
}

// The keys of records that exist once per origin.
const (
	GatewaysKey      = "gateways"
	StatusKey        = "status"
	serviceKeyPrefix = "service/"
	verdictKeyPrefix = "verdicts/"
)

// RecordKey is the key of a service's record within its origin: "service/NAMESPACE/NAME".
func RecordKey(k ServiceKey) string { return serviceKeyPrefix + k.Namespace + "/" + k.Name }

// CutRecordKey returns the service when key is a service record's.
func CutRecordKey(key string) (ServiceKey, bool) {
	rest, ok := strings.CutPrefix(key, serviceKeyPrefix)
	namespace, name, both := strings.Cut(rest, "/")
	k := ServiceKey{Namespace: namespace, Name: name}
	if !ok || !both || k.Validate() != nil {
		return ServiceKey{}, false
	}
	return k, true
}

// VerdictKey is the key of an origin's verdicts on one other cluster's gateways: "verdicts/CLUSTER".
func VerdictKey(cluster ClusterName) string { return verdictKeyPrefix + string(cluster) }

// CutVerdictKey returns the cluster that is judged when key is a verdicts record's.
func CutVerdictKey(key string) (ClusterName, bool) {
	name, ok := strings.CutPrefix(key, verdictKeyPrefix)
	if !ok || ValidateLabel("cluster", name) != nil {
		return "", false
	}
	return ClusterName(name), true
}

// SignedRecord is an origin's statement, as the bytes that its agent marshalled and signed. Nodes store, compare and forward
// the bytes unchanged.
type SignedRecord struct {
	Key       string
	Record    []byte
	Signature []byte
}

// Batch moves one origin from version From to version To, or states it in full at To.
type Batch struct {
	Origin ClusterName
	// From is the version that the receiver must hold. It is ignored when Full.
	From Version
	To   Version
	Full bool
	// Upserts and Removals touch different keys.
	Upserts  []SignedRecord
	Removals []string
	// ProducedAt is the origin's clock when it last confirmed this state. A batch with From == To and no records only
	// refreshes it.
	ProducedAt time.Time
	// Instance is the random id of the publishing process: one epoch from two instances is a clone.
	Instance string
	// Confirmed says that the origin's operator means what this batch removes, or leaves out, to be gone: it is not held.
	Confirmed bool
}

// Capacity is how much of a service stands in one locality of one cluster.
type Capacity struct {
	Locality Locality `json:"locality"`
	Ready    uint32   `json:"ready"`
	Total    uint32   `json:"total"`
}

// ServiceRecord is one exported service of one cluster, without any endpoint address.
type ServiceRecord struct {
	Service ServiceKey `json:"service"`
	// Ports are sorted by number, UDP last; those of Export are the same.
	Ports []Port `json:"ports"`
	// Identities are the SPIFFE IDs that servers reached by the passthrough SNI may present, sorted; empty when there are none.
	Identities []string `json:"identities"`
	// Capacity is what the passthrough SNI reaches: workloads with an Envoy of their own. It is sorted by locality; each stands once.
	Capacity []Capacity `json:"capacity"`
	// Terminated is what the terminated SNI reaches: workloads for which the cluster's gateways answer, as GatewayServiceAccount. Sorted as Capacity.
	Terminated []Capacity `json:"terminated,omitempty"`
	// Export is what the Multi-Cluster Services API says of it; nil for a service that no Kubernetes cluster exports.
	Export *ServiceExport `json:"export,omitempty"`
}

// Gateway is one east-west gateway of a cluster.
type Gateway struct {
	Name string `json:"name"`
	// Address is an IP address or a host name.
	Address  string   `json:"address"`
	Port     uint16   `json:"port"`
	Locality Locality `json:"locality"`
	Draining bool     `json:"draining"`
}

// Nack is a configuration that an Envoy refused, with its reason.
type Nack struct {
	TypeURL string    `json:"typeUrl"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// ProxyStatus is how one proxy of a site fares.
type ProxyStatus struct {
	Workload string `json:"workload"`
	// Declared says that an operator has registered it: it has no proxy that could be connected.
	Declared  bool `json:"declared,omitempty"`
	Connected bool `json:"connected"`
	Ready     bool `json:"ready"`
	// Draining says that new calls are kept away on purpose.
	Draining     bool   `json:"draining,omitempty"`
	Nacks        []Nack `json:"nacks,omitempty"`
	EnvoyVersion string `json:"envoyVersion,omitempty"`
}

// SiteStatus is what operators want to know of a cluster; it is not sent to importers.
type SiteStatus struct {
	AgentVersion string        `json:"agentVersion"`
	Proxies      []ProxyStatus `json:"proxies"`
	// EarliestExpiry is when the cluster's first certificate runs out: the end of the outage budget.
	EarliestExpiry time.Time `json:"earliestExpiry,omitzero"`
	// Dropped says which records or exports were refused, and why.
	Dropped []string `json:"dropped,omitempty"`
	// Introduced are the trust domains whose bundles are introduced, not pinned.
	Introduced []string `json:"introduced,omitempty"`
	// Held says which records of other clusters vanished at once and stay in force for a while, and until when.
	Held []string `json:"held,omitempty"`
}

// VerdictSet is what a cluster finds, by its own probes, of one other cluster's gateways.
type VerdictSet struct {
	// Cluster is the one that is judged.
	Cluster ClusterName
	// Verdicts are sorted by gateway, address and port. An address that was not judged yet has none.
	Verdicts []Verdict
}

// Verdict is one prober's judgement of one gateway address.
type Verdict struct {
	Gateway string
	// Address is an IP address.
	Address string
	Port    uint16
	Bad     bool
	// Since is the prober's clock when it came to this judgement. It orders nothing: clocks differ.
	Since time.Time
}

// Record is the content of a SignedRecord: exactly one of Service, Gateways, Status and Verdicts is set.
type Record struct {
	Cluster ClusterName
	// Version is the batch that carried this record first: an older record cannot be replayed over it.
	Version  Version
	Service  *ServiceRecord
	Gateways []Gateway
	Status   *SiteStatus
	Verdicts *VerdictSet
}

// Key returns the key under which the record stands in its origin.
func (r Record) Key() string {
	switch {
	case r.Service != nil:
		return RecordKey(r.Service.Service)
	case r.Status != nil:
		return StatusKey
	case r.Verdicts != nil:
		return VerdictKey(r.Verdicts.Cluster)
	default:
		return GatewaysKey
	}
}
