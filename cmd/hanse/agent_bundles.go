package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/trust/bundle"
)

// offerBundle takes a trust domain's bundle as the node at an address shows it.
func (c *siteCore) offerBundle(b model.SignedBundle, shownBy string) {
	c.mu.Lock()
	next, verdict, err := c.bundles.Offer(b)
	c.bundles = next
	if verdict == bundle.Replaced {
		c.changed(bundlesFile)
	}
	c.mu.Unlock()
	switch verdict {
	case bundle.Refused:
		c.logger.Error("a trust bundle is refused; the held one stays in force: if the CA was replaced, say so with 'hanse trust forget'", "error", err)
	case bundle.Witness:
		c.out.sight(b, shownBy)
	}
}

// introduce believes a new trust domain's bundle.
func (c *siteCore) introduce(b model.SignedBundle, introduced, sole bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next, err := c.bundles.Introduce(b, introduced, sole)
	if err != nil {
		return err
	}
	c.bundles = next
	c.changed(bundlesFile)
	return nil
}

// forgetBundle is an operator's word that a trust domain's CA was replaced: the bundle that the federation shows next is judged as at
// first sight.
func (c *siteCore) forgetBundle(trustDomain string) error {
	if trustDomain == c.member.TrustDomain {
		return fmt.Errorf("%s is this site's own trust domain: without its bundle no call within the site would be possible", trustDomain)
	}
	c.mu.Lock()
	held := len(c.bundles.Entries())
	c.bundles = c.bundles.Forget(trustDomain)
	if len(c.bundles.Entries()) == held {
		c.mu.Unlock()
		return fmt.Errorf("no bundle of trust domain %q is held: see 'hanse trust list'", trustDomain)
	}
	c.changed(bundlesFile)
	var shown model.SignedBundle
	var known bool
	if c.view != nil {
		shown, known = c.view.Bundles[trustDomain]
	}
	from := c.viewFrom
	c.mu.Unlock()
	if known {
		c.offerBundle(shown, from)
	}
	return nil
}

// believedBundle is what an operator is told of a bundle that this site believes.
type believedBundle struct {
	TrustDomain string `json:"trustDomain"`
	Sequence    uint64 `json:"sequence"`
	// Belief says on whose word: "pinned" (the site's own, or an operator's), "introduced" (two federation nodes agreed) or "sole" (only
	// one node could be asked).
	Belief string `json:"belief"`
	// Roots are the SHA-256 fingerprints of the root certificates, in hexadecimal.
	Roots []string `json:"roots"`
}

// believed lists the bundles that this site believes, by trust domain.
func (c *siteCore) believed() []believedBundle {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []believedBundle{}
	for _, e := range c.bundles.Entries() {
		b := believedBundle{TrustDomain: e.Bundle.TrustDomain, Sequence: e.Bundle.Sequence, Belief: "pinned"}
		switch {
		case e.Sole:
			b.Belief = "sole"
		case e.Introduced:
			b.Belief = "introduced"
		}
		for _, root := range e.Bundle.Roots {
			sum := sha256.Sum256(root)
			b.Roots = append(b.Roots, hex.EncodeToString(sum[:]))
		}
		out = append(out, b)
	}
	return out
}
