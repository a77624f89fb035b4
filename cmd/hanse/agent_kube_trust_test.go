package main

import (
	"context"
	"log/slog"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/hanse-mesh/hanse/cluster-agent/anchors"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// TestTheClusterIsToldWhomTheSiteBelieves follows the bundles of a site into the ConfigMaps of its cluster.
func TestTheClusterIsToldWhomTheSiteBelieves(t *testing.T) {
	own, other := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	configMaps := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	kinds := map[schema.GroupVersionResource]string{configMaps: "ConfigMapList"}
	for _, version := range []string{"v1", "v1beta1"} {
		kinds[schema.GroupVersionResource{Group: "certificates.k8s.io", Version: version, Resource: "clustertrustbundles"}] = "ClusterTrustBundleList"
	}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds)
	client.PrependReactor("*", "clustertrustbundles", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "clustertrustbundles"}, "")
	})
	c, logger := clock.NewFake(start), slog.New(slog.DiscardHandler)
	s := newSite(t, t.TempDir(), own)
	if err := s.introduce(own.bundle(t), false, false); err != nil {
		t.Fatal(err)
	}
	a := &agentParts{clock: c, logger: logger, core: s.siteCore, member: s.member, kube: &kubeParts{
		trust: anchors.New(anchors.Config{Client: client, Namespace: "hanse-system", Clock: c, Logger: logger}),
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.publishTrust(ctx) }()
	defer func() { cancel(); <-done }()
	keys := func() int {
		o, err := client.Resource(configMaps).Namespace("hanse-system").Get(ctx, anchors.BundlesName, metav1.GetOptions{})
		if err != nil {
			return 0
		}
		data, _, _ := unstructured.NestedStringMap(o.Object, "data")
		return len(data)
	}
	for want := 1; want <= 2; want++ {
		for keys() != want {
			if err := c.BlockUntil(patience(t), 2); err != nil {
				t.Fatalf("%d trust domains are in the cluster, want %d: %v", keys(), want, err)
			}
			c.Advance(mirrorInterval)
		}
		if want == 1 {
			if err := s.introduce(other.bundle(t), true, true); err != nil {
				t.Fatal(err)
			}
		}
	}
}
