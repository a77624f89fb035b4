package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/enroll"
	"github.com/hanse-mesh/hanse/trust/identity"
)

const (
	// defaultPodAgent is where pods find their agent: the chart's Service.
	defaultPodAgent = "hanse-agent." + model.SystemNamespace + ".svc:7710"
	// maxTokenFile bounds a service-account token, in bytes.
	maxTokenFile = 16 << 10
)

// inPod reports whether the proxy proves itself by its pod's service account.
func (o *proxyOptions) inPod() bool { return o.accountToken != "" }

// validateProof checks how the proxy is to prove itself.
func (o *proxyOptions) validateProof() error {
	switch {
	case !o.inPod() && o.siteRoots != "":
		return usageError("--site-roots is for pods: give --service-account-token, too")
	case !o.inPod():
		return nil
	case o.token != "":
		return usageError("--token and --service-account-token are both given: a pod needs no workload token, leave it out")
	case o.siteRoots == "":
		return usageError("--site-roots is not set: name the file with the roots of the site, which the agent keeps in the ConfigMap hanse-roots")
	}
	return nil
}

// nameByPod names the workload after the pod that the token is for, as the agent will.
func (o *proxyOptions) nameByPod() error {
	text, err := readTokenFile(o.accountToken)
	if err != nil {
		return err
	}
	namespace, pod, err := podOfToken(text)
	if err != nil {
		return usageError("--service-account-token %s: %w", o.accountToken, err)
	}
	o.name = model.PodWorkloadID(namespace, pod)
	return nil
}

// egressRegistration is what an egress tells of itself: that of the site's own namespace is for all.
func (o *proxyOptions) egressRegistration(namespace string) (*model.WorkloadEgress, error) {
	if o.gateway || o.service != "" || len(o.ports) > 0 || len(o.upstreams) > 0 || o.vips || o.openHTTP != "" {
		return nil, usageError("--egress does not go with --gateway, --service, --port, --upstream, --vips or --open-http: it serves and calls nothing of its own")
	}
	if _, err := netip.ParseAddr(o.egressBind); err != nil {
		return nil, usageError("--egress-listen %q is not an IP address: give one without a port, for example ::", o.egressBind)
	}
	e := &model.WorkloadEgress{Bind: o.egressBind}
	if namespace != model.SystemNamespace {
		e.Namespace = namespace
	}
	return e, nil
}

// proveByAccount lets the enrolment show the pod's token, to an agent that shows a certificate of the site. Both files are read anew each
// time: Kubernetes replaces them.
func (p *proxyParts) proveByAccount(cfg *enroll.Config) {
	p.agent = p.opts.agent
	if p.agent == "" {
		p.agent = defaultPodAgent
	}
	roots := func() ([][]byte, error) { return identity.LoadChain(p.opts.siteRoots) }
	cfg.Store = podStore{svidStore{p.opts.dataDir}, roots}
	cfg.ServiceAccountToken = func() (string, error) { return readTokenFile(p.opts.accountToken) }
	cfg.ConnectPinned = func(context.Context) (*grpc.ClientConn, error) {
		return dialGRPC(p.agent, identity.RootedClientTLS(roots))
	}
}

// podStore keeps the certificate for as long as the site has the root of it: a pod can always get another.
type podStore struct {
	svidStore
	site func() ([][]byte, error)
}

// Load returns an empty chain when nothing of use is stored. Roots that cannot be read decide nothing.
func (s podStore) Load() (chain, roots [][]byte, err error) {
	chain, roots, err = s.svidStore.Load()
	if err != nil {
		return nil, nil, err
	}
	site, err := s.site()
	if err != nil {
		return chain, roots, nil
	}
	if !slices.ContainsFunc(roots, func(own []byte) bool {
		return slices.ContainsFunc(site, func(r []byte) bool { return bytes.Equal(own, r) })
	}) {
		return nil, nil, nil
	}
	return chain, roots, nil
}

func readTokenFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("--service-account-token: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err != nil {
		return "", fmt.Errorf("--service-account-token: %w", err)
	}
	if len(data) > maxTokenFile {
		return "", fmt.Errorf("--service-account-token %s has more than %d bytes: it is no service-account token", path, maxTokenFile)
	}
	return strings.TrimSpace(string(data)), nil
}

// podOfToken reads which pod a token says that it is for. It believes the token: whether that is so, the agent asks the API server.
func podOfToken(text string) (namespace, pod string, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return "", "", errors.New("it is no service-account token: project one with audience " + model.TokenAudience)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", "", fmt.Errorf("it is no service-account token: %w", err)
	}
	var said struct {
		Kubernetes struct {
			Namespace string `json:"namespace"`
			Pod       struct {
				Name string `json:"name"`
			} `json:"pod"`
		} `json:"kubernetes.io"`
	}
	if err := json.Unmarshal(claims, &said); err != nil {
		return "", "", fmt.Errorf("it is no service-account token: %w", err)
	}
	if said.Kubernetes.Namespace == "" || said.Kubernetes.Pod.Name == "" {
		return "", "", errors.New("the token is not bound to a pod: have Kubernetes project one into the pod")
	}
	return said.Kubernetes.Namespace, said.Kubernetes.Pod.Name, nil
}
