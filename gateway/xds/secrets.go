package xds

import (
	"encoding/pem"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// NewDefaultSecret returns the secret "default": a proxy's certificate chain, leaf first, and its private key, both PEM.
func NewDefaultSecret(certPEM, keyPEM []byte) *Resource {
	return resource(DefaultSecret, &tlsv3.Secret{
		Name: DefaultSecret,
		Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: inlineBytes(certPEM),
			PrivateKey:       inlineBytes(keyPEM),
		}},
	})
}

// trustAll adds the validation context of all trusted domains and returns its name. It reports false when no root is known: such a
// context can not be expressed, and nothing may be accepted.
func (b *builder) trustAll() (string, bool) {
	return b.trust(TrustSecret, b.domains)
}

// trustOf is trustAll for the given domains only.
//
// Envoy's SPIFFE validator takes the trust domain from a certificate's first URI, but a match of names looks at all of them: a CA that
// is trusted for one domain could add a second URI that names another. So a context holds no more domains than those whose identities
// are acceptable where it is used.
func (b *builder) trustOf(domains []string) (string, bool) {
	known := make([]string, 0, len(domains))
	for _, d := range domains {
		if b.roots[d] != "" {
			known = append(known, d)
		}
	}
	slices.Sort(known)
	return b.trust(TrustSecret+"|"+strings.Join(known, ","), known)
}

func (b *builder) trust(name string, domains []string) (string, bool) {
	if len(domains) == 0 {
		return "", false
	}
	if _, there := b.out[SecretType][name]; !there {
		b.add(SecretType, b.part(b.s.Trust.Digest+"/"+name, func() *Resource { return b.trustSecret(name, domains) }))
	}
	return name, true
}

func (b *builder) trustSecret(name string, domains []string) *Resource {
	validator := &tlsv3.SPIFFECertValidatorConfig{}
	for _, d := range domains {
		validator.TrustDomains = append(validator.TrustDomains, &tlsv3.SPIFFECertValidatorConfig_TrustDomain{
			Name:        d,
			TrustBundle: inlineString(b.roots[d]),
		})
	}
	return resource(name, &tlsv3.Secret{
		Name: name,
		Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			CustomValidatorConfig: &corev3.TypedExtensionConfig{Name: "envoy.tls.cert_validator.spiffe", TypedConfig: pack(validator)},
		}},
	})
}

// rootsOf holds no domain without a root: Envoy would refuse the whole context for it.
func rootsOf(t *snapshot.Trust) map[string]string {
	out := map[string]string{}
	if t == nil {
		return out
	}
	for _, bundle := range t.Bundles {
		var text strings.Builder
		for _, der := range bundle.Roots {
			text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		}
		if text.Len() > 0 {
			out[bundle.TrustDomain] = text.String()
		}
	}
	return out
}

// domainsOf lists the trust domains of SPIFFE IDs, each once.
func domainsOf(ids []string) []string {
	out := make([]string, 0, 2)
	for _, id := range ids {
		domain, _, _ := strings.Cut(strings.TrimPrefix(id, spiffeScheme), "/")
		if !slices.Contains(out, domain) {
			out = append(out, domain)
		}
	}
	return out
}

const spiffeScheme = "spiffe://"

func inlineBytes(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}

func inlineString(s string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: s}}
}
