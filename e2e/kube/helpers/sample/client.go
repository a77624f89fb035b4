package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/hanse-mesh/hanse/e2e/sample"
)

// client makes one HTTP/1.1 call at a time on one connection. It makes each call once: the standard library's client would make one a second
// time when a kept connection turns out to be closed.
type client struct {
	address string
	keep    bool
	conn    net.Conn
	reader  *bufio.Reader
}

// Call makes a call and returns who answered.
func (c *client) Call(ctx context.Context, post bool) (sample.Answer, error) {
	a, again, err := c.exchange(ctx, post)
	if err != nil || !again || !c.keep {
		c.Close()
	}
	return a, err
}

// exchange reports whether the connection can be used again, too.
func (c *client) exchange(ctx context.Context, post bool) (a sample.Answer, again bool, err error) {
	method := http.MethodGet
	if post {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.address+"/", nil)
	if err != nil {
		return a, false, err
	}
	req.Close = !c.keep
	if err := c.connect(ctx); err != nil {
		return a, false, err
	}
	if err := req.Write(c.conn); err != nil {
		return a, false, err
	}
	resp, err := http.ReadResponse(c.reader, req)
	if err != nil {
		return a, false, err
	}
	defer func() { _ = resp.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return a, false, err
	}
	if resp.StatusCode != http.StatusOK {
		return a, false, fmt.Errorf("status %d: %.200s", resp.StatusCode, said)
	}
	if err := json.Unmarshal(said, &a); err != nil {
		return a, false, fmt.Errorf("the answer is not the sample application's: %w", err)
	}
	return a, !resp.Close, nil
}

// connect opens the connection if there is none, and gives it until the call's deadline.
func (c *client) connect(ctx context.Context) error {
	if c.conn == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.address)
		if err != nil {
			return err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	deadline, _ := ctx.Deadline()
	return c.conn.SetDeadline(deadline)
}

// Close ends the connection.
func (c *client) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
