package xds

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const rbacFilter = "envoy.filters.http.rbac"

// notReachedHeader marks an answer that the destination's Envoy gave because the request never reached the application, or may reach it
// twice: the caller's Envoy sends it elsewhere then. It never leaves the mesh, and an application can not set it.
const notReachedHeader = "x-hanse-not-reached"

// httpManager is what all HTTP listeners have in common: Hanse sets no time limit of its own and passes on what the two sides say.
func httpManager(stat string) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix:                 stat,
		CodecType:                  hcmv3.HttpConnectionManager_AUTO,
		Http2ProtocolOptions:       &corev3.Http2ProtocolOptions{AllowConnect: true},
		UpgradeConfigs:             []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		StreamIdleTimeout:          seconds(0),
		ServerHeaderTransformation: hcmv3.HttpConnectionManager_PASS_THROUGH,
		HttpFilters:                []*hcmv3.HttpFilter{httpFilter("envoy.filters.http.router", &routerv3.Router{})},
	}
}

// inboundManager serves calls from other Envoys: it tells the application who calls, and refuses everything that a route does not allow.
func inboundManager(stat, routes string) *hcmv3.HttpConnectionManager {
	m := httpManager(stat)
	m.RouteSpecifier = rds(routes)
	// Without a limit on idle streams, a caller that is gone must be noticed by pings.
	m.Http2ProtocolOptions.ConnectionKeepalive = &corev3.KeepaliveSettings{Interval: seconds(30), Timeout: seconds(10)}
	m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE_SET
	m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{Uri: true}
	refuse := &rbacfilterv3.RBAC{Rules: &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW}}
	m.HttpFilters = append([]*hcmv3.HttpFilter{httpFilter(rbacFilter, refuse)}, m.HttpFilters...)
	m.LocalReplyConfig = &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{notReached()}}
	return m
}

// notReached adds the header to answers for "no connection to the application" (UF) and "no application" (UH). When a connection broke
// later (UC, UR), the application may have acted: then only GET and HEAD may be repeated.
func notReached() *hcmv3.ResponseMapper {
	never := responseFlags("UF", "UH")
	broken := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
		AndFilter: &accesslogv3.AndFilter{Filters: []*accesslogv3.AccessLogFilter{
			responseFlags("UC", "UR"),
			{FilterSpecifier: &accesslogv3.AccessLogFilter_HeaderFilter{HeaderFilter: &accesslogv3.HeaderFilter{Header: safeMethod()}}},
		}},
	}}
	return &hcmv3.ResponseMapper{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_OrFilter{
			OrFilter: &accesslogv3.OrFilter{Filters: []*accesslogv3.AccessLogFilter{never, broken}},
		}},
		HeadersToAdd: []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: notReachedHeader, Value: "true"},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	}
}

func responseFlags(flags ...string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: flags},
	}}
}

func rds(name string) *hcmv3.HttpConnectionManager_Rds {
	return &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: name, ConfigSource: overADS()}}
}

func inlineRoutes(c *routev3.RouteConfiguration) *hcmv3.HttpConnectionManager_RouteConfig {
	// The cluster may be on its way still; calls before it is there are answered with 503.
	c.ValidateClusters = wrapperspb.Bool(false)
	return &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: c}
}

func httpFilter(name string, config proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(config)}}
}

func networkFilter(name string, config proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(config)}}
}

func managerFilter(m *hcmv3.HttpConnectionManager) *listenerv3.Filter {
	return networkFilter("envoy.filters.network.http_connection_manager", m)
}
