package anchors

import (
	"encoding/pem"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

func TestDesired(t *testing.T) {
	d, err := Make("eu.acme", []model.Bundle{
		{TrustDomain: "us.acme", Roots: [][]byte{{3}}},
		{TrustDomain: "eu.acme", Roots: [][]byte{{1}, {2}, {1}}},
		{TrustDomain: "gone.acme"},
		{TrustDomain: "odd_one", Roots: [][]byte{{4}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	block := func(b byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{b}}))
	}
	own := block(1) + block(2)
	odd := "hash-469b78e5946f000b9b3b282d3f83ada8"
	want := Desired{Roots: own, Bundles: []Bundle{
		{TrustDomain: "eu.acme", Name: "hanse.eu.acme", Key: "eu.acme.pem", PEM: own},
		{TrustDomain: "odd_one", Name: "hanse." + odd, Key: odd + ".pem", PEM: block(4)},
		{TrustDomain: "us.acme", Name: "hanse.us.acme", Key: "us.acme.pem", PEM: block(3)},
	}}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("got  %+v\nwant %+v", d, want)
	}
}

func TestTheOwnRootsAreNeverTakenAway(t *testing.T) {
	for name, bundles := range map[string][]model.Bundle{
		"nothing":        nil,
		"others only":    {{TrustDomain: "us.acme", Roots: [][]byte{{3}}}},
		"an empty one":   {{TrustDomain: "eu.acme"}},
		"an endless one": {{TrustDomain: "eu.acme", Roots: [][]byte{make([]byte, maxObject)}}},
	} {
		if d, err := Make("eu.acme", bundles); err == nil || !strings.Contains(err.Error(), "eu.acme") {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// TestNamesAreTakenByTheAPIServer draws trust domains as SPIFFE allows them: letters, digits, dots, hyphens and underscores.
func TestNamesAreTakenByTheAPIServer(t *testing.T) {
	domain := rapid.StringMatching(`[a-z0-9._-]{1,255}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := domain.Draw(t, "a"), domain.Draw(t, "b")
		name := nameOf(a)
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 || strings.Contains(name, ":") {
			t.Fatalf("%s: %v", name, problems)
		}
		if key := strings.TrimPrefix(name, bundlePrefix) + ".pem"; len(validation.IsConfigMapKey(key)) > 0 {
			t.Fatalf("%s is no key", key)
		}
		if (name == nameOf(b)) != (a == b) {
			t.Fatalf("%s and %s are both %s", a, b, name)
		}
	})
}

func TestWhatDoesNotFitIsNamed(t *testing.T) {
	d := Desired{Bundles: []Bundle{
		{TrustDomain: "a", Key: "a", PEM: strings.Repeat("a", maxObject/2)},
		{TrustDomain: "b", Key: "b", PEM: strings.Repeat("b", maxObject-10)},
		{TrustDomain: "c", Key: "c", PEM: "c"},
	}}
	data, omitted := d.texts()
	if len(data) != 2 || data["a"] == "" || data["c"] == "" || !slices.Equal(omitted, []string{"b"}) {
		t.Errorf("%d are in, %v out", len(data), omitted)
	}
}
