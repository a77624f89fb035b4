package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/e2e/fleet"
	"github.com/hanse-mesh/hanse/gateway/enroll"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

// The churn's shape: so many workloads, each the only one of a service of its own, become unready or ready at this rate in all. Each
// change takes a service's capacity to or from zero, which is never held back to wait for others.
const (
	churnWorkloads = 100
	churnRate      = 100
)

// churn changes the readiness of registered workloads on a fixed schedule, as their proxies would.
type churn struct {
	clients []*enroll.Client
	made    atomic.Int64
}

// startChurn enrols and registers the churn's workloads at a region's agent; they stay until ctx ends. They have no Envoy: nobody calls
// them.
func (s *story) startChurn(ctx context.Context, r *region) (*churn, error) {
	text, err := s.workloadToken(ctx, r.name, "--namespace", "shop", "--service-account", "churn", "--service", "*",
		"--uses", fmt.Sprint(churnWorkloads))
	if err != nil {
		return nil, err
	}
	t, err := token.Parse(text)
	if err != nil {
		return nil, err
	}
	c := &churn{}
	for i := range churnWorkloads {
		client, err := enrolChurner(ctx, t, churnName(i))
		if err != nil {
			return nil, fmt.Errorf("enrol %s: %w", churnName(i), err)
		}
		c.clients = append(c.clients, client)
		go func() { _ = client.RunAttach(ctx, churnWorkload(r, i)) }()
	}
	return c, fleet.Eventually(ctx, 30*time.Second, func() error {
		for i, client := range c.clients {
			if !client.Attached() {
				return fmt.Errorf("%s is not attached", churnName(i))
			}
		}
		return nil
	})
}

func churnName(i int) string { return fmt.Sprintf("churn-%03d", i) }

func churnWorkload(r *region, i int) model.Workload {
	return model.Workload{
		ID: churnName(i), Namespace: "shop", Service: model.ServiceKey{Namespace: "shop", Name: churnName(i)},
		Locality: model.Locality{Region: r.name, Zone: r.name + "-a"}, Address: "127.0.0.1", InboundPort: uint16(40000 + i), Export: true,
		Ports: []model.WorkloadPort{{
			Port: model.Port{Name: "http", Number: httpPort, Protocol: model.ProtocolHTTP}, Target: "127.0.0.1:1",
		}},
		Health: model.WorkloadHealth{Ready: true},
	}
}

// enrolChurner gets a certificate as a proxy does.
func enrolChurner(ctx context.Context, t token.Token, name string) (*enroll.Client, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	own := identity.NewSource(clock.Real{})
	dial := func(creds credentials.TransportCredentials) (*grpc.ClientConn, error) {
		return grpc.NewClient("passthrough:///"+t.Addresses[0], grpc.WithTransportCredentials(creds))
	}
	var refused error
	client, err := enroll.New(enroll.Config{
		ConnectPinned: func(context.Context) (*grpc.ClientConn, error) {
			return dial(credentials.NewTLS(identity.PinnedClientTLS(t.Pin)))
		},
		Connect: func(context.Context) (*grpc.ClientConn, error) { return dial(credentials.NewTLS(own.ClientTLS(nil))) },
		TokenID: t.ID, TokenSecret: t.Secret, Workload: name, Key: key, Store: forgetful{}, Version: "bench",
		OnCertificate: func(chain, roots [][]byte) {
			refused = own.Set(identity.Credentials{Chain: chain, Key: key, Roots: roots})
		},
	})
	if err != nil {
		return nil, err
	}
	return client, errors.Join(client.Ensure(ctx), refused)
}

// forgetful is a store for certificates that nobody needs again.
type forgetful struct{}

func (forgetful) Load() (chain, roots [][]byte, err error) { return nil, nil, nil }
func (forgetful) Save([][]byte, [][]byte) error            { return nil }

// run makes changes until ctx ends, and then those that leave every workload ready, so that the end state is known.
func (c *churn) run(ctx context.Context) {
	begin := time.Now()
	for i := 0; ctx.Err() == nil || i%(2*len(c.clients)) != 0; i++ {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / churnRate)))
		ready := i/len(c.clients)%2 == 1
		c.clients[i%len(c.clients)].SetHealth(model.WorkloadHealth{Ready: ready, Reason: reason(ready)})
		c.made.Add(1)
	}
}

func reason(ready bool) string {
	if ready {
		return ""
	}
	return "told so by the benchmark"
}

// during runs the churn beside work and returns when both have ended.
func (c *churn) during(ctx context.Context, work func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { c.run(ctx) })
	err := work()
	cancel()
	running.Wait()
	return err
}
