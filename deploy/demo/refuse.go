package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/e2e/fleet"
	"github.com/hanse-mesh/hanse/federation/rest"
)

func (s *story) refuse(ctx context.Context) error {
	cart, web := s.workloads["cart-eu-1"], s.workloads["web-ap"]
	inbound := "127.0.0.1:" + strconv.Itoa(cart.inbound)
	ledgerSNI := model.PassthroughSNI(model.ServiceKey{Namespace: "bank", Name: "ledger"}, httpPort)
	cartSNI := model.PassthroughSNI(model.ServiceKey{Namespace: "shop", Name: "cart"}, httpPort)
	hiddenSNI := model.PassthroughSNI(model.ServiceKey{Namespace: "hidden", Name: "vault"}, httpPort)
	usGateway := s.regions["us"].gateway

	_ = s.check("a plaintext call to a workload's Envoy", refusedPlain(ctx, inbound))
	_ = s.check("a plaintext call to a gateway", refusedPlain(ctx, usGateway))
	own, err := readSVID(s.data(web.name))
	if err != nil {
		return err
	}
	status, err := s.callTLS(ctx, s.regions["ap"].gateway, cartSNI, own)
	if err := s.check("(a caller with a good certificate is let in: 200)", wantStatus(status, err, http.StatusOK)); err != nil {
		return err
	}
	foreign, err := foreignSVID("spiffe://ap.hanse.test/ns/shop/sa/web")
	if err != nil {
		return err
	}
	_ = s.check("a client whose certificate a foreign CA signed, with a member's SPIFFE ID", s.handshakeRefused(ctx, inbound, cartSNI, foreign))
	_ = s.check("a caller whose trust domain the export rule does not name (ap → ledger): 403", func() error {
		status, err := s.callTLS(ctx, usGateway, ledgerSNI, own)
		return wantStatus(status, err, http.StatusForbidden)
	}())
	_ = s.check("a server name that is not exported, at the gateway", s.handshakeRefused(ctx, usGateway, hiddenSNI, own))
	_ = s.check("a server that holds another service account's certificate", s.rogueServer(ctx))
	_ = s.check("a registration for a service that the token does not allow", s.registrationRefused(ctx))
	_ = s.check("an export that no rule allows: not offered, and hanse status says why", s.exportRefused(ctx))
	return nil
}

func wantStatus(got int, err error, want int) error {
	if err == nil && got != want {
		err = fmt.Errorf("status %d, want %d", got, want)
	}
	return err
}

// refusedPlain wants an HTTP call without TLS to end without any answer.
func refusedPlain(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("the connection was neither answered nor closed within 10 s")
		}
		return nil
	}
	_ = resp.Body.Close()
	return fmt.Errorf("answered with status %d", resp.StatusCode)
}

// callTLS makes an HTTP call over TLS with a certificate and a server name of its own choice, as an attacker would.
func (s *story) callTLS(ctx context.Context, address, sni string, cert tls.Certificate) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{
			ServerName: sni, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13,
			// The attacker does not care who answers; that the server checks the client is what is tested.
			InsecureSkipVerify: true,
		},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+sni+"/", nil)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Body.Close()
}

// handshakeRefused wants a TLS call to end in a refusal by the other side, not in an answer or a time-out.
func (s *story) handshakeRefused(ctx context.Context, address, sni string, cert tls.Certificate) error {
	status, err := s.callTLS(ctx, address, sni, cert)
	switch {
	case err == nil:
		return fmt.Errorf("answered with status %d", status)
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("the connection was neither answered nor refused within 5 s")
	default:
		return nil
	}
}

// rogueServer takes the place of cart-eu-2 on its port, with the certificate of another service account of the same domain, and wants
// web-eu's Envoy to break off every handshake.
func (s *story) rogueServer(ctx context.Context) error {
	victim := s.workloads["cart-eu-2"]
	cert, err := readSVID(s.data("web-eu"))
	if err != nil {
		return err
	}
	s.killWorkload(victim)
	rogue, err := startRogue("127.0.0.1:"+strconv.Itoa(victim.inbound), cert)
	if err != nil {
		return err
	}
	defer rogue.close()
	for range 60 {
		if _, err := s.call(ctx, s.workloads["web-eu"].upstreams[cartHTTP], ""); err != nil {
			return fmt.Errorf("a call failed although cart-eu-1 is there: %w", err)
		}
	}
	attempts, accepted := rogue.counts()
	if attempts == 0 {
		return errors.New("web-eu's Envoy never tried the impostor: nothing was shown")
	}
	if accepted > 0 {
		return fmt.Errorf("%d of %d handshakes with the impostor were accepted", accepted, attempts)
	}
	rogue.close()
	return s.startWorkload(ctx, victim)
}

// registrationRefused starts a proxy that wants to register cart with a token for stock.
func (s *story) registrationRefused(ctx context.Context) error {
	token, err := s.workloadToken(ctx, "eu", "--namespace", "shop", "--service-account", "stock", "--service", "stock")
	if err != nil {
		return err
	}
	thief := s.define(&workload{name: "thief-eu", region: "eu", namespace: "shop", service: "cart", export: true, tokenText: token})
	if err := s.startWorkload(ctx, thief); err != nil {
		return err
	}
	defer s.procs.Kill("app-"+thief.name, thief.name)
	return fleet.Eventually(ctx, 15*time.Second, func() error {
		err := ready(ctx, thief.health)
		if err == nil {
			return errors.New("the proxy is ready: its registration was taken")
		}
		if !strings.Contains(err.Error(), "cart") || !strings.Contains(err.Error(), "stock") {
			return fmt.Errorf("the refusal does not name what was asked and what is allowed: %w", err)
		}
		return nil
	})
}

// exportRefused exports a service of a namespace that no rule opens.
func (s *story) exportRefused(ctx context.Context) error {
	vault := s.define(&workload{name: "vault-eu", region: "eu", namespace: "hidden", service: "vault", export: true})
	if err := s.startWorkload(ctx, vault); err != nil {
		return err
	}
	defer s.killWorkload(vault)
	return fleet.Eventually(ctx, 20*time.Second, func() error {
		var st rest.Status
		if err := s.cliJSON(ctx, &st, "status"); err != nil {
			return err
		}
		var list rest.List[rest.ServiceView]
		if err := s.cliJSON(ctx, &list, "service", "list"); err != nil {
			return err
		}
		for _, service := range list.Items {
			if service.Namespace == "hidden" {
				return fmt.Errorf("%s is offered", service.ServiceKey)
			}
		}
		for _, p := range st.Problems {
			if strings.Contains(p, "hidden") {
				return nil
			}
		}
		return fmt.Errorf("no problem names the namespace: %q", st.Problems)
	})
}
