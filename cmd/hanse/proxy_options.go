package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/health"
)

// podIPVariable is the variable that manifests fill with the pod's own address.
const podIPVariable = "POD_IP"

// proxyOptions are the flags of "hanse proxy".
type proxyOptions struct {
	log          logOptions
	dataDir      string
	token        string
	accountToken string
	siteRoots    string
	agent        string
	name         string
	locality     string
	address      string
	inboundPort  uint16
	inboundBind  string
	service      string
	ports        []string
	export       bool
	upstreams    []string
	vips         bool
	openHTTP     string
	check        string
	gateway      bool
	gatewayBind  string
	gatewayAdv   string
	egress       bool
	egressBind   string
	envoy        string
	concurrency  int
	drainTime    time.Duration
	healthListen string
}

func (o *proxyOptions) bind(f *pflag.FlagSet) {
	o.log.bind(f)
	f.StringVar(&o.dataDir, "data-dir", "/var/lib/hanse/proxy", "folder for key, certificate, cache and Envoy's files")
	f.StringVar(&o.token, "token", "", "workload token, made by 'hanse token create workload' at the site's agent; needed once")
	f.StringVar(&o.accountToken, "service-account-token", "", "in a pod of Kubernetes, in place of --token: file with a projected service-account token of audience "+model.TokenAudience)
	f.StringVar(&o.siteRoots, "site-roots", "", "file with the roots of the site (PEM), with --service-account-token; the agent keeps them in the ConfigMap hanse-roots")
	f.StringVar(&o.agent, "agent", "", "host:port of the site's agent (default: as the token says, with --service-account-token "+defaultPodAgent+")")
	f.StringVar(&o.name, "name", "", "name of this workload, unique in the site (with --service-account-token it follows from the pod)")
	f.StringVar(&o.locality, "locality", "", "where it runs: REGION or REGION/ZONE (with --service-account-token what is left out is that of the pod's node)")
	f.StringVar(&o.address, "address", os.Getenv(podIPVariable), "IP address at which the site's other Envoys and gateways reach this one (default: $"+podIPVariable+")")
	f.Uint16Var(&o.inboundPort, "inbound-port", 7721, "port on which its Envoy accepts mutual TLS")
	f.StringVar(&o.inboundBind, "inbound-bind", "", "address on which its Envoy listens (default: --address)")
	f.StringVar(&o.service, "service", "", "service that the workload serves, in the token's namespace; empty for one that only calls")
	f.StringArrayVar(&o.ports, "port", nil, "a port of the service: name=NAME,number=N,protocol=http|http2|grpc|tcp,target=HOST:PORT (repeatable)")
	f.BoolVar(&o.export, "export", false, "offer the service to other clusters, as far as the export rules allow")
	f.StringArrayVar(&o.upstreams, "upstream", nil, "a service that the workload calls: service=NAME[.NAMESPACE],port=NAME|NUMBER,bind=HOST:PORT (repeatable)")
	f.BoolVar(&o.vips, "vips", false, "offer every service on its virtual address (ports from 1024)")
	f.StringVar(&o.openHTTP, "open-http", "", "host:port that offers every HTTP service by its Host header")
	f.StringVar(&o.check, "check", "", "health check: kind=http|tcp|grpc|command,target=HOST:PORT,path=/…,service=…,command=…,interval=1s,timeout=1s,healthy=1,unhealthy=1")
	f.BoolVar(&o.gateway, "gateway", false, "run an east-west gateway instead of a workload's proxy")
	f.StringVar(&o.gatewayBind, "gateway-listen", "0.0.0.0:7722", "address on which the gateway listens")
	f.StringVar(&o.gatewayAdv, "gateway-advertise", "", "host:port at which other clusters reach the gateway: an IP or a host name (default: --address and the listen port)")
	f.BoolVar(&o.egress, "egress", false, "in Kubernetes, run an egress gateway: pods without an Envoy of their own call other clusters through it")
	f.StringVar(&o.egressBind, "egress-listen", "::", "IP address on which the egress listens, on the ports that the agent allots")
	f.StringVar(&o.envoy, "envoy", "", "Envoy binary (default: envoy on PATH)")
	f.IntVar(&o.concurrency, "concurrency", 0, "Envoy's worker threads (default: one per core)")
	f.DurationVar(&o.drainTime, "drain-time", 5*time.Second, "how long calls under way may take after SIGTERM")
	f.StringVar(&o.healthListen, "health-listen", "127.0.0.1:7720", "address for /healthz, /readyz and /metrics (plain HTTP)")
}

// workload is the registration that the options describe. Namespace and service account follow from the certificate.
func (o *proxyOptions) workload(namespace string) (model.Workload, error) {
	var locality model.Locality
	var err error
	if o.locality != "" || !o.inPod() {
		if locality, err = model.ParseLocality(o.locality); err != nil {
			return model.Workload{}, usageError("--locality: %w", err)
		}
	}
	if net.ParseIP(o.address) == nil {
		return model.Workload{}, usageError("--address %q is not an IP address: give the one at which this machine is reached within the site", o.address)
	}
	w := model.Workload{
		ID: o.name, Namespace: namespace, Locality: locality, Address: o.address, InboundPort: o.inboundPort,
		InboundBind: o.inboundBind, Export: o.export,
	}
	if o.vips || o.openHTTP != "" {
		w.Open = &model.OpenUpstreams{VIPs: o.vips, HTTPBind: o.openHTTP}
	}
	switch {
	case o.egress:
		w.Egress, err = o.egressRegistration(namespace)
		return w, err
	case o.gateway:
		w.Gateway, err = o.gatewayRegistration()
		return w, err
	}
	if o.service != "" {
		w.Service = model.ServiceKey{Namespace: namespace, Name: o.service}
	}
	if w.Ports, err = o.servicePorts(); err != nil {
		return model.Workload{}, err
	}
	w.Upstreams, err = o.declaredUpstreams(namespace)
	return w, err
}

func (o *proxyOptions) gatewayRegistration() (*model.WorkloadGateway, error) {
	if o.service != "" || len(o.ports) > 0 || len(o.upstreams) > 0 {
		return nil, usageError("--gateway does not go with --service, --port or --upstream: a gateway serves and calls nothing of its own")
	}
	advertise := o.gatewayAdv
	if advertise == "" {
		_, port, err := net.SplitHostPort(o.gatewayBind)
		if err != nil {
			return nil, usageError("--gateway-listen %q is not host:port", o.gatewayBind)
		}
		advertise = net.JoinHostPort(o.address, port)
	}
	host, port, err := splitPort("--gateway-advertise", advertise)
	if err != nil {
		return nil, err
	}
	return &model.WorkloadGateway{Bind: o.gatewayBind, AdvertiseAddress: host, AdvertisePort: port}, nil
}

func (o *proxyOptions) servicePorts() ([]model.WorkloadPort, error) {
	if o.service == "" && len(o.ports) > 0 {
		return nil, usageError("--port is given, but no --service that it belongs to")
	}
	if o.service != "" && len(o.ports) == 0 {
		return nil, usageError("--service %s has no --port: give at least one, for example name=http,number=8080,protocol=http,target=127.0.0.1:8080", o.service)
	}
	var out []model.WorkloadPort
	for _, text := range o.ports {
		pairs, err := parsePairs("port", text, "name", "number", "protocol", "target")
		if err != nil {
			return nil, err
		}
		number, err := strconv.ParseUint(pairs["number"], 10, 16)
		if err != nil || number == 0 {
			return nil, usageError("--port %q: number must be from 1 to 65535", text)
		}
		protocol, err := model.ParseProtocol(pairs["protocol"])
		if err != nil {
			return nil, usageError("--port %q: %w", text, err)
		}
		if protocol.Transport() != model.ProtocolTCP {
			return nil, usageError("--port %q: a proxy carries no %s: give tcp, http, http2 or grpc", text, protocol)
		}
		if _, _, err := splitPort("--port target", pairs["target"]); err != nil {
			return nil, err
		}
		p := model.Port{Name: pairs["name"], Number: uint16(number), Protocol: protocol}
		if err := p.Validate(); err != nil {
			return nil, usageError("--port %q: %w", text, err)
		}
		out = append(out, model.WorkloadPort{Port: p, Target: pairs["target"]})
	}
	return out, nil
}

func (o *proxyOptions) declaredUpstreams(namespace string) ([]model.Upstream, error) {
	var out []model.Upstream
	for _, text := range o.upstreams {
		pairs, err := parsePairs("upstream", text, "service", "port", "bind")
		if err != nil {
			return nil, err
		}
		name, ns, qualified := strings.Cut(pairs["service"], ".")
		if !qualified {
			ns = namespace
		}
		key := model.ServiceKey{Namespace: ns, Name: name}
		if err := key.Validate(); err != nil {
			return nil, usageError("--upstream %q: %w", text, err)
		}
		if _, _, err := splitPort("--upstream bind", pairs["bind"]); err != nil {
			return nil, err
		}
		out = append(out, model.Upstream{Service: key, Port: pairs["port"], Bind: pairs["bind"]})
	}
	return out, nil
}

// checkSpec is the health check that the options describe.
func (o *proxyOptions) checkSpec() (health.Spec, error) {
	if o.check == "" {
		return health.Spec{Kind: health.None}, nil
	}
	pairs, err := parsePairs("check", o.check, "kind", "target", "path", "service", "command", "interval", "timeout", "healthy", "unhealthy")
	if err != nil {
		return health.Spec{}, err
	}
	s := health.Spec{
		Kind: health.Kind(pairs["kind"]), Target: pairs["target"], Path: pairs["path"], Service: pairs["service"],
		Command: strings.Fields(pairs["command"]),
	}
	for key, to := range map[string]*time.Duration{"interval": &s.Interval, "timeout": &s.Timeout} {
		if text := pairs[key]; text != "" {
			if *to, err = time.ParseDuration(text); err != nil {
				return health.Spec{}, usageError("--check: %s %q is not a duration, for example 1s", key, text)
			}
		}
	}
	for key, to := range map[string]*int{"healthy": &s.HealthyThreshold, "unhealthy": &s.UnhealthyThreshold} {
		if text := pairs[key]; text != "" {
			if *to, err = strconv.Atoi(text); err != nil {
				return health.Spec{}, usageError("--check: %s %q is not a number", key, text)
			}
		}
	}
	if err := s.Validate(); err != nil {
		return health.Spec{}, usageError("--check: %w", err)
	}
	return s, nil
}

// splitPort reads host:port with a port from 1 to 65535; what names the value in the error.
func splitPort(what, address string) (string, uint16, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return "", 0, usageError("%s %q is not host:port", what, address)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return "", 0, usageError("%s %q: the port must be from 1 to 65535", what, address)
	}
	return host, uint16(port), nil
}

func (o *proxyOptions) validate() error {
	if err := o.validateProof(); err != nil {
		return err
	}
	if !o.inPod() {
		if err := model.ValidateLabel("--name", o.name); err != nil {
			return usageError("%w", err)
		}
	}
	if o.drainTime < 0 || o.drainTime > time.Hour {
		return usageError("--drain-time %s is not between 0s and 1h", o.drainTime)
	}
	if _, err := o.checkSpec(); err != nil {
		return err
	}
	// The namespace is known only after the enrolment; everything else can be refused before a token is spent.
	if _, err := o.workload("unknown"); err != nil {
		return err
	}
	if o.concurrency < 0 {
		return usageError("--concurrency %d is negative: give a number of threads, or 0 for one per core", o.concurrency)
	}
	return nil
}
