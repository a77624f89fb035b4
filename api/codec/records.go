package codec

import (
	"fmt"

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
	return &hansev1.Port{Name: p.Name, Number: uint32(p.Number), Protocol: string(p.Protocol), AppProtocol: p.AppProtocol}
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
	out := model.Port{Name: p.GetName(), Number: uint16(p.GetNumber()), Protocol: protocol, AppProtocol: p.GetAppProtocol()}
	return out, out.Validate()
}

func serviceToProto(s model.ServiceRecord) *hansev1.ServiceRecord {
	out := &hansev1.ServiceRecord{
		Namespace: s.Service.Namespace, Name: s.Service.Name, Identities: s.Identities,
		Capacity: capacityToProto(s.Capacity), Terminated: capacityToProto(s.Terminated),
	}
	for _, p := range s.Ports {
		out.Ports = append(out.Ports, PortToProto(p))
	}
	if s.Export != nil {
		out.Export = exportToProto(*s.Export)
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
	case len(p.GetCapacity()) > MaxLocalities || len(p.GetTerminated()) > MaxLocalities:
		return model.ServiceRecord{}, fmt.Errorf("%s is in more than %d localities", s.Service, MaxLocalities)
	case len(s.Identities) > MaxIdentities:
		return model.ServiceRecord{}, fmt.Errorf("%s has more than %d identities", s.Service, MaxIdentities)
	}
	for _, id := range s.Identities {
		if len(id) > MaxSPIFFEID {
			return model.ServiceRecord{}, fmt.Errorf("%s: an identity is longer than %d bytes", s.Service, MaxSPIFFEID)
		}
	}
	var err error
	if s.Ports, err = portsFromProto(p.GetPorts()); err != nil {
		return model.ServiceRecord{}, fmt.Errorf("%s: %w", s.Service, err)
	}
	if s.Capacity, err = capacityFromProto(p.GetCapacity()); err != nil {
		return model.ServiceRecord{}, fmt.Errorf("%s: %w", s.Service, err)
	}
	if s.Terminated, err = capacityFromProto(p.GetTerminated()); err != nil {
		return model.ServiceRecord{}, fmt.Errorf("%s: terminated: %w", s.Service, err)
	}
	if p.GetExport() != nil {
		if s.Export, err = exportFromProto(s.Service, s.Ports, p.GetExport()); err != nil {
			return model.ServiceRecord{}, fmt.Errorf("export of %s: %w", s.Service, err)
		}
	}
	return s, nil
}

func portsFromProto(list []*hansev1.Port) ([]model.Port, error) {
	var out []model.Port
	for _, p := range list {
		decoded, err := PortFromProto(p)
		if err != nil {
			return nil, err
		}
		out = append(out, decoded)
	}
	return out, model.ValidatePorts(out)
}

func capacityToProto(list []model.Capacity) []*hansev1.Capacity {
	var out []*hansev1.Capacity
	for _, c := range list {
		out = append(out, &hansev1.Capacity{Locality: LocalityToProto(c.Locality), Ready: c.Ready, Total: c.Total})
	}
	return out
}

// capacityFromProto makes sure that each locality stands once: its counts would be added up more than once.
func capacityFromProto(list []*hansev1.Capacity) ([]model.Capacity, error) {
	var out []model.Capacity
	seen := map[model.Locality]bool{}
	for _, c := range list {
		l, err := LocalityFromProto(c.GetLocality())
		switch {
		case err != nil:
			return nil, err
		case seen[l]:
			return nil, fmt.Errorf("locality %s stands twice", l)
		case c.GetReady() > c.GetTotal():
			return nil, fmt.Errorf("%d ready of %d in %s", c.GetReady(), c.GetTotal(), l)
		}
		seen[l] = true
		out = append(out, model.Capacity{Locality: l, Ready: c.GetReady(), Total: c.GetTotal()})
	}
	return out, nil
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
	seen := map[string]bool{}
	for _, g := range p.GetGateways() {
		if err := model.ValidateLabel("gateway", g.GetName()); err != nil {
			return nil, err
		}
		l, err := LocalityFromProto(g.GetLocality())
		switch {
		case err != nil:
			return nil, fmt.Errorf("gateway %s: %w", g.GetName(), err)
		case seen[g.GetName()]:
			return nil, fmt.Errorf("gateway %s stands twice", g.GetName())
		case g.GetPort() == 0 || g.GetPort() > 65535:
			return nil, fmt.Errorf("gateway %s: port %d is not from 1 to 65535", g.GetName(), g.GetPort())
		case !reachable(g.GetAddress()):
			// Every importer's Envoy is given it: one that it refuses would hold up what others publish.
			return nil, fmt.Errorf("gateway %s: address %q is neither an IP address nor a host name", g.GetName(), clip(g.GetAddress()))
		}
		seen[g.GetName()] = true
		out = append(out, model.Gateway{Name: g.GetName(), Address: g.GetAddress(), Port: uint16(g.GetPort()), Locality: l, Draining: g.GetDraining()})
	}
	return out, nil
}
