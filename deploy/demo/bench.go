package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/e2e/fleet"
)

// benchmark measures the time from a change at a workload in us until the Envoy of web-eu has it: each of so many changes, half of them
// ready 1→0 and half 0→1, first alone, then while others are made.
func (s *story) benchmark(ctx context.Context, changes int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var others *churn
	s.play(ctx, []chapter{
		{"Three federation nodes, one Raft group", s.raiseFederation},
		{"Three sites join with one-time tokens", s.joinSites},
		{"Gateways and workloads, each with an Envoy of its own", s.startEverything},
		{"A workload in us becomes unready or ready → the Envoy of web-eu in eu, by its own admin", func(ctx context.Context) error {
			return s.measureQuiet(ctx, changes)
		}},
		{fmt.Sprintf("%d more workloads of exported services in us", churnWorkloads), func(ctx context.Context) (err error) {
			others, err = s.raiseChurn(ctx)
			return err
		}},
		{fmt.Sprintf("The same, while %d other changes a second are made in us", churnRate), func(ctx context.Context) error {
			return s.measureChurned(ctx, others, changes)
		}},
	})
}

// measureQuiet makes one change after the other while nothing else happens.
func (s *story) measureQuiet(ctx context.Context, changes int) error {
	address := s.workloads["web-eu"].upstreams[stockHTTP]
	err := fleet.Eventually(ctx, 30*time.Second, func() error { return s.answeredFrom(ctx, address, "", "us", 10) })
	if s.check("web-eu calls stock.shop in us", err) != nil {
		return err
	}
	return s.measure(ctx, changes)
}

// measure makes one change after the other and reports how long each took to arrive.
func (s *story) measure(ctx context.Context, changes int) error {
	down, up, err := s.propagation(ctx, changes)
	if s.check(fmt.Sprintf("each of %d changes arrives", changes), err) != nil {
		return err
	}
	s.report("ready 1→0", down)
	s.report("ready 0→1", up)
	s.report("all", append(down, up...))
	return nil
}

// propagation drains and undrains stock-us-1 and waits for each change at web-eu.
func (s *story) propagation(ctx context.Context, changes int) (down, up []time.Duration, err error) {
	admin := socketClient(filepath.Join(s.data("stock-us-1"), "admin.sock"))
	envoy := s.envoyAdmin("web-eu")
	for i := range changes {
		drained := i%2 == 0
		verb := "undrain"
		if drained {
			verb = "drain"
		}
		begin := time.Now()
		if err := post(ctx, admin, "http://proxy/v1/"+verb); err != nil {
			return nil, nil, err
		}
		if err := s.waitForHealth(ctx, envoy, !drained); err != nil {
			return nil, nil, fmt.Errorf("change %d (%s): %w", i, verb, err)
		}
		if took := time.Since(begin); drained {
			down = append(down, took)
		} else {
			up = append(up, took)
		}
		// Quiet between changes: what is measured is one change, not a queue of them. The pauses differ, so that the changes meet the
		// other ones' schedule at every point.
		s.pause(ctx, 150*time.Millisecond+time.Duration(i%10)*time.Millisecond)
	}
	return down, up, nil
}

func (s *story) envoyAdmin(workload string) *http.Client {
	return socketClient(filepath.Join(s.data(workload), "envoy", "admin.sock"))
}

// waitForHealth polls web-eu's Envoy until the us gateway is healthy or unhealthy in the cluster of stock.shop.
func (s *story) waitForHealth(ctx context.Context, envoy *http.Client, healthy bool) error {
	name := model.PassthroughSNI(model.ServiceKey{Namespace: "shop", Name: "stock"}, httpPort)
	prefix := name + "::" + s.regions["us"].gateway + "::health_flags::"
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		text, err := get(ctx, envoy, "http://envoy/clusters?filter="+name)
		if err != nil {
			return err
		}
		for _, line := range strings.Split(text, "\n") {
			if flags, ok := strings.CutPrefix(line, prefix); ok && (flags == "healthy") == healthy {
				return nil
			}
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *story) report(what string, took []time.Duration) {
	took = slices.Sorted(slices.Values(took))
	at := func(q float64) time.Duration {
		return took[min(len(took)-1, int(q*float64(len(took))))].Round(100 * time.Microsecond)
	}
	s.say("%-10s n=%d  min %s  p50 %s  p90 %s  p99 %s  max %s", what, len(took), at(0), at(0.5), at(0.9), at(0.99), at(1))
}

// vip asks a site's agent for the virtual address of a service.
func (s *story) vip(ctx context.Context, region, service string) (string, error) {
	text, err := get(ctx, socketClient(filepath.Join(s.data("agent-"+region), "admin.sock")), "http://agent/v1/vips")
	if err != nil {
		return "", err
	}
	var vips map[string]string
	if err := json.Unmarshal([]byte(text), &vips); err != nil {
		return "", err
	}
	if vips[service] == "" {
		return "", fmt.Errorf("%s has no virtual address in %s", service, region)
	}
	return vips[service], nil
}

func socketClient(path string) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
}

func get(ctx context.Context, c *http.Client, url string) (string, error) {
	return exchange(ctx, c, http.MethodGet, url)
}

func post(ctx context.Context, c *http.Client, url string) error {
	_, err := exchange(ctx, c, http.MethodPost, url)
	return err
}

func exchange(ctx context.Context, c *http.Client, method, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: status %d: %.200s", method, url, resp.StatusCode, body)
	}
	return string(body), err
}
