package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	restapi "github.com/hanse-mesh/hanse/api/client"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// memberKinds are who belongs to the federation, and what lets them in.
func memberKinds() []kind {
	return []kind{
		{
			name: model.KindCluster, plural: "clusters", short: []string{"cl"},
			list: listing((*restapi.Client).ListClusters), get: naming((*restapi.Client).GetCluster), remove: naming((*restapi.Client).RemoveCluster),
			logged: true, live: true, ending: "removed", filters: []string{"region"}, view: clusterLayout().layout,
		},
		{
			name: model.KindNode, plural: "nodes", short: []string{"no"},
			list: listing((*restapi.Client).ListNodes), get: naming((*restapi.Client).GetNode), remove: naming((*restapi.Client).RemoveNode),
			logged: true, live: true, ending: "removed", filters: []string{"region"}, view: nodeLayout().layout,
		},
		{
			name: model.KindToken, plural: "tokens", short: []string{"tok"},
			list: listing((*restapi.Client).ListTokens), get: naming((*restapi.Client).GetToken), remove: naming((*restapi.Client).RevokeToken),
			logged: true, ending: "revoked", view: tokenLayout().layout,
		},
		{
			name: model.KindTrustDomain, plural: "trustdomains", short: []string{"td"},
			list: listing((*restapi.Client).ListTrustDomains), get: naming((*restapi.Client).GetTrustDomain),
			logged: true, live: true, view: trustLayout().layout,
		},
	}
}

func clusterLayout() typedLayout[rest.ClusterView] {
	return layoutOf(
		[]string{"CLUSTER", "REGION", "TRUST DOMAIN", "FEED AGE", "RECORDS", "GATEWAYS", "PROXIES", "MAY EXPORT"},
		[]string{"VERSION", "INSTANCE", "AGENT", "JOINED"},
		func(c rest.ClusterView) string { return string(c.Name) },
		oneRow(func(c rest.ClusterView) []any {
			age, version, instance, records, proxies, agent := "nothing yet", "-", "-", "-", "-", "-"
			if c.Feed != nil {
				age = ageText(c.Feed.AgeSeconds, c.Feed.Stale)
				version, instance, records = fmt.Sprintf("%d.%d", c.Feed.Epoch, c.Feed.Seq), shortInstance(c.Feed.Instance), strconv.Itoa(c.Feed.Records)
			}
			if c.Status != nil {
				proxies = fmt.Sprintf("%d of %d", connectedProxies(c.Status.Proxies), len(c.Status.Proxies))
				agent = c.Status.AgentVersion
			}
			return []any{c.Name, c.Region, c.TrustDomain, age, records, len(c.Gateways), proxies, strings.Join(c.ExportNamespaces, ","),
				version, instance, agent, timeText(c.JoinedAt)}
		}))
}

func connectedProxies(list []model.ProxyStatus) int {
	n := 0
	for _, p := range list {
		if p.Connected {
			n++
		}
	}
	return n
}

func nodeLayout() typedLayout[rest.NodeView] {
	return layoutOf(
		[]string{"NODE", "REGION", "ROLE", "ALIVE", "LEADER", "GRPC", "REST"}, []string{"RAFT", "GOSSIP", "PROTOCOL", "COMMANDS"},
		func(n rest.NodeView) string { return n.Name },
		oneRow(func(n rest.NodeView) []any {
			return []any{n.Name, n.Region, n.Role(), yesNo(n.Alive), yesNo(n.Leader), n.GRPCAddress, n.RESTAddress,
				n.RaftAddress, n.GossipAddress, fmt.Sprintf("%d-%d", n.ProtocolMin, n.ProtocolMax), n.CommandMax}
		}))
}

func tokenLayout() typedLayout[model.Token] {
	return layoutOf(
		[]string{"ID", "KIND", "FOR", "MAY", "EXPIRES", "USED BY", "REVOKED"}, []string{"CREATED"},
		func(t model.Token) string { return t.ID },
		oneRow(func(t model.Token) []any {
			return []any{t.ID, t.Kind, tokenScope(t), tokenMay(t), timeText(t.ExpiresAt), t.BoundName, yesNo(t.Revoked), timeText(t.CreatedAt)}
		}))
}

// tokenScope is whom a token is for: a cluster, several by their prefix, or whomever its maker noted.
func tokenScope(t model.Token) string {
	if t.ClusterPrefix != "" {
		return t.ClusterPrefix + "*"
	}
	return t.Cluster + t.Label
}

// tokenMay is what a token's holder may do: export namespaces, or operate in a role.
func tokenMay(t model.Token) string {
	switch {
	case t.Kind == model.TokenCluster:
		return "export " + orNone(strings.Join(t.ExportNamespaces, ","))
	case t.Kind != model.TokenOperator:
		return ""
	case len(t.Namespaces) > 0:
		return fmt.Sprintf("%s in %s", t.Role, strings.Join(t.Namespaces, ","))
	case t.Role == "":
		return string(model.RoleAdmin)
	default:
		return string(t.Role)
	}
}

func trustLayout() typedLayout[rest.TrustDomain] {
	return layoutOf(
		[]string{"TRUST DOMAIN", "CLUSTER", "SEQUENCE", "ROOTS (SHA-256)", "FIRST EXPIRY"}, nil,
		func(d rest.TrustDomain) string { return d.Name },
		oneRow(func(d rest.TrustDomain) []any {
			if d.Bundle == nil {
				return []any{d.Name, d.Cluster, "none yet", "", ""}
			}
			var roots []string
			var first time.Time
			for _, r := range d.Bundle.Roots {
				roots = append(roots, r.SHA256)
				if first.IsZero() || r.NotAfter.Before(first) {
					first = r.NotAfter
				}
			}
			return []any{d.Name, d.Cluster, d.Bundle.Sequence, strings.Join(roots, ","), timeText(first)}
		}))
}

// timeText is a moment as it stands in tables; the zero value is never.
func timeText(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

// ageText is an age as people read it.
func ageText(seconds float64, stale bool) string {
	text := shortDuration(time.Duration(seconds * float64(time.Second)))
	if stale {
		text += " (stale)"
	}
	return text
}

// shortInstance is enough of a process's random id to tell two apart.
func shortInstance(id string) string { return id[:min(len(id), 8)] }
