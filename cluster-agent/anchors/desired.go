// Package anchors owns where a Kubernetes cluster's API server says whose certificates its workloads may believe: the site's own roots, which
// proxies start from, and one bundle for each trust domain that the site believes.
package anchors

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/hanse-mesh/hanse/api/model"
)

// The objects' names, in the namespace of the site's own parts.
const (
	// RootsName is the ConfigMap with the site's own roots, as RootsKey.
	RootsName = "hanse-roots"
	RootsKey  = "roots.pem"
	// BundlesName is the ConfigMap with a key for each trust domain, where the API server has no ClusterTrustBundles.
	BundlesName = "hanse-bundles"
	// bundlePrefix begins the name of each ClusterTrustBundle. They have no signer: such a name must not have a colon, and nobody needs leave to
	// attest.
	bundlePrefix = "hanse."
	// AnnotationTrustDomain names a ClusterTrustBundle's trust domain, which its name may only hint at.
	AnnotationTrustDomain = "hanse.trust-domain"
)

const (
	// maxObject bounds what one object holds, in bytes: the API server takes no more than 1 MiB, and the object has names, too.
	maxObject = 1<<20 - 64<<10
	// nameHash is the number of hexadecimal digits that stand for a trust domain which cannot be a name itself.
	nameHash = 32
)

// Desired is what the API server should say.
type Desired struct {
	// Roots are the site's own, as PEM.
	Roots string
	// Bundles are all trust domains, the own one included, sorted by name.
	Bundles []Bundle
}

// Bundle is one trust domain's roots. Those of different domains are never in one text: who believes a text believes every root in it for
// every name.
type Bundle struct {
	TrustDomain string
	// Name is the ClusterTrustBundle's, Key the one in the ConfigMap.
	Name, Key string
	// PEM has each root once, as CERTIFICATE blocks without headers.
	PEM string
}

// Make returns what the API server should say of a site's bundles. It fails rather than take the site's own roots away from proxies that start.
// Bundles without roots, which mean that a trust domain is believed no more, are left out.
func Make(own string, bundles []model.Bundle) (Desired, error) {
	var out Desired
	for _, b := range bundles {
		text := encode(b.Roots)
		if text == "" {
			continue
		}
		if len(text) > maxObject {
			return Desired{}, fmt.Errorf("the bundle of trust domain %s has %d bytes, of which an API server takes at most %d", b.TrustDomain, len(text), maxObject)
		}
		if b.TrustDomain == own {
			out.Roots = text
		}
		name := nameOf(b.TrustDomain)
		out.Bundles = append(out.Bundles, Bundle{
			TrustDomain: b.TrustDomain, Name: name, Key: strings.TrimPrefix(name, bundlePrefix) + ".pem", PEM: text,
		})
	}
	if out.Roots == "" {
		return Desired{}, fmt.Errorf("the site's own trust domain %s has no root: what the API server says stays", own)
	}
	slices.SortFunc(out.Bundles, func(a, b Bundle) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// texts are the keys of the ConfigMap of all bundles. As long as they do not fit into one object, the greatest are left out; which these are is
// told.
func (d Desired) texts() (data map[string]string, omitted []string) {
	data = map[string]string{}
	size := 0
	byLength := slices.SortedStableFunc(slices.Values(d.Bundles), func(a, b Bundle) int { return cmp.Compare(len(a.PEM), len(b.PEM)) })
	for _, b := range byLength {
		if size += len(b.Key) + len(b.PEM); size > maxObject {
			omitted = append(omitted, b.TrustDomain)
			continue
		}
		data[b.Key] = b.PEM
	}
	slices.Sort(omitted)
	return data, omitted
}

func encode(roots [][]byte) string {
	var out bytes.Buffer
	seen := map[string]bool{}
	for _, der := range roots {
		if seen[string(der)] {
			continue
		}
		seen[string(der)] = true
		// A bytes.Buffer takes everything.
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return out.String()
}

// nameOf is "hanse." and the trust domain, or a hash where that would be no name: trust domains may have underscores.
func nameOf(trustDomain string) string {
	if name := bundlePrefix + trustDomain; len(validation.IsDNS1123Subdomain(name+".pem")) == 0 {
		return name
	}
	sum := sha256.Sum256([]byte(trustDomain))
	return bundlePrefix + "hash-" + hex.EncodeToString(sum[:])[:nameHash]
}

// stale are the names that are held and not desired any more, sorted.
func (d Desired) stale(held map[string]bool) []string {
	left := maps.Clone(held)
	for _, b := range d.Bundles {
		delete(left, b.Name)
	}
	return slices.Sorted(maps.Keys(left))
}
