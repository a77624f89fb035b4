package codec

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// What one registration may hold.
const (
	MaxWorkloadPorts     = 64
	MaxWorkloadUpstreams = 256
	// MaxHealthReason is in bytes; a longer reason is cut.
	MaxHealthReason = 1024
)

// RegistrationToProto converts what a proxy says of its workload. ID and ServiceAccount do not travel: they stand in the proxy's
// certificate. Protocol versions and the build's version are the sender's to fill in.
func RegistrationToProto(w model.Workload) *hansev1.Registration {
	r := &hansev1.Registration{
		Namespace:   w.Namespace,
		Service:     w.Service.Name,
		Locality:    &hansev1.Locality{Region: w.Locality.Region, Zone: w.Locality.Zone},
		Address:     w.Address,
		InboundPort: uint32(w.InboundPort),
		InboundBind: w.InboundBind,
		Export:      w.Export,
		Health:      WorkloadHealthToProto(w.Health),
	}
	for _, p := range w.Ports {
		r.Ports = append(r.Ports, &hansev1.WorkloadPort{
			Port: PortToProto(p.Port), Target: p.Target,
		})
	}
	for _, u := range w.Upstreams {
		r.Upstreams = append(r.Upstreams, &hansev1.Upstream{
			Namespace: u.Service.Namespace, Service: u.Service.Name, Port: u.Port, Bind: u.Bind,
		})
	}
	if w.Open != nil {
		r.Open = &hansev1.OpenUpstreams{Vips: w.Open.VIPs, HttpBind: w.Open.HTTPBind}
	}
	if w.Egress != nil {
		r.Egress = &hansev1.EgressRegistration{Bind: w.Egress.Bind, Namespace: w.Egress.Namespace}
	}
	if g := w.Gateway; g != nil {
		r.Gateway = &hansev1.GatewayRegistration{
			Bind: g.Bind, AdvertiseAddress: g.AdvertiseAddress, AdvertisePort: uint32(g.AdvertisePort),
		}
	}
	return r
}

// WorkloadFromRegistration validates a registration. The result has neither ID nor ServiceAccount: the agent takes both from the
// proxy's certificate. An upstream without a namespace is in the workload's own; "localhost" becomes 127.0.0.1.
func WorkloadFromRegistration(r *hansev1.Registration) (model.Workload, error) {
	if r == nil {
		return model.Workload{}, errors.New("registration is missing")
	}
	w := model.Workload{
		Namespace:   r.GetNamespace(),
		Locality:    model.Locality{Region: r.GetLocality().GetRegion(), Zone: r.GetLocality().GetZone()},
		Address:     r.GetAddress(),
		InboundBind: r.GetInboundBind(),
		Export:      r.GetExport(),
		Health:      WorkloadHealthFromProto(r.GetHealth()),
	}
	if err := model.ValidateLabel("namespace", w.Namespace); err != nil {
		return model.Workload{}, err
	}
	steps := []func(*model.Workload, *hansev1.Registration) error{readLocality, readService, readInbound, readUpstreams, readOpen, readGateway, readEgress}
	for _, step := range steps {
		if err := step(&w, r); err != nil {
			return model.Workload{}, err
		}
	}
	return w, nil
}

// WorkloadHealthToProto converts a workload's verdict.
func WorkloadHealthToProto(h model.WorkloadHealth) *hansev1.WorkloadHealth {
	return &hansev1.WorkloadHealth{Ready: h.Ready, Draining: h.Draining, Reason: bounded(h.Reason)}
}

// WorkloadHealthFromProto converts a workload's verdict; a missing one is not ready. A long reason is cut.
func WorkloadHealthFromProto(h *hansev1.WorkloadHealth) model.WorkloadHealth {
	return model.WorkloadHealth{Ready: h.GetReady(), Draining: h.GetDraining(), Reason: bounded(h.GetReason())}
}

func readLocality(w *model.Workload, _ *hansev1.Registration) error {
	if err := model.ValidateLabel("locality.region", w.Locality.Region); err != nil {
		return err
	}
	if w.Locality.Zone == "" {
		return nil
	}
	return model.ValidateLabel("locality.zone", w.Locality.Zone)
}

func readService(w *model.Workload, r *hansev1.Registration) error {
	ports := r.GetPorts()
	if r.GetService() == "" {
		if len(ports) > 0 {
			return errors.New("service is empty but ports are given: name the service that they belong to")
		}
		if w.Export {
			return errors.New("export is set but service is empty: name the service to export")
		}
		return nil
	}
	w.Service = model.ServiceKey{Namespace: w.Namespace, Name: r.GetService()}
	if err := w.Service.Validate(); err != nil {
		return err
	}
	switch {
	case len(ports) == 0:
		return fmt.Errorf("service %q has no ports: give at least one", w.Service.Name)
	case len(ports) > MaxWorkloadPorts:
		return fmt.Errorf("service %q has %d ports: at most %d are allowed", w.Service.Name, len(ports), MaxWorkloadPorts)
	}
	numbers, names := map[uint16]bool{}, map[string]bool{}
	for i, p := range ports {
		port, err := workloadPort(p)
		if err != nil {
			return fmt.Errorf("ports[%d]: %w", i, err)
		}
		if numbers[port.Number] {
			return fmt.Errorf("ports[%d]: number %d stands twice", i, port.Number)
		}
		if port.Name != "" && names[port.Name] {
			return fmt.Errorf("ports[%d]: name %q stands twice", i, port.Name)
		}
		numbers[port.Number], names[port.Name] = true, true
		w.Ports = append(w.Ports, port)
	}
	return nil
}

func workloadPort(p *hansev1.WorkloadPort) (model.WorkloadPort, error) {
	number, err := portNumber("number", p.GetPort().GetNumber())
	if err != nil {
		return model.WorkloadPort{}, err
	}
	protocol, err := model.ParseProtocol(p.GetPort().GetProtocol())
	if err != nil {
		return model.WorkloadPort{}, err
	}
	if protocol.Transport() != model.ProtocolTCP {
		return model.WorkloadPort{}, fmt.Errorf("port %d: protocol %s is not carried to a proxy: register tcp, http, http2 or grpc ports, "+
			"and export UDP from pods without a proxy in a Kubernetes cluster", number, protocol)
	}
	port := model.WorkloadPort{Port: model.Port{
		Name: p.GetPort().GetName(), Number: number, Protocol: protocol, AppProtocol: p.GetPort().GetAppProtocol(),
	}}
	if err := port.Validate(); err != nil {
		return model.WorkloadPort{}, err
	}
	port.Target, err = hostPort("target", p.GetTarget())
	return port, err
}

func readInbound(w *model.Workload, r *hansev1.Registration) error {
	if r.GetInboundPort() != 0 || w.Serves() {
		port, err := portNumber("inbound_port", r.GetInboundPort())
		if err != nil {
			return err
		}
		w.InboundPort = port
	}
	if w.Address != "" || w.Serves() {
		address, err := netip.ParseAddr(w.Address)
		if err != nil || address.IsUnspecified() || address.IsMulticast() {
			return fmt.Errorf("address %q is not an IP address that others can reach: give the one of this machine", clip(w.Address))
		}
	}
	if w.InboundBind != "" {
		if _, err := netip.ParseAddr(w.InboundBind); err != nil {
			return fmt.Errorf("inbound_bind %q is not an IP address", clip(w.InboundBind))
		}
	}
	return nil
}

func readUpstreams(w *model.Workload, r *hansev1.Registration) error {
	if n := len(r.GetUpstreams()); n > MaxWorkloadUpstreams {
		return fmt.Errorf("%d upstreams are declared: at most %d are allowed", n, MaxWorkloadUpstreams)
	}
	binds := map[string]bool{}
	for i, u := range r.GetUpstreams() {
		up := model.Upstream{
			Service: model.ServiceKey{Namespace: u.GetNamespace(), Name: u.GetService()}, Port: u.GetPort(),
		}
		if up.Service.Namespace == "" {
			up.Service.Namespace = w.Namespace
		}
		err := errors.Join(up.Service.Validate(), portRef(up.Port))
		if err == nil {
			up.Bind, err = loopback("bind", u.GetBind())
		}
		if err == nil && binds[up.Bind] {
			err = fmt.Errorf("bind %s stands twice: give each upstream its own port", up.Bind)
		}
		if err != nil {
			return fmt.Errorf("upstreams[%d]: %w", i, err)
		}
		binds[up.Bind] = true
		w.Upstreams = append(w.Upstreams, up)
	}
	return nil
}

func readOpen(w *model.Workload, r *hansev1.Registration) error {
	if r.GetOpen() == nil {
		return nil
	}
	w.Open = &model.OpenUpstreams{VIPs: r.GetOpen().GetVips()}
	if r.GetOpen().GetHttpBind() == "" {
		return nil
	}
	var err error
	w.Open.HTTPBind, err = loopback("open.http_bind", r.GetOpen().GetHttpBind())
	return err
}

func readGateway(w *model.Workload, r *hansev1.Registration) error {
	g := r.GetGateway()
	if g == nil {
		return nil
	}
	bind, err := hostPort("gateway.bind", g.GetBind())
	if err != nil {
		return err
	}
	port, err := portNumber("gateway.advertise_port", g.GetAdvertisePort())
	if err != nil {
		return err
	}
	if !reachable(g.GetAdvertiseAddress()) {
		return fmt.Errorf("gateway.advertise_address %q is neither an IP address nor a host name that other clusters can reach",
			clip(g.GetAdvertiseAddress()))
	}
	w.Gateway = &model.WorkloadGateway{Bind: bind, AdvertiseAddress: g.GetAdvertiseAddress(), AdvertisePort: port}
	return nil
}

func readEgress(w *model.Workload, r *hansev1.Registration) error {
	e := r.GetEgress()
	if e == nil {
		return nil
	}
	if w.Gateway != nil || w.Serves() {
		return errors.New("egress is set together with gateway or service: run a proxy for each")
	}
	bind, err := netip.ParseAddr(e.GetBind())
	if err != nil || bind.Zone() != "" || bind.IsMulticast() {
		return fmt.Errorf("egress.bind %q is not an IP address to listen on: give for example :: or 0.0.0.0", clip(e.GetBind()))
	}
	if e.GetNamespace() != "" {
		if err := model.ValidateLabel("egress.namespace", e.GetNamespace()); err != nil {
			return err
		}
	}
	w.Egress = &model.WorkloadEgress{Bind: bind.String(), Namespace: e.GetNamespace()}
	return nil
}

func portNumber(field string, n uint32) (uint16, error) {
	if n == 0 || n > 65535 {
		return 0, fmt.Errorf("%s %d is not a port: give one from 1 to 65535", field, n)
	}
	return uint16(n), nil
}

// portRef checks a port's name or number; it may be empty.
func portRef(s string) error {
	if s == "" {
		return nil
	}
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		_, err = portNumber("port", uint32(n))
		return err
	}
	return model.ValidateLabel("port", s)
}

// hostPort reads IP:port. Names are refused because Envoy would have to resolve them.
func hostPort(field, s string) (string, error) {
	if port, ok := strings.CutPrefix(s, "localhost:"); ok {
		s = "127.0.0.1:" + port
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 {
		return "", fmt.Errorf("%s %q is not IP:port, such as 127.0.0.1:8080", field, clip(s))
	}
	return a.String(), nil
}

func loopback(field, s string) (string, error) {
	s, err := hostPort(field, s)
	if err != nil {
		return "", err
	}
	if !netip.MustParseAddrPort(s).Addr().IsLoopback() {
		return "", fmt.Errorf("%s %s is not on loopback: calls enter the mesh without a credential there, use 127.0.0.1", field, s)
	}
	return s, nil
}

var hostPattern = regexp.MustCompile(`^([A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?\.)*[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?\.?$`)

func reachable(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return !a.IsUnspecified() && !a.IsMulticast()
	}
	return len(s) <= 253 && hostPattern.MatchString(s)
}

// clip keeps foreign text in an error short.
func clip(s string) string {
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}

func bounded(s string) string {
	if len(s) > MaxHealthReason {
		s = s[:MaxHealthReason]
	}
	return strings.ToValidUTF8(s, "")
}
