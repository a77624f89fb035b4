package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// overADS says that a resource comes on the stream that everything comes on. Envoy waits for it without end: it would otherwise give
// up after 15 s and serve with a part missing.
func overADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		InitialFetchTimeout:   seconds(0),
	}
}

func secretRef(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: overADS()}
}

func commonTLS(alpn ...string) *tlsv3.CommonTlsContext {
	return &tlsv3.CommonTlsContext{
		TlsParams: &tlsv3.TlsParameters{
			TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
			TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
		},
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secretRef(DefaultSecret)},
		AlpnProtocols:                  alpn,
	}
}

// clientTLS accepts a server that presents one of the identities, under a root of the trust secret. Sessions are never resumed, here
// and in serverTLS: a resumed session would not look at certificates, however long they have been withdrawn.
func clientTLS(sni string, identities []string, trust string, alpn ...string) *corev3.TransportSocket {
	names := make([]*tlsv3.SubjectAltNameMatcher, 0, len(identities))
	for _, id := range identities {
		names = append(names, &tlsv3.SubjectAltNameMatcher{
			SanType: tlsv3.SubjectAltNameMatcher_URI,
			Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: id}},
		})
	}
	common := commonTLS(alpn...)
	common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: names},
			ValidationContextSdsSecretConfig: secretRef(trust),
		},
	}
	return tlsSocket(pack(&tlsv3.UpstreamTlsContext{CommonTlsContext: common, Sni: sni, MaxSessionKeys: u32(0)}))
}

// checkTLS is for checks: it goes by the endpoint's host name, or by the SNI when it has none, and accepts whoever is
// of a domain that serves.
func checkTLS(sni, trust string) *corev3.TransportSocket {
	common := commonTLS("h2")
	common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: secretRef(trust)}
	return tlsSocket(pack(&tlsv3.UpstreamTlsContext{CommonTlsContext: common, Sni: sni, AutoHostSni: true, MaxSessionKeys: u32(0)}))
}

// serverTLS demands a client certificate under a root of the trust secret.
func serverTLS(trust string, alpn ...string) *corev3.TransportSocket {
	common := commonTLS(alpn...)
	common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
		ValidationContextSdsSecretConfig: secretRef(trust),
	}
	return tlsSocket(pack(&tlsv3.DownstreamTlsContext{
		CommonTlsContext:         common,
		RequireClientCertificate: wrapperspb.Bool(true),
		SessionTicketKeysType: &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{
			DisableStatelessSessionResumption: true,
		},
	}))
}

func tlsSocket(config *anypb.Any) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: config},
	}
}
