package anchors

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a fake API server that has ClusterTrustBundles in some versions.
type cluster struct {
	*fake.FakeDynamicClient
	t         *testing.T
	publisher *Publisher
	clock     *clock.Fake
}

func newCluster(t *testing.T, versions ...string) *cluster {
	t.Helper()
	kinds := map[schema.GroupVersionResource]string{configMaps: "ConfigMapList"}
	for _, r := range clusterTrustBundles {
		kinds[r] = "ClusterTrustBundleList"
	}
	c := &cluster{FakeDynamicClient: fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds), t: t, clock: clock.NewFake(time.Unix(1e9, 0))}
	c.PrependReactor("*", "clustertrustbundles", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.GetResource()
		return !slices.Contains(versions, r.Version), nil, apierrors.NewNotFound(r.GroupResource(), "")
	})
	c.publisher = New(Config{Client: c, Namespace: "hanse-system", Clock: c.clock, Logger: slog.New(slog.DiscardHandler)})
	return c
}

// refuse has an action fail, as often as it is tried.
func (c *cluster) refuse(verb, resource string, err error) {
	c.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
}

func (c *cluster) pass(bundles ...model.Bundle) error {
	c.t.Helper()
	d, err := Make("eu.acme", bundles)
	if err != nil {
		c.t.Fatal(err)
	}
	c.publisher.Set(d)
	return c.publisher.pass(c.t.Context())
}

// data is a ConfigMap's; nil when there is none.
func (c *cluster) data(name string) map[string]string {
	c.t.Helper()
	o, err := c.Resource(configMaps).Namespace("hanse-system").Get(c.t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		c.t.Fatal(err)
	}
	out, _, err := unstructured.NestedStringMap(o.Object, "data")
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// bundles are the ClusterTrustBundles, by name.
func (c *cluster) bundles(version int) map[string]string {
	c.t.Helper()
	list, err := c.Resource(clusterTrustBundles[version]).List(c.t.Context(), metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	out := map[string]string{}
	for _, o := range list.Items {
		out[o.GetName()], _, _ = unstructured.NestedString(o.Object, "spec", "trustBundle")
	}
	return out
}

func bundleOf(domain string, roots ...byte) model.Bundle {
	b := model.Bundle{TrustDomain: domain}
	for _, r := range roots {
		b.Roots = append(b.Roots, []byte{r})
	}
	return b
}

func names[V any](m map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(m)), " ") }

func TestConfigMapsWhereThereIsNothingElse(t *testing.T) {
	c := newCluster(t)
	if err := c.pass(bundleOf("eu.acme", 1), bundleOf("us.acme", 2)); err != nil {
		t.Fatal(err)
	}
	if roots := c.data(RootsName); roots[RootsKey] != encode([][]byte{{1}}) {
		t.Errorf("%v", roots)
	}
	if all := c.data(BundlesName); names(all) != "eu.acme.pem us.acme.pem" {
		t.Errorf("%v", all)
	}
	if err := c.pass(bundleOf("eu.acme", 1, 3), bundleOf("ap.acme", 4)); err != nil {
		t.Fatal(err)
	}
	if all := c.data(BundlesName); names(all) != "ap.acme.pem eu.acme.pem" || all["eu.acme.pem"] != encode([][]byte{{1}, {3}}) {
		t.Errorf("%v", all)
	}
	c.ClearActions()
	if err := c.publisher.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, a := range c.Actions() {
		if a.GetVerb() != "get" && a.GetVerb() != "list" {
			t.Errorf("nothing differs, and yet there is a %s of %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}

func TestClusterTrustBundlesWhereTheAPIServerHasThem(t *testing.T) {
	for _, c := range []struct {
		versions []string
		is       int
	}{{[]string{"v1beta1"}, 1}, {[]string{"v1", "v1beta1"}, 0}} {
		k := newCluster(t, c.versions...)
		if err := k.pass(bundleOf("eu.acme", 1), bundleOf("us.acme", 2)); err != nil {
			t.Fatal(err)
		}
		if got := k.bundles(c.is); names(got) != "hanse.eu.acme hanse.us.acme" || got["hanse.us.acme"] != encode([][]byte{{2}}) {
			t.Errorf("%v: %v", c.versions, got)
		}
		if k.data(BundlesName) != nil || k.data(RootsName) == nil {
			t.Errorf("%v: ConfigMaps %v, %v", c.versions, k.data(BundlesName), k.data(RootsName))
		}
		if err := k.pass(bundleOf("eu.acme", 3)); err != nil {
			t.Fatal(err)
		}
		if got := k.bundles(c.is); names(got) != "hanse.eu.acme" || got["hanse.eu.acme"] != encode([][]byte{{3}}) {
			t.Errorf("%v: %v", c.versions, got)
		}
	}
}

func TestTheConfigMapOfATimeBeforeIsEmptied(t *testing.T) {
	versions := []string{"none"}
	c := newCluster(t, versions...)
	if err := c.pass(bundleOf("eu.acme", 1)); err != nil {
		t.Fatal(err)
	}
	c.ReactionChain = c.ReactionChain[1:]
	if err := c.publisher.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := c.data(BundlesName); all == nil || len(all) != 0 {
		t.Errorf("%v", all)
	}
	if got := c.bundles(0); names(got) != "hanse.eu.acme" {
		t.Errorf("%v", got)
	}
}

func TestWhatIsNotOursStays(t *testing.T) {
	c := newCluster(t, "v1beta1")
	theirs := func(kind, version, namespace, name string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": kind, "spec": map[string]any{"trustBundle": "theirs"}}}
		o.SetNamespace(namespace)
		o.SetName(name)
		return o
	}
	ctb := c.Resource(clusterTrustBundles[1])
	for _, name := range []string{"hanse.us.acme", "vault"} {
		if _, err := ctb.Create(t.Context(), theirs("ClusterTrustBundle", "certificates.k8s.io/v1beta1", "", name), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	err := c.pass(bundleOf("eu.acme", 1), bundleOf("us.acme", 2))
	if err == nil || !strings.Contains(err.Error(), "hanse.us.acme exists and is not Hanse's") {
		t.Errorf("%v", err)
	}
	if got := c.bundles(1); names(got) != "hanse.eu.acme hanse.us.acme vault" || got["hanse.us.acme"] != "theirs" {
		t.Errorf("%v", got)
	}
	if c.data(RootsName) == nil {
		t.Error("the others were not written")
	}
}

func TestARefusalKeepsNothingElseOut(t *testing.T) {
	c := newCluster(t, "v1beta1")
	c.refuse("list", "clustertrustbundles", apierrors.NewForbidden(schema.GroupResource{Resource: "clustertrustbundles"}, "", errors.New("no")))
	err := c.pass(bundleOf("eu.acme", 1))
	if err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("%v", err)
	}
	if c.data(RootsName) == nil {
		t.Error("the roots were not written")
	}
	if c.data(BundlesName) != nil {
		t.Error("a refusal was taken for an API server without ClusterTrustBundles")
	}
}

// TestRunWritesWhatChangesAndRepairsWhatOthersChange goes through a life: an API server that is away, a change, a deletion by others.
func TestRunWritesWhatChangesAndRepairsWhatOthersChange(t *testing.T) {
	c := newCluster(t)
	away := make(chan error, 1)
	away <- errors.New("connection refused")
	c.PrependReactor("get", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		select {
		case err := <-away:
			return true, nil, err
		default:
			return false, nil, nil
		}
	})
	d, err := Make("eu.acme", []model.Bundle{bundleOf("eu.acme", 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.publisher.Set(d)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.publisher.Run(ctx) }()
	rests := func() {
		t.Helper()
		patience, enough := context.WithTimeout(t.Context(), 20*time.Second)
		defer enough()
		if err := c.clock.BlockUntil(patience, 1); err != nil {
			t.Fatal(err)
		}
	}
	rests()
	if p := c.publisher.Problems(); len(p) != 1 || !strings.Contains(p[0], "connection refused") {
		t.Errorf("problems: %v", p)
	}
	c.clock.Advance(time.Minute)
	rests()
	if c.data(RootsName) == nil || len(c.publisher.Problems()) != 0 {
		t.Errorf("not repaired: %v, %v", c.data(RootsName), c.publisher.Problems())
	}
	if err := c.Resource(configMaps).Namespace("hanse-system").Delete(ctx, RootsName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.clock.Advance(lookAgain)
	rests()
	if c.data(RootsName) == nil {
		t.Error("what somebody deleted is not made again")
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNothingIsWrittenBeforeItIsKnown(t *testing.T) {
	c := newCluster(t)
	if err := c.publisher.pass(t.Context()); err != nil || len(c.Actions()) != 0 {
		t.Errorf("%v, %v", err, c.Actions())
	}
}
