package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
	"github.com/hanse-mesh/hanse/e2e/sample"
	"github.com/hanse-mesh/hanse/federation/rest"
)

func (s *story) callAcross(ctx context.Context) error {
	web := s.workloads["web-eu"]
	err := s.timed("web-eu calls cart.shop and is answered in its own region", func() error {
		return fleet.Eventually(ctx, 20*time.Second, func() error { return s.answeredFrom(ctx, web.upstreams[cartHTTP], "", "eu", 20) })
	})
	if err != nil {
		return err
	}
	err = s.timed("web-eu calls ledger.bank, which runs in us alone (HTTP)", func() error {
		return fleet.Eventually(ctx, 20*time.Second, func() error { return s.answeredFrom(ctx, web.upstreams[ledgerHTTP], "", "us", 5) })
	})
	if err != nil {
		return err
	}
	_ = s.check("web-eu calls ledger.bank over TCP", fleet.Eventually(ctx, 10*time.Second, func() error {
		return s.lineFrom(ctx, web.upstreams[ledgerLines], "us")
	}))
	_ = s.check("by name on one port: Host: ledger.bank.svc.clusterset.local", fleet.Eventually(ctx, 10*time.Second, func() error {
		return s.answeredFrom(ctx, web.openHTTP, "ledger.bank.svc.clusterset.local", "us", 5)
	}))
	_ = s.check("by virtual address: the VIP of ledger.bank", fleet.Eventually(ctx, 10*time.Second, func() error { return s.callVIP(ctx) }))
	_ = s.check("mutual TLS: ledger saw spiffe://eu.hanse.test/ns/shop/sa/web", s.peerIs(ctx, web.upstreams[ledgerHTTP], "spiffe://eu.hanse.test/ns/shop/sa/web"))
	_ = s.check("hanse service list shows who offers what, where and how healthy", s.serviceListed(ctx))
	return nil
}

// answeredFrom makes n calls and wants every answer from a region.
func (s *story) answeredFrom(ctx context.Context, address, host, region string, n int) error {
	for range n {
		a, err := s.call(ctx, address, host)
		if err != nil {
			return err
		}
		if a.Region != region {
			return fmt.Errorf("answered from %s, want %s", a.Region, region)
		}
	}
	return nil
}

func (s *story) call(ctx context.Context, address, host string) (sample.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return sample.CallHTTP(ctx, http.DefaultClient, http.MethodGet, "http://"+address+"/", host)
}

func (s *story) peerIs(ctx context.Context, address, want string) error {
	a, err := s.call(ctx, address, "")
	if err != nil {
		return err
	}
	if a.Peer != want {
		return fmt.Errorf("the application was told that the caller is %q, want %q", a.Peer, want)
	}
	return nil
}

// lineFrom sends a line over TCP and wants it back from a region.
func (s *story) lineFrom(ctx context.Context, address, region string) error {
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := fmt.Fprintln(conn, "ahoy"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, region+" ") || !strings.HasSuffix(line, " ahoy\n") {
		return fmt.Errorf("got %q, want a line from %s", line, region)
	}
	return nil
}

// callVIP reads from the site's agent which virtual address ledger.bank has, and calls it.
func (s *story) callVIP(ctx context.Context) error {
	vip, err := s.vip(ctx, "eu", "ledger.bank")
	if err != nil {
		return err
	}
	return s.answeredFrom(ctx, fmt.Sprintf("%s:%d", vip, httpPort), "", "us", 3)
}

func (s *story) serviceListed(ctx context.Context) error {
	var list rest.List[rest.ServiceView]
	if err := s.cliJSON(ctx, &list, "service", "list"); err != nil {
		return err
	}
	for _, service := range list.Items {
		if service.String() != "ledger.bank" {
			continue
		}
		if len(service.Offers) != 1 {
			return fmt.Errorf("ledger.bank has %d offers, want 1", len(service.Offers))
		}
		o := service.Offers[0]
		if r, t := o.Ready(); r != 1 || t != 1 || o.Cluster != "us" || strings.Join(o.ImportedBy, ",") != "eu" {
			return fmt.Errorf("ledger.bank is shown as %d/%d in %s for %v", r, t, o.Cluster, o.ImportedBy)
		}
		return nil
	}
	return errors.New("ledger.bank is not listed")
}

func (s *story) joinLate(ctx context.Context) error {
	late := s.define(&workload{name: "cart-eu-2", region: "eu", namespace: "shop", service: "cart", export: true})
	if err := s.startWorkload(ctx, late); err != nil {
		return err
	}
	return s.timed("cart-eu-2 enrols with its token and takes part of the calls", func() error {
		return fleet.Eventually(ctx, 20*time.Second, func() error {
			return s.instanceAnswers(ctx, s.workloads["web-eu"].upstreams[cartHTTP], "cart-eu-2", 30)
		})
	})
}

// instanceAnswers wants at least one of n answers from an instance.
func (s *story) instanceAnswers(ctx context.Context, address, instance string, n int) error {
	seen := map[string]int{}
	for range n {
		a, err := s.call(ctx, address, "")
		if err != nil {
			return err
		}
		seen[a.Instance]++
	}
	if seen[instance] == 0 {
		return fmt.Errorf("%s answered none of %d calls: %v", instance, n, seen)
	}
	return nil
}
