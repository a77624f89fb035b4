package main

import (
	"context"
	"fmt"
	"log/slog"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/anchors"
	"github.com/hanse-mesh/hanse/cluster-agent/attest"
	"github.com/hanse-mesh/hanse/cluster-agent/source/kube"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/internal/run"
)

// kubePods tells the registry of pods: who they are, by their tokens, and what the source knows of them.
type kubePods struct {
	*attest.Reviewer
	*kube.Source
}

// pods is nil at a site that is no Kubernetes cluster.
func (a *agentParts) pods() vm.Pods {
	if a.kube == nil {
		return nil
	}
	return kubePods{attest.New(a.kube.client.AuthenticationV1().TokenReviews()), a.kube.source}
}

func newTrustPublisher(config *rest.Config, namespace string, c clock.Clock, logger *slog.Logger) (*anchors.Publisher, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server: %w", err)
	}
	return anchors.New(anchors.Config{Client: client, Namespace: namespace, Clock: c, Logger: logger}), nil
}

// publishTrust keeps the API server told of whom this site believes, within a second of each change.
func (a *agentParts) publishTrust(ctx context.Context) error {
	return run.Group(ctx, a.kube.trust.Run, func(ctx context.Context) error {
		complaint := ""
		for {
			desired, err := anchors.Make(a.member.TrustDomain, a.core.heldBundles())
			switch {
			case err == nil:
				a.kube.trust.Set(desired)
				complaint = ""
			case err.Error() != complaint:
				complaint = err.Error()
				a.logger.Error("the cluster is not told whom this site believes", "error", err)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-a.clock.After(mirrorInterval):
			}
		}
	})
}

// heldBundles are all bundles that the site goes by, its own included.
func (c *siteCore) heldBundles() []model.Bundle {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries := c.bundles.Entries()
	out := make([]model.Bundle, len(entries))
	for i, e := range entries {
		out[i] = e.Bundle
	}
	return out
}
