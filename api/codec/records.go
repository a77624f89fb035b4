package codec

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// Bounds on one record's content.
const (
	// MaxServicePorts is how many ports one service may have.
	MaxServicePorts = 64
	// MaxIdentities is how many SPIFFE IDs the servers of one service may present.
	MaxIdentities = 64
	// MaxLocalities is in how many localities one cluster may offer one service.
	MaxLocalities = 256
	// MaxGateways is how many gateways one cluster may have.
	MaxGateways = 64
	// MaxSPIFFEID is the longest SPIFFE ID, in bytes (SPIFFE ID 2.3).
	MaxSPIFFEID = 2048
	// maxStatusList bounds the lists of a status record, which serves people only.
	maxStatusList = 200
)

// LocalityToProto encodes a locality.
func LocalityToProto(l model.Locality) *hansev1.Locality {
	return &hansev1.Locality{Region: l.Region, Zone: l.Zone}
}

// LocalityFromProto decodes a locality; its zone may be empty.
func LocalityFromProto(p *hansev1.Locality) (model.Locality, error) {
	l := model.Locality{Region: p.GetRegion(), Zone: p.GetZone()}
	if err := model.ValidateLabel("region", l.Region); err != nil {
		return model.Locality{}, err
	}
	if l.Zone != "" {
		if err := model.ValidateLabel("zone", l.Zone); err != nil {
			return model.Locality{}, err
		}
	}
	return l, nil
}

// PortToProto encodes a port.
func PortToProto(p model.Port) *hansev1.Port {
	return &hansev1.Port{Name: p.Name, Number: uint32(p.Number), Protocol: string(p.Protocol)}
}

// PortFromProto decodes a port; a missing protocol is TCP.
func PortFromProto(p *hansev1.Port) (model.Port, error) {
	if p.GetNumber() > 65535 {
		return model.Port{}, fmt.Errorf("port %d is larger than 65535", p.GetNumber())
	}
	protocol, err := model.ParseProtocol(p.GetProtocol())
	if err != nil {
		return model.Port{}, err
	}
	out := model.Port{Name: p.GetName(), Number: uint16(p.GetNumber()), Protocol: protocol}
	return out, out.Validate()
}

// NackToProto encodes a refused configuration.
func NackToProto(n model.Nack) *hansev1.Nack {
	return &hansev1.Nack{TypeUrl: n.TypeURL, Reason: n.Reason, At: timestamppb.New(n.At)}
}

// NackFromProto decodes a refused configuration.
func NackFromProto(p *hansev1.Nack) model.Nack {
	return model.Nack{TypeURL: p.GetTypeUrl(), Reason: p.GetReason(), At: lenientTime(p.GetAt())}
}

func serviceToProto(s model.ServiceRecord) *hansev1.ServiceRecord {
	out := &hansev1.ServiceRecord{Namespace: s.Service.Namespace, Name: s.Service.Name, Identities: s.Identities}
	for _, p := range s.Ports {
		out.Ports = append(out.Ports, PortToProto(p))
	}
	for _, c := range s.Capacity {
		out.Capacity = append(out.Capacity, &hansev1.Capacity{Locality: LocalityToProto(c.Locality), Ready: c.Ready, Total: c.Total})
	}
	return out
}

func serviceFromProto(p *hansev1.ServiceRecord) (model.ServiceRecord, error) {
	s := model.ServiceRecord{Service: model.ServiceKey{Namespace: p.GetNamespace(), Name: p.GetName()}, Identities: p.GetIdentities()}
	if err := s.Service.Validate(); err != nil {
		return model.ServiceRecord{}, err
	}
	switch {
	case len(p.GetPorts()) > MaxServicePorts:
		return model.ServiceRecord{}, fmt.Errorf("%s has more than %d ports", s.Service, MaxServicePorts)
	case len(p.GetCapacity()) > MaxLocalities:
		return model.ServiceRecord{}, fmt.Errorf("%s is in more than %d localities", s.Service, MaxLocalities)
	case len(s.Identities) > MaxIdentities:
		return model.ServiceRecord{}, fmt.Errorf("%s has more than %d identities", s.Service, MaxIdentities)
	}
	for _, id := range s.Identities {
		if len(id) > MaxSPIFFEID {
			return model.ServiceRecord{}, fmt.Errorf("%s: an identity is longer than %d bytes", s.Service, MaxSPIFFEID)
		}
	}
	for _, port := range p.GetPorts() {
		decoded, err := PortFromProto(port)
		if err != nil {
			return model.ServiceRecord{}, fmt.Errorf("%s: %w", s.Service, err)
		}
		s.Ports = append(s.Ports, decoded)
	}
	for _, c := range p.GetCapacity() {
		l, err := LocalityFromProto(c.GetLocality())
		if err != nil {
			return model.ServiceRecord{}, fmt.Errorf("%s: %w", s.Service, err)
		}
		if c.GetReady() > c.GetTotal() {
			return model.ServiceRecord{}, fmt.Errorf("%s in %s: %d ready of %d", s.Service, l, c.GetReady(), c.GetTotal())
		}
		s.Capacity = append(s.Capacity, model.Capacity{Locality: l, Ready: c.GetReady(), Total: c.GetTotal()})
	}
	return s, nil
}

func gatewaysToProto(list []model.Gateway) *hansev1.GatewaySet {
	out := &hansev1.GatewaySet{}
	for _, g := range list {
		out.Gateways = append(out.Gateways, &hansev1.Gateway{
			Name: g.Name, Address: g.Address, Port: uint32(g.Port), Locality: LocalityToProto(g.Locality), Draining: g.Draining,
		})
	}
	return out
}

func gatewaysFromProto(p *hansev1.GatewaySet) ([]model.Gateway, error) {
	if len(p.GetGateways()) > MaxGateways {
		return nil, fmt.Errorf("more than %d gateways", MaxGateways)
	}
	var out []model.Gateway
	for _, g := range p.GetGateways() {
		l, err := LocalityFromProto(g.GetLocality())
		switch {
		case err != nil:
			return nil, err
		case g.GetPort() == 0 || g.GetPort() > 65535:
			return nil, fmt.Errorf("gateway %q: port %d is not from 1 to 65535", g.GetName(), g.GetPort())
		case g.GetAddress() == "" || len(g.GetAddress()) > MaxAddress:
			return nil, errors.New("a gateway has no address, or one that is too long")
		}
		if err := model.ValidateLabel("gateway", g.GetName()); err != nil {
			return nil, err
		}
		out = append(out, model.Gateway{Name: g.GetName(), Address: g.GetAddress(), Port: uint16(g.GetPort()), Locality: l, Draining: g.GetDraining()})
	}
	return out, nil
}

func statusToProto(s model.SiteStatus) *hansev1.SiteStatus {
	out := &hansev1.SiteStatus{AgentVersion: s.AgentVersion, Dropped: s.Dropped, Introduced: s.Introduced}
	if !s.EarliestExpiry.IsZero() {
		out.EarliestExpiry = timestamppb.New(s.EarliestExpiry)
	}
	for _, p := range s.Proxies {
		proxy := &hansev1.ProxyStatus{Workload: p.Workload, Connected: p.Connected, Ready: p.Ready, EnvoyVersion: p.EnvoyVersion}
		for _, n := range p.Nacks {
			proxy.Nacks = append(proxy.Nacks, NackToProto(n))
		}
		out.Proxies = append(out.Proxies, proxy)
	}
	return out
}

// statusFromProto decodes what serves people only: what is too much is cut, nothing is an error.
func statusFromProto(p *hansev1.SiteStatus) model.SiteStatus {
	s := model.SiteStatus{
		AgentVersion: p.GetAgentVersion(), EarliestExpiry: lenientTime(p.GetEarliestExpiry()),
		Dropped: atMost(p.GetDropped()), Introduced: atMost(p.GetIntroduced()),
	}
	for _, proxy := range atMost(p.GetProxies()) {
		out := model.ProxyStatus{Workload: proxy.GetWorkload(), Connected: proxy.GetConnected(), Ready: proxy.GetReady(), EnvoyVersion: proxy.GetEnvoyVersion()}
		for _, n := range atMost(proxy.GetNacks()) {
			out.Nacks = append(out.Nacks, NackFromProto(n))
		}
		s.Proxies = append(s.Proxies, out)
	}
	return s
}

func atMost[T any](list []T) []T { return list[:min(len(list), maxStatusList)] }

