package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/enroll"
	"github.com/hanse-mesh/hanse/gateway/envoy"
	"github.com/hanse-mesh/hanse/gateway/health"
	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/atomicfile"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

// newEnrolment makes the client of the site's agent.
func (p *proxyParts) newEnrolment() (*enroll.Client, error) {
	key, err := identity.LoadOrCreateKey(filepath.Join(p.opts.dataDir, proxyKeyFile))
	if err != nil {
		return nil, err
	}
	cfg := enroll.Config{
		Connect: p.connect, Workload: p.opts.name, Key: key, Version: version, Clock: p.clock, Logger: p.logger,
		OnCertificate: func(chain, roots [][]byte) {
			if err := p.useCertificate(chain, roots); err != nil {
				p.logger.Error("the agent's answer holds no usable certificate", "error", err)
			}
		},
		OnWelcome:  func(model.ClusterName, string) { p.state.missing("registration", "") },
		OnRejected: func(err error) { p.state.missing("registration", "the agent refused this proxy: "+err.Error()) },
		OnProblems: func(problems []string) {
			for _, text := range problems {
				p.logger.Warn("a part of the registration cannot be offered", "problem", text)
			}
		},
	}
	if p.opts.inPod() {
		p.proveByAccount(&cfg)
	} else if err := p.proveByToken(&cfg); err != nil {
		return nil, err
	}
	return enroll.New(cfg)
}

// proveByToken lets the enrolment show the workload token. Without one it can go on with the certificate and address on disk.
func (p *proxyParts) proveByToken(cfg *enroll.Config) error {
	t, err := p.siteToken()
	if err != nil {
		return err
	}
	p.agent = p.agentAddress(t)
	cfg.TokenID, cfg.TokenSecret, cfg.Store = t.ID, t.Secret, svidStore{p.opts.dataDir}
	cfg.ConnectPinned = func(context.Context) (*grpc.ClientConn, error) {
		return dialGRPC(p.agent, identity.PinnedClientTLS(t.Pin))
	}
	return nil
}

// siteToken reads the token, which also tells the agent's address. It is kept as text beside the certificate, so that a restart needs
// none.
func (p *proxyParts) siteToken() (token.Token, error) {
	kept := filepath.Join(p.opts.dataDir, siteTokenFile)
	text := p.opts.token
	if text == "" {
		data, err := os.ReadFile(kept)
		if err != nil {
			return token.Token{}, usageError("--data-dir %s is empty: give --token, made by 'hanse token create workload' where the site's agent runs", p.opts.dataDir)
		}
		text = string(data)
	}
	t, err := token.Parse(text)
	if err != nil {
		return token.Token{}, usageError("--token: %w", err)
	}
	if err := t.Require(token.Workload); err != nil {
		return token.Token{}, usageError("--token: %w", err)
	}
	if p.opts.token == "" {
		return t, nil
	}
	return t, atomicfile.Write(kept, []byte(text), 0o600)
}

// agentAddress is where the operator, or else the token, says that the agent is.
func (p *proxyParts) agentAddress(t token.Token) string {
	if p.opts.agent != "" || len(t.Addresses) == 0 {
		return p.opts.agent
	}
	return t.Addresses[0]
}

// connect dials the site's agent with the proxy's own certificate.
func (p *proxyParts) connect(context.Context) (*grpc.ClientConn, error) {
	return dialGRPC(p.agent, p.identity.ClientTLS(nil))
}

// svidStore keeps the certificate as PEM files.
type svidStore struct{ dir string }

// Load returns an empty chain when nothing is stored.
func (s svidStore) Load() (chain, roots [][]byte, err error) {
	chain, err = identity.LoadChain(filepath.Join(s.dir, proxyChainFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	roots, err = identity.LoadChain(filepath.Join(s.dir, proxyRootsFile))
	return chain, roots, err
}

// Save writes the roots first: a chain on disk always has the roots that it needs.
func (s svidStore) Save(chain, roots [][]byte) error {
	if err := identity.SaveChain(filepath.Join(s.dir, proxyRootsFile), roots); err != nil {
		return err
	}
	return identity.SaveChain(filepath.Join(s.dir, proxyChainFile), chain)
}

// useCertificate makes a certificate the proxy's own and its Envoy's.
func (p *proxyParts) useCertificate(chain, roots [][]byte) error {
	key, err := identity.LoadOrCreateKey(filepath.Join(p.opts.dataDir, proxyKeyFile))
	if err != nil {
		return err
	}
	if err := p.identity.Set(identity.Credentials{Chain: chain, Key: key, Roots: roots}); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	var chainPEM []byte
	// The root is left out: whoever verifies has it.
	for _, c := range chain[:max(1, len(chain)-1)] {
		chainPEM = append(chainPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	p.state.certified(xds.NewDefaultSecret(chainPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return nil
}

// workloadIdentity reads namespace and service account from spiffe://TD/ns/NAMESPACE/sa/ACCOUNT.
func workloadIdentity(id spiffeid.ID) (namespace, account string, err error) {
	parts := strings.Split(strings.TrimPrefix(id.Path(), "/"), "/")
	if len(parts) != 4 || parts[0] != "ns" || parts[2] != "sa" {
		return "", "", fmt.Errorf("the certificate's identity %s is not a workload's", id)
	}
	return parts[1], parts[3], nil
}

// runCheck checks the workload; a gateway and a workload that only calls have nothing to check.
func (p *proxyParts) runCheck(ctx context.Context) error {
	spec, err := p.opts.checkSpec()
	if err != nil {
		return err
	}
	checker, err := health.New(spec, p.clock)
	if err != nil {
		return err
	}
	return checker.Run(ctx, func(ready bool, reason string) {
		p.state.checked(ready, reason)
		p.logChecked(spec, ready, reason)
		p.applyHealth(ctx)
	})
}

// logChecked tells of the check's verdicts, which change no more often than its thresholds let them.
func (p *proxyParts) logChecked(spec health.Spec, ready bool, reason string) {
	switch {
	case ready && spec.Kind != health.None:
		p.logger.Info("the workload is ready", "workload", p.opts.name)
	case !ready:
		p.logger.Warn("the workload is not ready: its check fails", "workload", p.opts.name, "reason", reason)
	}
}

// applyHealth tells the site and the Envoy. An Envoy told to fail its health check says GOAWAY on its connections, so that callers
// whose connection leads to this workload alone move on; one whose workload is not ready sends first attempts elsewhere.
func (p *proxyParts) applyHealth(ctx context.Context) {
	h, checked := p.state.workloadHealth()
	if !checked {
		// Nothing is known yet: an Envoy that was taken over keeps its connections.
		return
	}
	p.client.SetHealth(h)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	apply, unready := p.admin.PassHealthcheck, "0"
	if !h.Ready || h.Draining {
		apply = p.admin.FailHealthcheck
	}
	if !h.Ready {
		// A workload that only drains answers what still comes.
		unready = "100"
	}
	if err := errors.Join(p.admin.SetRuntime(ctx, xds.UnreadyKey, unready), apply(ctx)); err != nil {
		p.logger.Debug("could not tell the Envoy of the workload's health", "error", err)
	}
}

// watchEnvoy notices when the Envoy becomes live, dies or is replaced.
func (p *proxyParts) watchEnvoy(ctx context.Context) error {
	live := false
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		info, err := p.admin.ServerInfo(attempt)
		cancel()
		// An Envoy that is told to fail its health check is live all the same.
		now := err == nil && (info.State == envoy.StateLive || info.State == envoy.StateDraining)
		if now != live {
			live = now
			reason := "Envoy is not live"
			if live {
				reason = ""
			}
			p.state.missing("envoy", reason)
			p.state.running(info.Release())
			p.client.SetReport(p.cache.Nacks(selfClass), info.Release())
			p.applyHealth(ctx)
		}
		pause := 250 * time.Millisecond
		if !live {
			pause = 20 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.clock.After(pause):
		}
	}
}

// envoyEvents carries what the Envoy does with its configuration to the agent.
type envoyEvents struct{ p *proxyParts }

func (envoyEvents) Opened(string) {}
func (envoyEvents) Closed(string) {}

func (e envoyEvents) Acked(string, string) { e.report() }

func (e envoyEvents) Nacked(string, model.Nack) {
	e.report()
}

func (e envoyEvents) report() {
	e.p.acks.poke()
	e.p.client.SetReport(e.p.cache.Nacks(selfClass), e.p.state.release())
}

func (p *proxyParts) notReady() []string { return p.state.notReady() }
