package diagnose

import (
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// Known is a value, or the reason why it could not be had. The zero value is one that nobody asked for.
type Known[T any] struct {
	value   T
	had     bool
	missing string
}

// Have is a value that was had.
func Have[T any](v T) Known[T] { return Known[T]{value: v, had: true} }

// Lack says why there is no value.
func Lack[T any](reason string) Known[T] { return Known[T]{missing: reason} }

// Value returns the value, which is the zero value when it could not be had.
func (k Known[T]) Value() T { return k.value }

// Had reports whether there is a value.
func (k Known[T]) Had() bool { return k.had }

// Missing is why there is no value; it is empty when there is one.
func (k Known[T]) Missing() string {
	if k.had || k.missing != "" {
		return k.missing
	}
	return "it was not asked for"
}

// Report is what could be learnt of a federation.
type Report struct {
	// At is the clock of the one who asked, when he asked.
	At       time.Time
	Nodes    Known[[]Node]
	Clusters Known[[]Cluster]
	Services Known[[]Service]
	Failover Known[[]policy.FailoverPolicy]
	Exports  Known[[]policy.ExportRule]
	Imports  Known[[]policy.ImportRule]
	Tokens   Known[[]model.Token]
	Roots    Known[[]Root]
	// Verdicts are what clusters publish of others' gateways.
	Verdicts Known[[]Path]
}

// Node is a federation node.
type Node struct {
	model.Node
	// Alive is whether the nodes that answered reach it.
	Alive bool
	// Self is what it says when it is asked itself.
	Self Known[NodeSelf]
}

// NodeSelf is what a node says of itself.
type NodeSelf struct {
	Version string
	// Leader is whom it takes for the leader; empty for nobody.
	Leader string
	// Behind is how old its knowledge of the leader's log is.
	Behind time.Duration
	Clock  Known[Clock]
	// Certificate is the one that it shows.
	Certificate Known[Validity]
	// Sights are what it holds of the clusters' feeds.
	Sights []Sight
}

// Sight is what a node holds of one cluster's feed.
type Sight struct {
	Cluster model.ClusterName
	// Age is the time since the cluster's agent last confirmed it, by the node's own clock.
	Age time.Duration
	// Instance is the process that publishes, Rivals others that would.
	Instance   string
	Rivals     []string
	SlowedDown bool
}

// Clock is how far a clock is ahead of the asker's; behind is negative. The truth lies within Within of it.
type Clock struct{ Ahead, Within time.Duration }

// Validity is when a certificate counts.
type Validity struct{ From, Until time.Time }

// Root is a CA certificate of a trust domain.
type Root struct {
	TrustDomain string
	// Name tells several roots of one trust domain apart.
	Name  string
	Until time.Time
}

// Cluster is a member.
type Cluster struct {
	model.Cluster
	// Published is whether any node that answered holds something of it.
	Published bool
	Gateways  []model.Gateway
	// Status is nil until its agent has told one.
	Status *model.SiteStatus
	// Refused says which of its records nodes refuse, and why, each as KEY: REASON.
	Refused []string
	// Agent and Paths are what its agent says when it is asked.
	Agent Known[AgentSelf]
	Paths Known[[]Path]
}

// AgentSelf is what a cluster's agent says of itself.
type AgentSelf struct {
	Version string
	Clock   Clock
	// Certificates are its own and those of the site's proxies.
	Certificates []Certificate
}

// Certificate is one of a site: Of is "agent" (towards the federation), "site" (the agent towards its proxies), "ca" (the site's root) or
// "proxy WORKLOAD".
type Certificate struct {
	Of    string
	Until time.Time
}

// Path is the way from a cluster to one address of another one's gateway.
type Path struct {
	From    model.ClusterName `json:"from"`
	To      model.ClusterName `json:"to"`
	Gateway string            `json:"gateway"`
	// Address is IP:PORT.
	Address string    `json:"address"`
	State   PathState `json:"state"`
	// Degraded says that the way has become much longer or loses packets.
	Degraded bool `json:"degraded,omitempty"`
	// Since is when the state began by the prober's clock; zero when it did not say.
	Since time.Time `json:"since,omitzero"`
	// Reason is why the last probe failed.
	Reason string `json:"reason,omitempty"`
}

// PathState is what a prober found.
type PathState string

// The states of a path. What nobody knows counts as good, for calls.
const (
	Reached   PathState = "good"
	Unreached PathState = "bad"
	Untried   PathState = "unknown"
)

// Service is a service as clusters offer it.
type Service struct {
	Service model.ServiceKey
	Offers  []Offer
}

// Offer is one cluster's part of a service.
type Offer struct {
	Cluster model.ClusterName
	Ports   []model.Port
	// Regions are those in which it has capacity.
	Regions []string
	// Importers are the other clusters that may call it.
	Importers []model.ClusterName
}
