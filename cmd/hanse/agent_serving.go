package main

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/publish"
	"github.com/hanse-mesh/hanse/gateway/serve"
	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/trust/identity"
)

// assembleServing makes the xDS server of the site's proxies.
func (a *agentParts) assembleServing(ctx context.Context) {
	a.cache = serve.NewCache()
	a.publisher = publish.New(publish.Config{
		Build: a.core.build, Generate: xds.Generate, Unchanged: xds.Unchanged, Cache: a.cache, Clock: a.clock, Logger: a.logger,
	})
	server := serve.NewServer(ctx, a.cache, serve.Config{ClassOf: a.classOf, Events: siteEvents{a}, Clock: a.clock, Logger: a.logger})
	a.siteServer = newByCertificate(a.siteIdentity.ServerTLS(identity.ServerOptions{}),
		server.Register, a.site.Register)
}

// classOf derives an xDS client's target from its certificate: a workload is served its own configuration and nobody else's.
func (a *agentParts) classOf(ctx context.Context) (string, error) {
	id, _, _, err := sitePeer(ctx)
	if err != nil {
		return "", status.Error(codes.Unauthenticated, err.Error())
	}
	return id, nil
}

// siteEvents tells the publisher whose streams are open.
type siteEvents struct{ a *agentParts }

func (e siteEvents) Opened(class string)     { e.a.publisher.Watch(class) }
func (e siteEvents) Closed(class string)     { e.a.publisher.Unwatch(class) }
func (siteEvents) Acked(string, string)      {}
func (siteEvents) Nacked(string, model.Nack) {}
