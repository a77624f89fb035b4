package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/hanse-mesh/hanse/internal/clock"
)

// checkAPI is the REST API behind an operator's client.
type checkAPI struct {
	client *client
	clock  clock.Clock
}

func (a checkAPI) get(ctx context.Context, path string, out any) (met, error) {
	return a.ask(ctx, a.client, path, out)
}

// only is the client of one node, by its REST address.
func (c *client) only(address string) *client {
	one := *c
	one.nodes = []string{"https://" + address}
	return &one
}

// bySocket reports whether the client is led to one node by its socket, and cannot get at others.
func (c *client) bySocket() bool { return len(c.nodes) == 1 && c.nodes[0] == socketNode }

// errBySocket is why a node cannot be asked itself.
var errBySocket = errors.New("the federation is asked by the socket of one node, which does not lead to the others; give a token in place of --socket")

func (a checkAPI) at(ctx context.Context, address, path string, out any) (met, error) {
	if a.client.bySocket() {
		return met{}, errBySocket
	}
	return a.ask(ctx, a.client.only(address), path, out)
}

func (a checkAPI) ask(ctx context.Context, c *client, path string, out any) (met, error) {
	m := met{sent: a.clock.Now()}
	resp, err := c.answer(ctx, http.MethodGet, path, nil)
	if err != nil {
		return m, err
	}
	m.received, m.header = a.clock.Now(), resp.Header
	if t := resp.TLS; t != nil && len(t.PeerCertificates) > 0 {
		m.certificate = t.PeerCertificates[0]
	}
	return m, decodeAnswer(resp, out)
}
