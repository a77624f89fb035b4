package envoy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxAnswer bounds an answer of the admin interface, in bytes.
const maxAnswer = 256 << 20

// Admin speaks to an Envoy's admin interface on a Unix socket. It is safe for concurrent use.
type Admin struct {
	socket string
	client *http.Client
}

// NewAdmin returns the client of the admin interface on a socket, which need not exist yet.
func NewAdmin(socket string) *Admin {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	// Without keep-alive nothing stays open to an Envoy that is about to end.
	return &Admin{socket: socket, client: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// States of an Envoy, as ServerInfo tells them.
const (
	StateLive            = "LIVE"
	StateDraining        = "DRAINING"
	StatePreInitializing = "PRE_INITIALIZING"
	StateInitializing    = "INITIALIZING"
)

// ServerInfo is what an Envoy says of itself.
type ServerInfo struct {
	// Version is "commit/version/…/…".
	Version string `json:"version"`
	// State is one of the State constants.
	State string `json:"state"`
}

// Release is the version number alone, such as "1.40.0".
func (i ServerInfo) Release() string {
	if parts := strings.Split(i.Version, "/"); len(parts) > 1 {
		return parts[1]
	}
	return i.Version
}

// FailHealthcheck makes the Envoy fail its health check filters and ask HTTP clients to close their connections.
func (a *Admin) FailHealthcheck(ctx context.Context) error {
	_, err := a.call(ctx, http.MethodPost, "/healthcheck/fail")
	return err
}

// PassHealthcheck takes FailHealthcheck back.
func (a *Admin) PassHealthcheck(ctx context.Context) error {
	_, err := a.call(ctx, http.MethodPost, "/healthcheck/ok")
	return err
}

// SetRuntime sets a key of the Envoy's runtime, in its admin layer.
func (a *Admin) SetRuntime(ctx context.Context, key, value string) error {
	_, err := a.call(ctx, http.MethodPost, "/runtime_modify?"+url.Values{key: {value}}.Encode())
	return err
}

// Drain starts a graceful drain of all listeners that does not end the process. It can not be taken back.
func (a *Admin) Drain(ctx context.Context) error {
	_, err := a.call(ctx, http.MethodPost, "/drain_listeners?graceful&skip_exit")
	return err
}

// ServerInfo asks for version and state.
func (a *Admin) ServerInfo(ctx context.Context) (ServerInfo, error) {
	body, err := a.call(ctx, http.MethodGet, "/server_info")
	if err != nil {
		return ServerInfo{}, err
	}
	var info ServerInfo
	if err := json.Unmarshal(body, &info); err != nil {
		return ServerInfo{}, fmt.Errorf("envoy admin %s: server_info: %w", a.socket, err)
	}
	return info, nil
}

// ConfigDump returns the configuration that is in force, as JSON.
func (a *Admin) ConfigDump(ctx context.Context) ([]byte, error) {
	return a.call(ctx, http.MethodGet, "/config_dump?include_eds")
}

// Stats returns the counters and gauges whose names match the regular expression; an empty one matches all.
func (a *Admin) Stats(ctx context.Context, filter string) (map[string]uint64, error) {
	body, err := a.call(ctx, http.MethodGet, "/stats?filter="+url.QueryEscape(filter))
	if err != nil {
		return nil, err
	}
	out := map[string]uint64{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		// Histograms and text readouts are not numbers.
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			out[name] = n
		}
	}
	return out, lines.Err()
}

// activePattern matches the gauges of downstream work: open connections of listeners and requests in flight.
const activePattern = `^(listener\..*\.downstream_cx_active|http\..*\.downstream_rq_active)$`

// Active counts open downstream connections and requests, those of the admin interface left out.
func (a *Admin) Active(ctx context.Context) (uint64, error) {
	stats, err := a.Stats(ctx, activePattern)
	if err != nil {
		return 0, err
	}
	var n uint64
	for name, v := range stats {
		if !strings.HasPrefix(name, "http.admin.") && !strings.HasPrefix(name, "listener.admin.") {
			n += v
		}
	}
	return n, nil
}

func (a *Admin) call(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://envoy"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("envoy admin %s: %w", a.socket, err)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("envoy admin %s: %w", a.socket, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("envoy admin %s: %s: %w", a.socket, path, err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("envoy admin %s: %s answers more than %d bytes", a.socket, path, maxAnswer)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("envoy admin %s: %s: %s: %.200s", a.socket, path, resp.Status, body)
	}
	return body, nil
}
