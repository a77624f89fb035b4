package model

import "time"

// QueryKind names a question that a federation node puts to a site's agent, over the session that the agent has opened.
type QueryKind string

// The questions. Requests and answers are JSON.
const (
	// QueryExplain asks why calls of a service go where they go; the answer is an explanation.
	QueryExplain QueryKind = "explain"
	// QueryAcknowledged asks which proxies follow a change: AcknowledgedRequest, SiteAcknowledgement.
	QueryAcknowledged QueryKind = "acknowledged"
	// QueryGateways asks what the agent finds of other clusters' gateways: no request, a list of GatewayFinding.
	QueryGateways QueryKind = "gateways"
	// QueryClock asks for the agent's time, build and certificates: no request, AgentClock.
	QueryClock QueryKind = "clock"
	// QueryWorkload asks for one workload as its site has it registered: WorkloadRequest, SiteWorkload.
	QueryWorkload QueryKind = "workload"
	// QueryRegister has a workload registered, or its registration ended: WorkloadWrite, WorkloadWritten.
	QueryRegister QueryKind = "register"
)

// QueryProtocol is the first protocol in which nodes ask agents, RegisterProtocol the first in which agents register workloads for them.
const (
	QueryProtocol    = 3
	RegisterProtocol = 4
	// ImportRuleProtocol is the first in which agents know import rules.
	ImportRuleProtocol = 4
)

// Protocol is the first protocol in which agents are asked this.
func (k QueryKind) Protocol() uint32 {
	if k == QueryWorkload || k == QueryRegister {
		return RegisterProtocol
	}
	return QueryProtocol
}

// Changes reports whether more than an answer comes of the question.
func (k QueryKind) Changes() bool { return k == QueryRegister }

// The bounds of questions. Both sides keep them: neither has to trust the other.
const (
	// MaxQueries is how many questions of one session may be open at a time.
	MaxQueries = 8
	// QueryTimeout is how long an answer may take.
	QueryTimeout = 5 * time.Second
	// MaxQuery and MaxAnswer bound a request and an answer, in bytes of JSON.
	MaxQuery  = 16 << 10
	MaxAnswer = 1 << 20
)

// QueryCode says what became of a question.
type QueryCode string

// The outcomes.
const (
	QueryOK QueryCode = "ok"
	// QueryInvalid: the request makes no sense.
	QueryInvalid QueryCode = "invalid"
	// QueryNotFound: the agent does not know what is asked about.
	QueryNotFound QueryCode = "not-found"
	// QueryDenied: the site does not let the federation do this.
	QueryDenied QueryCode = "denied"
	// QueryConflict: what is asked for contradicts what the agent holds.
	QueryConflict QueryCode = "conflict"
	// QueryMismatch: a condition does not hold.
	QueryMismatch QueryCode = "mismatch"
	// QueryUnknownKind: the agent is too old for the question, though not for the protocol.
	QueryUnknownKind QueryCode = "unknown-kind"
	// QueryBusy: MaxQueries are open.
	QueryBusy QueryCode = "busy"
	// QueryTimedOut: no answer came within QueryTimeout.
	QueryTimedOut QueryCode = "timed-out"
	// QueryFailed: the agent could not answer, or its answer is of no use.
	QueryFailed QueryCode = "failed"
	// QueryDisconnected: the agent has no session at the node that was asked, or the session ended.
	QueryDisconnected QueryCode = "disconnected"
	// QueryOutdated: the agent speaks a protocol before QueryProtocol.
	QueryOutdated QueryCode = "outdated"
)

// QueryError is why a question was not answered.
type QueryError struct {
	Code    QueryCode
	Message string
}

// Error returns the message.
func (e *QueryError) Error() string { return e.Message }

// AgentClock is what an agent says of itself.
type AgentClock struct {
	// Now is the agent's clock when it answered.
	Now     time.Time `json:"now"`
	Version string    `json:"version"`
	// Instance is the agent's process.
	Instance string `json:"instance"`
	// Index is the Raft index of the federation's state that the agent knows; 0 before it has heard any.
	Index uint64 `json:"index"`
	// Certificates are the agent's own and those that its proxies report, the first to end first.
	Certificates []CertificateExpiry `json:"certificates"`
}

// CertificateExpiry is when a certificate ends.
type CertificateExpiry struct {
	// Of names the holder: "agent" (towards the federation), "site" (the agent towards its proxies), "ca" (the site's root), or "proxy WORKLOAD".
	Of        string    `json:"of"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// GatewayFinding is what an agent knows of one address of another cluster's gateway.
type GatewayFinding struct {
	Cluster ClusterName `json:"cluster"`
	Gateway string      `json:"gateway"`
	// Address is IP:PORT.
	Address  string `json:"address"`
	Draining bool   `json:"draining,omitempty"`
	// Reachable is what calls go by: "good", "bad" or "unknown", which counts as good.
	Reachable string `json:"reachable"`
	// Degraded says that the path there has become much longer or loses packets: calls prefer other clusters.
	Degraded bool `json:"degraded,omitempty"`
	// Own is what this site's own probes have shown, Since when, and LastError why the last one failed.
	Own       string     `json:"own"`
	Since     *time.Time `json:"since,omitempty"`
	LastError string     `json:"lastError,omitempty"`
	// ConnectSeconds is how long the last TCP connection took to stand, ProbeSeconds how long the last successful probe took.
	ConnectSeconds float64 `json:"connectSeconds,omitempty"`
	ProbeSeconds   float64 `json:"probeSeconds,omitempty"`
	// GoodFor and BadFor are the other clusters that say so.
	GoodFor []ClusterName `json:"goodFor,omitempty"`
	BadFor  []ClusterName `json:"badFor,omitempty"`
	// Suspicious says that one of them contradicts the own result, which is therefore renewed more often.
	Suspicious bool `json:"suspicious,omitempty"`
}

// AcknowledgedRequest asks who follows the federation's state as of a Raft index.
type AcknowledgedRequest struct {
	Index uint64 `json:"index"`
}

// SiteAcknowledgement is how far a site follows the federation's state.
type SiteAcknowledgement struct {
	// Known is the index of the state that the agent knows, Derived that of the state from which it last derived its proxies'
	// configuration.
	Known   uint64 `json:"known"`
	Derived uint64 `json:"derived"`
	// Proxies is how many are connected; Waiting are those of them that have not acknowledged the index asked for, by name.
	Proxies int                    `json:"proxies"`
	Waiting []ProxyAcknowledgement `json:"waiting"`
	// More is how many further ones wait and are not listed.
	More int `json:"more,omitempty"`
}

// ProxyAcknowledgement is how far one proxy follows.
type ProxyAcknowledgement struct {
	Proxy string `json:"proxy"`
	// Index is the newest state index of which its Envoy is known to have all that follows from it; 0 when none is.
	Index uint64 `json:"index"`
	// Reason says what is missing.
	Reason string `json:"reason"`
	// Nacks are what its Envoy refuses at the moment.
	Nacks []Nack `json:"nacks,omitempty"`
}
