package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/trust/token"
)

// handshake is one probe of another cluster's gateway: mutual TLS as the data plane would, and an answer, which proves that the
// gateway has accepted this side's certificate too.
func (a *agentParts) handshake(ctx context.Context, ip string, port uint16, sni string, cluster model.ClusterName) error {
	config, err := a.probeTLS(sni, cluster)
	if err != nil {
		return err
	}
	dialer := tls.Dialer{Config: config}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", sni); err != nil {
		return err
	}
	var head [12]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if string(head[:]) != "HTTP/1.1 200" {
		return fmt.Errorf("the gateway answers %q", head)
	}
	return nil
}

// probeTLS accepts only the identity of the cluster's gateways, by the bundle that this site believes.
func (a *agentParts) probeTLS(sni string, cluster model.ClusterName) (*tls.Config, error) {
	bundle, want, err := a.core.gatewayIdentity(cluster)
	if err != nil {
		return nil, err
	}
	own, ok := a.siteIdentity.Get()
	if !ok {
		return nil, errors.New("the agent has no certificate of its site")
	}
	return &tls.Config{
		ServerName: sni, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
		Certificates:       []tls.Certificate{{Certificate: own.Chain[:1], PrivateKey: own.Key}},
		InsecureSkipVerify: true, // VerifyPeerCertificate does it by SPIFFE ID.
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			id, _, err := x509svid.ParseAndVerify(raw, bundle)
			if err != nil {
				return err
			}
			if id != want {
				return fmt.Errorf("the gateway is %s, not %s", id, want)
			}
			return nil
		},
	}, nil
}

// gatewayIdentity is who answers as a cluster's gateway, and by which roots that is judged.
func (c *siteCore) gatewayIdentity(cluster model.ClusterName) (*x509bundle.Bundle, spiffeid.ID, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	trustDomain := c.memberOf(cluster).TrustDomain
	for _, e := range c.bundles.Entries() {
		if e.Bundle.TrustDomain != trustDomain {
			continue
		}
		td, err := spiffeid.TrustDomainFromString(trustDomain)
		if err != nil {
			return nil, spiffeid.ID{}, err
		}
		var roots []*x509.Certificate
		for _, der := range e.Bundle.Roots {
			root, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, spiffeid.ID{}, err
			}
			roots = append(roots, root)
		}
		want, err := spiffeid.FromString(model.WorkloadID(trustDomain, model.SystemNamespace, model.GatewayServiceAccount))
		return x509bundle.FromX509Authorities(td, roots), want, err
	}
	return nil, spiffeid.ID{}, fmt.Errorf("no bundle of cluster %s is believed yet", cluster)
}

// maxStatusProxies bounds the proxies of a status record; those with something to say come first.
const maxStatusProxies = 100

// siteStatus is what operators are told of this site.
func (a *agentParts) siteStatus() model.SiteStatus {
	proxies := a.site.Proxies()
	slices.SortStableFunc(proxies, func(x, y model.ProxyStatus) int { return rank(x) - rank(y) })
	proxies = proxies[:min(len(proxies), maxStatusProxies)]
	expiry := a.site.EarliestExpiry()
	if own := a.siteIdentity.Expiry(); expiry.IsZero() || own.Before(expiry) {
		expiry = own
	}
	return model.SiteStatus{AgentVersion: version, Proxies: proxies, EarliestExpiry: expiry}
}

// rank puts proxies that need an operator's eye first.
func rank(p model.ProxyStatus) int {
	switch {
	case len(p.Nacks) > 0:
		return 0
	case !p.Connected:
		return 1
	case !p.Ready:
		return 2
	default:
		return 3
	}
}

// tellProblems tells each proxy what of its registration cannot be offered.
func (a *agentParts) tellProblems(ctx context.Context) error {
	for {
		s := a.publisher.Current()
		for _, p := range a.site.Proxies() {
			problems := problemsFor(s, p.Workload)
			for _, x := range a.publisher.Problems(p.Workload) {
				problems = append(problems, x.Subject+": "+x.Reason)
			}
			a.site.SendProblems(p.Workload, problems)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.clock.After(time.Second):
		}
	}
}

// adminHandler serves the agent's own socket: whoever may use it is this machine's operator.
func (a *agentParts) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/workload-tokens", a.mintWorkloadToken)
	mux.HandleFunc("GET /v1/workload-tokens", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.site.Tokens()) })
	mux.HandleFunc("GET /v1/vips", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.core.virtualAddresses()) })
	mux.HandleFunc("DELETE /v1/bundles/{domain}", func(w http.ResponseWriter, r *http.Request) {
		a.core.forgetBundle(r.PathValue("domain"))
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func (a *agentParts) mintWorkloadToken(w http.ResponseWriter, r *http.Request) {
	var req workloadTokenRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&req); err != nil {
		http.Error(w, "the request is not valid JSON: "+err.Error(), http.StatusBadRequest)
		return
	}
	ttl, err := time.ParseDuration(req.TTL)
	if err != nil {
		http.Error(w, "ttl: "+err.Error(), http.StatusBadRequest)
		return
	}
	id, secret, err := a.site.Mint(vm.TokenSpec{
		Namespace: req.Namespace, ServiceAccount: req.ServiceAccount, Services: req.Services, Gateway: req.Gateway, Uses: req.Uses, TTL: ttl,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	t := token.Token{
		Kind: token.Workload, ID: id, Secret: secret, Issuer: string(a.member.Cluster),
		Pin: pinOf(a.authority.Root()), Addresses: []string{a.siteAddress},
	}
	writeJSON(w, workloadTokenAnswer{ID: id, Text: t.String()})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// measure registers what an operator watches on an agent.
func (a *agentParts) measure() {
	gauge(a.registry, "uplink_connected", "1 while a session with a federation node stands", func() float64 { return boolGauge(a.uplink.Stats().Connected) })
	gauge(a.registry, "workloads", "registered workloads and gateways", func() float64 { return float64(len(a.site.Workloads())) })
	gauge(a.registry, "gateways_unreachable", "gateways of other clusters that this agent's probes find unreachable", a.unreachable)
	gauge(a.registry, "nacks", "configurations that Envoys of this site refuse at the moment", func() float64 {
		n := 0
		for _, p := range a.site.Proxies() {
			n += len(p.Nacks)
		}
		return float64(n)
	})
	gauge(a.registry, "certificate_expiry_seconds", "time until the site's first certificate ends: the outage budget", func() float64 {
		return a.siteStatus().EarliestExpiry.Sub(a.clock.Now()).Seconds()
	})
}

func (a *agentParts) unreachable() float64 {
	bad := 0
	for _, t := range a.core.targets() {
		for _, p := range a.prober.Points(t.Cluster) {
			if p.Gateway == t.Gateway && p.State == probe.Bad {
				bad++
			}
		}
	}
	return float64(bad)
}
