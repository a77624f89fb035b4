package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	restapi "github.com/hanse-mesh/hanse/api/client"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/identity"
)

// maxAnswer bounds an answer in bytes.
const maxAnswer = 64 << 20

// socketNode stands for the node behind a socket.
const socketNode = "http://node"

// client talks to the REST API of whichever federation node answers first. It is safe for concurrent use.
type client struct {
	// nodes are the URLs to try, in this order.
	nodes  []string
	bearer string
	known  knownServers
	// http bounds what one node may take; streams does so only until the answer begins.
	http, streams *http.Client
	// timeout is how long a stream may be without a node.
	timeout time.Duration
	clock   clock.Clock
	// progress is told what is waited for.
	progress io.Writer
}

// client returns a client for what the options say.
func (o *operatorOptions) client() (*client, error) {
	w, err := o.resolve()
	if err != nil {
		return nil, err
	}
	c := &client{bearer: w.bearer, known: w.known, timeout: o.timeout, clock: clock.Real{}, progress: o.stderr()}
	transport := &http.Transport{ResponseHeaderTimeout: o.timeout}
	dialer := &net.Dialer{Timeout: 3 * time.Second}
	c.http, c.streams = &http.Client{Transport: transport, Timeout: o.timeout}, &http.Client{Transport: transport}
	if w.socket != "" {
		c.nodes = []string{socketNode}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, "unix", w.socket)
			if err != nil {
				return nil, fmt.Errorf("is the node running, and --socket the admin.sock of its data folder? %w", err)
			}
			return conn, nil
		}
		return c, nil
	}
	transport.DialContext = dialer.DialContext
	transport.TLSClientConfig = identity.PinnedClientTLS(w.pin)
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	if w.certificate != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{*w.certificate}
	}
	for _, s := range w.servers {
		c.nodes = append(c.nodes, "https://"+s)
	}
	return c, nil
}

// api is the API's client over this one.
func (c *client) api() *restapi.Client {
	return &restapi.Client{Server: "http://federation/", Client: c}
}

// Do sends a request of the API's client to whichever node answers.
func (c *client) Do(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	return c.answer(req.Context(), req.Method, req.URL.RequestURI(), body)
}

// do sends a request and decodes the answer into out (which may be nil).
func (c *client) do(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	resp, err := c.answer(ctx, method, path, body)
	if err != nil {
		return err
	}
	return decodeAnswer(resp, out)
}

// answer sends a request and returns its whole answer. Who is asked to come back later waits and does.
func (c *client) answer(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	for try := 1; ; try++ {
		resp, err := c.whole(ctx, method, path, body)
		if err != nil {
			return nil, err
		}
		wait, asked := retryAfter(resp)
		if !asked || try == maxTries {
			return resp, nil
		}
		fmt.Fprintf(c.progress, "waiting for %s: the federation takes fewer requests than this operator sends\n", wait)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.clock.After(wait):
		}
	}
}

// whole sends a request and reads its answer to the end.
func (c *client) whole(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	defer c.tell("an answer")()
	resp, err := c.send(ctx, c.http, method, path, body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, codedError{exitUnavailable, fmt.Errorf("the answer broke off: %w", err)}
	case len(data) > maxAnswer:
		return nil, fmt.Errorf("the answer has more than %d bytes: ask for less of it", maxAnswer)
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return resp, nil
}

// send tries the nodes in turn while they cannot be reached; what the first one answers is final.
func (c *client) send(ctx context.Context, by *http.Client, method, path string, body []byte) (*http.Response, error) {
	var unreachable []error
	for _, node := range c.nodes {
		req, err := http.NewRequestWithContext(ctx, method, node+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		if c.bearer != "" {
			req.Header.Set("Authorization", "Bearer "+c.bearer)
		}
		if len(body) > 0 {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := by.Do(req)
		if ctx.Err() != nil && err != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			unreachable = append(unreachable, fmt.Errorf("%s: %w", req.URL.Host, innermost(err)))
			continue
		}
		c.known.save(resp.Header.Get(rest.ServersHeader))
		return resp, nil
	}
	return nil, codedError{exitUnavailable, fmt.Errorf("no federation node answers: %w", errors.Join(unreachable...))}
}

// innermost drops the method and address that net/http repeats around its errors.
func innermost(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
