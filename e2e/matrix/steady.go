//go:build e2e

package matrix

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
	"github.com/hanse-mesh/hanse/e2e/load"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// steadySpan is how long calls must have been answered as before for the state to be steady.
const steadySpan = 2 * time.Second

// whole checks that every process is ready and that the nodes agree.
func (w *world) whole(ctx context.Context) error {
	for _, name := range order {
		for _, address := range []string{nodeHealth, agentHealth} {
			if err := w.ready(ctx, name, address); err != nil {
				return err
			}
		}
		for _, p := range w.sites[name].proxies {
			if err := w.ready(ctx, name, p.health); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	var st rest.Status
	if err := w.cliJSON(ctx, order[0], &st, "status"); err != nil {
		return err
	}
	if st.Leader == "" {
		return fmt.Errorf("no leader")
	}
	for _, n := range st.Nodes {
		if !n.Alive {
			return fmt.Errorf("%s is not alive", n.Name)
		}
	}
	return w.offered(ctx)
}

// offered checks that the federation knows every workload as ready.
func (w *world) offered(ctx context.Context) error {
	var list rest.List[rest.ServiceView]
	if err := w.cliJSON(ctx, order[0], &list, "service", "list"); err != nil {
		return err
	}
	want := map[string]uint32{"us": 3, "ap": 2}
	for _, service := range list.Items {
		for _, o := range service.Offers {
			if ready, _ := o.Ready(); uint32(ready) == want[string(o.Cluster)] {
				delete(want, string(o.Cluster))
			}
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("not offered as it should be: %v", want)
	}
	return nil
}

// gatewaysWell checks that the callers' Envoy finds every gateway healthy.
func (w *world) gatewaysWell(ctx context.Context) error {
	text, err := w.admin(ctx, "web-eu", "/clusters?filter=cart")
	if err != nil {
		return err
	}
	seen := 0
	for _, line := range strings.Split(text, "\n") {
		at, flags, ok := strings.Cut(line, "::health_flags::")
		if !ok {
			continue
		}
		seen++
		if flags != "healthy" {
			return fmt.Errorf("%s is %s", at, flags)
		}
	}
	if seen < 3*len(Protocols) {
		return fmt.Errorf("the callers' Envoy knows %d gateways, want %d", seen, 3*len(Protocols))
	}
	return nil
}

// admin asks a proxy's Envoy.
func (w *world) admin(ctx context.Context, proxy, path string) (string, error) {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(w.data(proxy), "envoy", "admin.sock"))
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy"+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// awaitSteady waits until everything is as it was before the first fault.
func (w *world) awaitSteady(ctx context.Context) error {
	return fleet.Eventually(ctx, 2*time.Minute, func() error {
		if err := w.callsSteady(); err != nil {
			return err
		}
		if err := w.whole(ctx); err != nil {
			return err
		}
		return w.gatewaysWell(ctx)
	})
}

// callsSteady checks that the latest calls were all answered, quickly, by the second region.
func (w *world) callsSteady() error {
	// The latest two seconds may hold calls that are still under way.
	since := time.Now().Add(-callTimeout - steadySpan)
	for _, protocol := range w.protocols {
		c := w.records[protocol].Between(since, steadySpan, nil)
		expected := rate() * int(steadySpan/time.Second)
		switch {
		case c.Calls < expected*9/10:
			return fmt.Errorf("%s: %d calls in %s, want %d", protocol, c.Calls, steadySpan, expected)
		case c.Failed > 0 || c.Slow > 0 || c.Regions["us"] != c.Calls:
			return fmt.Errorf("%s: %s", protocol, c)
		}
	}
	return nil
}

func (w *world) window(protocol string, from time.Time, span time.Duration, want func(load.Outcome) bool) load.Window {
	return w.records[protocol].Between(from, span, want)
}
