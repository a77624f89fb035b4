package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/internal/run"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
)

// podToken is a service-account token in form: nobody checks its signature here.
func podToken(t *testing.T, claims any) string {
	t.Helper()
	data, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(data) + ".c2ln"
}

func boundTo(namespace, pod string) any {
	return map[string]any{"kubernetes.io": map[string]any{"namespace": namespace, "pod": map[string]any{"name": pod, "uid": "u"}}}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAPodNamesItsWorkload(t *testing.T) {
	file := writeFile(t, "token", podToken(t, boundTo("shop", "cart-1"))+"\n")
	o := proxyFlags(t, "--service-account-token", file, "--site-roots", "roots.pem", "--address", "10.1.0.9")
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	if err := o.nameByPod(); err != nil || o.name != "shop--cart-1" {
		t.Errorf("%q, %v", o.name, err)
	}
	for says, text := range map[string]string{
		"no service-account token": "hanse-workload-1.x",
		"illegal base64":           "a.!.c",
		"invalid character":        "e30.eA.c",
		"not bound to a pod":       podToken(t, map[string]any{"kubernetes.io": map[string]any{"namespace": "shop"}}),
		"more than":                strings.Repeat("a", maxTokenFile+1),
	} {
		o.accountToken = writeFile(t, "token", text)
		if err := o.nameByPod(); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "--service-account-token") {
			t.Errorf("%s: %v", says, err)
		}
	}
	o.accountToken = "nowhere"
	if err := o.nameByPod(); err == nil || !strings.Contains(err.Error(), "--service-account-token") {
		t.Errorf("no file: %v", err)
	}
}

func TestTheAddressIsThePods(t *testing.T) {
	t.Setenv(podIPVariable, "10.1.0.9")
	if o := proxyFlags(t); o.address != "10.1.0.9" {
		t.Errorf("address %q", o.address)
	}
	if o := proxyFlags(t, "--address", "10.1.0.8"); o.address != "10.1.0.8" {
		t.Errorf("a flag does not count: %q", o.address)
	}
}

func TestEgressAsDescribed(t *testing.T) {
	pod := []string{"--service-account-token=token", "--site-roots=roots.pem", "--address=10.1.0.9", "--egress"}
	for namespace, want := range map[string]model.WorkloadEgress{
		model.SystemNamespace: {Bind: "::"},
		"shop":                {Bind: "::", Namespace: "shop"},
	} {
		o := proxyFlags(t, pod...)
		got, err := o.workload(namespace)
		if err != nil || got.Egress == nil || *got.Egress != want || got.Locality != (model.Locality{}) {
			t.Errorf("%s: %+v, %v", namespace, got.Egress, err)
		}
	}
	for args, says := range map[string]string{
		"--egress-listen=[::]:1": "--egress-listen",
		"--egress-listen=":       "--egress-listen",
		"--gateway":              "--egress",
		"--vips":                 "--egress",
		"--upstream=service=cart,bind=127.0.0.1:1": "--egress",
		"--token=x":        "--token",
		"--site-roots=":    "--site-roots",
		"--locality=eu/EU": "--locality",
	} {
		o := proxyFlags(t, append(slices.Clone(pod), args)...)
		usage(t, o.validate(), says)
	}
	usage(t, new(proxyFlags(t, append(slices.Clone(caller), "--site-roots=roots.pem")...)).validate(), "--site-roots")
}

// onePod accepts the token of one pod.
type onePod struct{ token string }

func (p onePod) Review(_ context.Context, token string) (model.Pod, error) {
	if token != p.token {
		return model.Pod{}, status.Error(codes.Unauthenticated, "the API server does not accept the service-account token")
	}
	return model.Pod{Namespace: "shop", ServiceAccount: "till", Name: "cart-1", UID: "u"}, nil
}

func (onePod) Serves(model.Pod, model.ServiceKey) (serves, known bool) { return true, true }
func (onePod) Locality(string) (model.Locality, bool)                  { return model.Locality{}, false }

// TestAPodProvesItself runs the proxy's enrolment against a site's registry behind its own listener, with real certificates.
func TestAPodProvesItself(t *testing.T) {
	token := podToken(t, boundTo("shop", "cart-1"))
	authority, err := ca.NewRoot(ca.RootOptions{TrustDomain: "eu.acme", CommonName: "CA", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	address := serveSite(t, authority, onePod{token})
	roots := writeFile(t, "roots.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Root()})))
	proxy := func(dir, text, roots string) (*proxyParts, error) {
		o := proxyFlags(t, "--data-dir", dir, "--service-account-token", writeFile(t, "token", text), "--site-roots", roots,
			"--agent", address, "--address", "10.1.0.9", "--service", "cart", "--port", "number=80,target=127.0.0.1:80")
		if err := o.nameByPod(); err != nil {
			t.Fatal(err)
		}
		p := &proxyParts{opts: o, clock: clock.Real{}, logger: slog.New(slog.DiscardHandler), state: newProxyState()}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return p, p.enrol(ctx)
	}
	dir := t.TempDir()
	p, err := proxy(dir, token, roots)
	if err != nil {
		t.Fatal(err)
	}
	if id := p.identity.ID().String(); id != "spiffe://eu.acme/ns/shop/sa/till" || p.workload.ID != "shop--cart-1" || p.workload.Namespace != "shop" {
		t.Errorf("%s, %+v", id, p.workload)
	}
	// A restart of the container needs no agent.
	if _, err := (podStore{svidStore{dir}, func() ([][]byte, error) { return identity.LoadChain(roots) }}).load(); err != nil {
		t.Error(err)
	}

	other, err := ca.NewRoot(ca.RootOptions{TrustDomain: "eu.acme", CommonName: "CA", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	strange := writeFile(t, "roots.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Root()})))
	if _, err := (podStore{svidStore{dir}, func() ([][]byte, error) { return identity.LoadChain(strange) }}).load(); err == nil {
		t.Error("a certificate of another root is kept")
	}
	if _, err := (podStore{svidStore{dir}, func() ([][]byte, error) { return nil, errors.New("no such file") }}).load(); err != nil {
		t.Error("roots that cannot be read cost the certificate")
	}
}

// load says whether something of use is stored.
func (s podStore) load() (chain [][]byte, err error) {
	chain, _, err = s.Load()
	if err == nil && len(chain) == 0 {
		err = errors.New("nothing is stored")
	}
	return chain, err
}

// serveSite runs a site's registry until the test ends, and returns its address.
func serveSite(t *testing.T, authority *ca.Authority, pods vm.Pods) string {
	t.Helper()
	a := &agentParts{clock: clock.Real{}, logger: slog.New(slog.DiscardHandler), authority: authority, opts: agentOptions{dataDir: t.TempDir()}, member: member{TrustDomain: "eu.acme"}}
	a.siteIdentity = identity.NewSource(a.clock)
	if err := a.certifySelf(); err != nil {
		t.Fatal(err)
	}
	site, err := vm.New(vm.Config{
		Dir: t.TempDir(), TrustDomain: "eu.acme", Cluster: "eu", Federation: "acme", Signer: siteSigner{authority, a.clock}, Peer: sitePeer, Pods: pods,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newByCertificate(a.siteIdentity.ServerTLS(identity.ServerOptions{}), site.Register)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run.Group(ctx, func(ctx context.Context) error { return server.serve(ctx, l) }) }()
	t.Cleanup(func() { cancel(); <-done })
	return l.Addr().String()
}
