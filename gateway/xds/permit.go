package xds

import (
	"regexp"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	sslinputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/ssl/v3"
)

// permit allows callers that prove an identity of one of the trust domains.
//
// It compares the list of all URIs of the caller's certificate with "exactly one, of this domain". RBAC's own principals would be
// satisfied by any of several URIs, while the TLS validator checks the signature against the domain of the first only: a CA that is
// trusted for one domain could then speak for another.
func permit(domains []string) *rbacfilterv3.RBACPerRoute {
	m := &xdsmatcherv3.Matcher{OnNoMatch: rbacAction("refused", rbacv3.RBAC_DENY)}
	if len(domains) > 0 {
		list := &xdsmatcherv3.Matcher_MatcherList{}
		for _, d := range domains {
			list.Matchers = append(list.Matchers, &xdsmatcherv3.Matcher_MatcherList_FieldMatcher{
				Predicate: callerOf(d),
				OnMatch:   rbacAction("caller", rbacv3.RBAC_ALLOW),
			})
		}
		m.MatcherType = &xdsmatcherv3.Matcher_MatcherList_{MatcherList: list}
	}
	return &rbacfilterv3.RBACPerRoute{Rbac: &rbacfilterv3.RBAC{Matcher: m}}
}

func callerOf(domain string) *xdsmatcherv3.Matcher_MatcherList_Predicate {
	pattern := spiffeScheme + regexp.QuoteMeta(domain) + "/[^,]*"
	return &xdsmatcherv3.Matcher_MatcherList_Predicate{
		MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
			SinglePredicate: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
				Input: &xdscorev3.TypedExtensionConfig{Name: "envoy.matching.inputs.uri_san", TypedConfig: pack(&sslinputsv3.UriSanInput{})},
				Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{
					ValueMatch: &xdsmatcherv3.StringMatcher{MatchPattern: &xdsmatcherv3.StringMatcher_SafeRegex{
						SafeRegex: &xdsmatcherv3.RegexMatcher{
							EngineType: &xdsmatcherv3.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcherv3.RegexMatcher_GoogleRE2{}},
							Regex:      pattern,
						},
					}},
				},
			},
		},
	}
}

func rbacAction(name string, action rbacv3.RBAC_Action) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{Action: &xdscorev3.TypedExtensionConfig{
		Name: "envoy.filters.rbac.action", TypedConfig: pack(&rbacv3.Action{Name: name, Action: action}),
	}}}
}
