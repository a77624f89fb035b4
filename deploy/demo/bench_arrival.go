package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
)

// raiseChurn registers the churn's workloads and waits until web-eu can call all of their services.
func (s *story) raiseChurn(ctx context.Context) (*churn, error) {
	c, err := s.startChurn(ctx, s.regions["us"])
	if s.check("their proxies' part enrols and registers them", err) != nil {
		return nil, err
	}
	envoy := s.envoyAdmin("web-eu")
	return c, s.timed("web-eu's Envoy knows all of them", func() error {
		return fleet.Eventually(ctx, 30*time.Second, func() error {
			taken, err := churnTaken(ctx, envoy)
			if err == nil && len(taken) != churnWorkloads {
				err = fmt.Errorf("it knows %d of %d", len(taken), churnWorkloads)
			}
			return err
		})
	})
}

// measureChurned measures while the churn runs, and counts what of the churn itself arrived.
func (s *story) measureChurned(ctx context.Context, c *churn, changes int) error {
	envoy := s.envoyAdmin("web-eu")
	// What the registrations caused has arrived by then.
	s.pause(ctx, 2*time.Second)
	before, err := churnTaken(ctx, envoy)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := c.during(ctx, func() error { return s.measure(ctx, changes) }); err != nil {
		return err
	}
	rate := float64(c.made.Load()) / time.Since(began).Seconds()
	// Whatever was to be said has been said by then: no change waits for longer.
	s.pause(ctx, time.Second)
	after, err := churnTaken(ctx, envoy)
	if err != nil {
		return err
	}
	arrived := sum(after) - sum(before)
	s.say("%d other changes were made, %.0f a second; web-eu's Envoy took %d of them", c.made.Load(), rate, arrived)
	if int64(arrived) == c.made.Load() {
		return s.check("every other change arrives on its own", nil)
	}
	// Two changes of one service within a pass are one: then the last state must have arrived all the same.
	return s.check("of every other service the last state arrives", s.churnSettled(ctx, envoy))
}

// churnTaken returns how many assignments web-eu's Envoy has taken for each of the churn's services.
func churnTaken(ctx context.Context, envoy *http.Client) (map[string]int, error) {
	text, err := get(ctx, envoy, "http://envoy/stats?filter="+url.QueryEscape(`^cluster\.p_8080_churn-.*\.update_success$`))
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		name, value, _ := strings.Cut(line, ": ")
		if n, err := strconv.Atoi(value); err == nil && n > 0 {
			out[name] = n
		}
	}
	return out, nil
}

// churnSettled checks that web-eu's Envoy finds every service of the churn healthy, which is how the churn leaves them.
func (s *story) churnSettled(ctx context.Context, envoy *http.Client) error {
	text, err := get(ctx, envoy, "http://envoy/clusters?filter=churn")
	if err != nil {
		return err
	}
	if healthy := strings.Count(text, "::health_flags::healthy\n"); healthy != churnWorkloads {
		return fmt.Errorf("%d of %d are healthy", healthy, churnWorkloads)
	}
	return nil
}

func sum(m map[string]int) (total int) {
	for _, n := range m {
		total += n
	}
	return total
}
