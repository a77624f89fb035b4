package diagnose

import "slices"

// Code names a kind of fault.
type Code string

// Group is what a fault is about.
type Group string

// The groups, in the order in which they are shown.
const (
	Nodes        Group = "nodes"
	Clocks       Group = "clocks"
	Versions     Group = "versions"
	Certificates Group = "certificates"
	Feeds        Group = "feeds"
	Proxies      Group = "proxies"
	Gateways     Group = "gateways"
	Services     Group = "services"
	Policies     Group = "policies"
	Unseen       Group = "not looked at"
)

// Groups lists the groups in their order.
func Groups() []Group {
	return []Group{Nodes, Clocks, Versions, Certificates, Feeds, Proxies, Gateways, Services, Policies, Unseen}
}

func (g Group) rank() int { return slices.Index(Groups(), g) }

// kind is what all findings of a code have in common.
type kind struct {
	code     Code
	severity Severity
	group    Group
	remedy   string
}

// Codes lists the codes of a group in the order of the alphabet.
func Codes(g Group) []Code {
	var out []Code
	for _, k := range kinds {
		if k.group == g {
			out = append(out, k.code)
		}
	}
	slices.Sort(out)
	return out
}

// kinds are all kinds of fault.
var kinds = []kind{
	noLeader, leaderDisputed, nodeDead, nodeBehind, quorumAtRisk, clockSkew, ownClockSkew, versionDiffers, protocolGap,
	certificateExpired, certificateExpiring, tokenExpired, tokenExpiring,
	neverPublished, feedSilent, feedStale, feedStuck, twoPublishers, slowedDown, massRemovalHeld, recordRefused, identityDenied,
	nack, proxyAway, proxyUnready, proxyDraining, upstreamUnknown, callerDenied, upstreamWrong,
	gatewayMissing, gatewayUnreachable, gatewayDraining, gatewaysOut, gatewayUnpublished, pathDegraded,
	portConflict, exportRuleMissing, namespaceClosed, nobodyMayCall, workloadUnexported,
	unknownRegion, unknownCluster, ruleOpensNothing, unknownService, siteProblem, notSeen,
}

var (
	noLeader       = kind{"no-leader", Error, Nodes, "start the nodes that are down until a majority of the voters is up; calls go on meanwhile, changes do not"}
	leaderDisputed = kind{"leader-disputed", Warning, Nodes, "ask again in some seconds; if it stays, look at the network between the nodes' Raft ports"}
	nodeDead       = kind{"node-dead", Error, Nodes, "start it, or look at the network to its gossip port (7703 by default, TCP and UDP); if it is gone for good: 'hanse node remove NAME'"}
	nodeBehind     = kind{"node-behind", Warning, Nodes, "look at its log and disk, and at the network between its Raft port and the leader's"}
	quorumAtRisk   = kind{"quorum-at-risk", Error, Nodes, "start the dead voters now: with one more down nothing can be changed any more"}

	clockSkew    = kind{"clock-skew", Warning, Clocks, "synchronise it (NTP, chrony): beyond a minute, certificates that others sign are not valid for it yet"}
	ownClockSkew = kind{"own-clock-skew", Warning, Clocks, "synchronise this machine's clock; what is said here of expiries goes by the nodes' clocks"}

	versionDiffers = kind{"version-differs", Info, Versions, "finish the upgrade: nodes first, then agents"}
	protocolGap    = kind{"protocol-gap", Error, Versions, "upgrade the older node first to a version that both understand"}

	certificateExpired  = kind{"certificate-expired", Error, Certificates, "look at the log of the process that should have renewed it: is it running, and does it reach the one who signs?"}
	certificateExpiring = kind{"certificate-expiring", Warning, Certificates, "it should have been renewed by now: look at the log of the process that renews it"}
	tokenExpired        = kind{"token-expired", Info, Certificates, "revoke it: 'hanse token revoke ID'; make another for whoever still needs one"}
	tokenExpiring       = kind{"token-expiring", Warning, Certificates, "make another one with 'hanse token create operator' before it ends"}

	neverPublished  = kind{"never-published", Warning, Feeds, "look at its agent: is it running, and does 'hanse agent status' there show a session?"}
	feedSilent      = kind{"feed-silent", Warning, Feeds, "look at its agent: is it running, and does it reach a node? Its last known state stays in force"}
	feedStale       = kind{"feed-stale", Error, Feeds, "look at its agent: is it running, and does it reach a node? Calls prefer whatever is fresh"}
	feedStuck       = kind{"feed-stuck", Warning, Feeds, "look at the network between this node's gRPC port and the others': agents that are connected to it work with what is old"}
	twoPublishers   = kind{"two-publishers", Error, Feeds, "two processes run on copies of one data folder: stop one ('hanse agent status' tells which instance a machine runs)"}
	slowedDown      = kind{"slowed-down", Warning, Feeds, "find what changes so often there: a workload whose check flaps, or a registry that is written anew"}
	massRemovalHeld = kind{"mass-removal-held", Warning, Feeds, "if it was meant, say so at the cluster that removed them: 'hanse agent confirm-removals'; if not, mend its registry now"}
	recordRefused   = kind{"record-refused", Error, Feeds, "mend what the reason names at the cluster that publishes it; it does not count until then"}
	identityDenied  = kind{"identity-denied", Error, Feeds, "a cluster can claim identities of its own trust domain and the service's namespace only: find out who publishes this"}

	nack            = kind{"nack", Error, Proxies, "mend what the reason names, mostly a port that something else uses; Envoy goes on with the last configuration that it took"}
	proxyAway       = kind{"proxy-away", Warning, Proxies, "look at the proxy's log: is it running, and does it reach its agent? Its Envoy goes on meanwhile"}
	proxyUnready    = kind{"proxy-unready", Warning, Proxies, "look at the application and its checks; 'hanse proxy status' where it runs, or its /readyz, says what is missing"}
	proxyDraining   = kind{"proxy-draining", Info, Proxies, "when the work is done: 'hanse proxy undrain' where it runs"}
	upstreamUnknown = kind{"upstream-unknown", Warning, Proxies, "mend the name in the workload's --upstream, or register and export the service"}
	callerDenied    = kind{"caller-denied", Error, Proxies, "add the caller's cluster to the rule's importers (spec.to), or take the upstream from the workload"}
	upstreamWrong   = kind{"upstream-wrong", Error, Proxies, "mend the workload's --upstream as the reason says"}

	gatewayMissing     = kind{"gateway-missing", Error, Gateways, "start one there: 'hanse proxy --gateway' (see its --help)"}
	gatewayUnreachable = kind{"gateway-unreachable", Warning, Gateways, "from the prober's machine, look at the way to the address: firewall, advertised address, is the gateway running?"}
	gatewayDraining    = kind{"gateway-draining", Warning, Gateways, "if it was drained, 'hanse proxy undrain' where it runs; if not, look why its Envoy is not ready"}
	gatewaysOut        = kind{"no-gateway-in-rotation", Error, Gateways, "undrain one ('hanse proxy undrain'), or start another"}
	gatewayUnpublished = kind{"gateway-not-published", Error, Gateways, "mend what the reason names in the gateway's flags"}
	pathDegraded       = kind{"path-degraded", Warning, Gateways, "look at the network between the two; calls go to other clusters where they can"}

	portConflict       = kind{"port-conflict", Error, Services, "make the clusters agree on the port's protocol: only those that agree with the first are called"}
	exportRuleMissing  = kind{"export-rule-missing", Error, Services, "apply an ExportRule that names the cluster, the namespace and who may call, or start its workloads without --export"}
	namespaceClosed    = kind{"namespace-closed", Error, Services, "let the cluster join with a token that allows the namespace ('hanse token create cluster NAME --export …'), or do not export it"}
	nobodyMayCall      = kind{"nobody-may-call", Warning, Services, "name members in the rule's importers (spec.to)"}
	nobodyImports      = kind{"nobody-imports", Warning, Services, "add it to an ImportRule of a cluster that should call it, or start its workloads without --export"}
	workloadUnexported = kind{"workload-not-exported", Error, Services, "mend what the reason names in the workload's flags"}

	unknownRegion    = kind{"unknown-region", Error, Policies, "mend the region's name and apply the policy again; 'hanse cluster list' shows the regions"}
	unknownCluster   = kind{"unknown-cluster", Error, Policies, "mend the cluster's name and apply the rule again; 'hanse cluster list' shows the members"}
	ruleOpensNothing = kind{"rule-opens-nothing", Warning, Policies, "mend the namespace's name, or let the cluster join with a token that allows it"}
	unknownService   = kind{"unknown-service", Warning, Policies, "mend the service's name in the document; 'hanse service list' shows what is offered"}

	siteProblem = kind{"site-problem", Warning, Services, "mend what the text names at the cluster"}
	notSeen     = kind{"not-looked-at", Warning, Unseen, "make it answer and check again; nothing is said of it here"}
)
