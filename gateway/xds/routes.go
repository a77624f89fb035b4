package xds

import (
	"slices"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	previousprioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

const (
	// retryOn repeats only what never reached an application, whatever the method.
	retryOn = "connect-failure,refused-stream,reset-before-request,retriable-headers"
	// retrySafeOn repeats GET and HEAD also when the connection broke before an answer.
	retrySafeOn = retryOn + ",reset"
	// attemptHeader is Envoy's count of attempts, from 1, which callers' Envoys send along.
	attemptHeader = "x-envoy-attempt-count"
	// openRoutes is the route configuration of the listener that offers every HTTP service by Host.
	openRoutes = "open-http"
)

// UnreadyKey is the runtime key (Envoy's layered runtime) that a proxy sets to 100 while its workload's check fails, and else to 0.
const UnreadyKey = "hanse.unready"

// callRoutes lead every request to a service port's cluster.
func callRoutes(sni string) []*routev3.Route {
	return []*routev3.Route{callRoute(sni, safeMethods(), retrySafeOn), callRoute(sni, anyPath(), retryOn)}
}

func callRoute(sni string, match *routev3.RouteMatch, on string) *routev3.Route {
	return &routev3.Route{
		Match: match,
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: sni},
			Timeout:          seconds(0),
			RetryPolicy:      retryPolicy(on),
		}},
		ResponseHeadersToRemove: []string{notReachedHeader},
	}
}

// retryPolicy sends a retry to another priority and another host than those that were tried.
func retryPolicy(on string) *routev3.RetryPolicy {
	return &routev3.RetryPolicy{
		RetryOn:    on,
		NumRetries: u32(4),
		RetryPriority: &routev3.RetryPolicy_RetryPriority{
			Name: "envoy.retry_priorities.previous_priorities",
			ConfigType: &routev3.RetryPolicy_RetryPriority_TypedConfig{
				TypedConfig: pack(&previousprioritiesv3.PreviousPrioritiesConfig{UpdateFrequency: 1}),
			},
		},
		RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
			Name: "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{
				TypedConfig: pack(&previoushostsv3.PreviousHostsPredicate{}),
			},
		}},
		HostSelectionRetryMaxAttempts: 5,
		RetriableHeaders: []*routev3.HeaderMatcher{{
			Name: notReachedHeader,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "true"},
			}},
		}},
		RetryBackOff: &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: duration(10 * time.Millisecond), MaxInterval: duration(100 * time.Millisecond),
		},
	}
}

func anyPath() *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
}

func safeMethods() *routev3.RouteMatch {
	m := anyPath()
	m.Headers = []*routev3.HeaderMatcher{safeMethod()}
	return m
}

// safeMethod matches the methods that may reach an application twice.
func safeMethod() *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{
		Name: ":method",
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "GET|HEAD"}},
		}},
	}
}

func callConfig(sni string) *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{
		Name:         sni,
		VirtualHosts: []*routev3.VirtualHost{{Name: sni, Domains: []string{"*"}, Routes: callRoutes(sni), IncludeRequestAttemptCount: true}},
	}
}

// inboundConfig leads the calls of an Envoy's own service port to the application. The permission stands in the route, because a change
// of routes is obeyed by the next request of an open connection; a change of the listener would be obeyed only after its drain.
func inboundConfig(name, cluster string, callers []string) *Resource {
	return resource(name, &routev3.RouteConfiguration{
		Name: name,
		VirtualHosts: []*routev3.VirtualHost{{
			Name:    name,
			Domains: []string{"*"},
			Routes: []*routev3.Route{unreadyRoute(callers), {
				Match: anyPath(),
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{
					ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster},
					Timeout:          seconds(0),
				}},
				ResponseHeadersToRemove: []string{notReachedHeader},
				TypedPerFilterConfig:    map[string]*anypb.Any{rbacFilter: pack(permit(callers))},
			}},
		}},
	})
}

// unreadyRoute sends first attempts elsewhere while UnreadyKey is set: a connection through a gateway leads to this workload alone, and
// one that is frozen would keep its calls until their time is up, as its Envoy can say GOAWAY only with an answer. Attempts that have
// been elsewhere already are let through: when every workload's check fails, calls go on.
func unreadyRoute(callers []string) *routev3.Route {
	match := anyPath()
	match.RuntimeFraction = &corev3.RuntimeFractionalPercent{
		RuntimeKey: UnreadyKey, DefaultValue: &typev3.FractionalPercent{Denominator: typev3.FractionalPercent_HUNDRED},
	}
	match.Headers = []*routev3.HeaderMatcher{{
		Name: attemptHeader,
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "1"},
		}},
	}}
	return &routev3.Route{
		Match: match,
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: 503,
			Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "the workload is not ready\n"}},
		}},
		ResponseHeadersToAdd: []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: notReachedHeader, Value: "true"},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
		TypedPerFilterConfig: map[string]*anypb.Any{rbacFilter: pack(permit(callers))},
	}
}

// openConfig offers HTTP service ports by Host. The port that answers a Host without a known port is 80, else the lowest.
func openConfig(services []*snapshot.ServicePort) *Resource {
	out := &routev3.RouteConfiguration{Name: openRoutes}
	preferred := map[model.ServiceKey]*snapshot.ServicePort{}
	for _, sp := range services {
		if held, ok := preferred[sp.Service]; !ok || openRank(sp) < openRank(held) {
			preferred[sp.Service] = sp
		}
	}
	for _, sp := range services {
		suffixes := []string{":" + strconv.Itoa(int(sp.Port.Number))}
		if preferred[sp.Service] == sp {
			suffixes = append(suffixes, "", ":*")
		}
		host := &routev3.VirtualHost{Name: sp.SNI, Routes: callRoutes(sp.SNI), IncludeRequestAttemptCount: true}
		for _, s := range suffixes {
			host.Domains = append(host.Domains, sp.Service.Host()+s, sp.Service.String()+s)
		}
		out.VirtualHosts = append(out.VirtualHosts, host)
	}
	slices.SortFunc(out.VirtualHosts, func(x, y *routev3.VirtualHost) int { return strings.Compare(x.Name, y.Name) })
	out.VirtualHosts = append(out.VirtualHosts, unknownHost())
	return resource(openRoutes, out)
}

// openRank orders a service's ports: 80 comes first.
func openRank(sp *snapshot.ServicePort) int {
	if sp.Port.Number == 80 {
		return 0
	}
	return int(sp.Port.Number)
}

func unknownHost() *routev3.VirtualHost {
	return &routev3.VirtualHost{
		Name:    "unknown",
		Domains: []string{"*"},
		Routes: []*routev3.Route{{
			Match: anyPath(),
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
				Status: 404,
				Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "hanse: no HTTP service of this name is imported here. " +
					"Set Host to SERVICE.NAMESPACE.svc." + model.ClusterSetDomain + " or SERVICE.NAMESPACE; `hanse service list` shows what there is.\n"}},
			}},
		}},
	}
}
