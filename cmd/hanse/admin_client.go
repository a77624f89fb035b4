package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// adminSocketName is the socket in the data folder of a node, an agent or a proxy by which this machine's operator talks to it.
const adminSocketName = "admin.sock"

// adminTimeout bounds one request to an admin socket.
const adminTimeout = 10 * time.Second

// callAdmin sends a request to the admin socket of a role on this machine and decodes the answer into out; in and out may be nil.
func callAdmin(ctx context.Context, role, dir, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+role+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	socket := filepath.Join(dir, adminSocketName)
	client := http.Client{
		Timeout: adminTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		},
	}
	resp, err := client.Do(req)
	if err != nil {
		return codedError{exitUnavailable, fmt.Errorf("the %s's admin socket %s does not answer: is the %s running, and --data-dir its folder? %w",
			role, socket, role, innermost(err))}
	}
	if resp.StatusCode == http.StatusNotFound && !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/") {
		_ = resp.Body.Close()
		return usageError("the process behind %s is no %s, or of another version: give the %s's --data-dir", socket, role, role)
	}
	return decodeAnswer(resp, out)
}
