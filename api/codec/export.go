package codec

import (
	"fmt"
	"net/netip"
	"time"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// exportToProto encodes an export without what its record says already. An address that is none becomes one that receivers refuse.
func exportToProto(e model.ServiceExport) *hansev1.ServiceExport {
	out := &hansev1.ServiceExport{
		CreatedAt: e.CreatedAt.Unix(), Headless: e.Headless, SessionAffinity: e.SessionAffinity, AffinityTimeout: e.AffinityTimeout,
		InternalTrafficPolicy: e.InternalTrafficPolicy, TrafficDistribution: e.TrafficDistribution,
		Labels: e.Labels, Annotations: e.Annotations,
	}
	for _, f := range e.IPFamilies {
		out.IpFamilies = append(out.IpFamilies, string(f))
	}
	for _, ep := range e.Endpoints {
		ip, _ := netip.ParseAddr(ep.Address)
		out.Endpoints = append(out.Endpoints, &hansev1.ExportEndpoint{Hostname: ep.Hostname, Address: ip.AsSlice(), Ready: ep.Ready})
	}
	return out
}

// exportFromProto decodes an export; service and ports are those of its record.
func exportFromProto(service model.ServiceKey, ports []model.Port, p *hansev1.ServiceExport) (*model.ServiceExport, error) {
	if n := len(p.GetEndpoints()); n > model.MaxExportEndpoints {
		return nil, fmt.Errorf("%d endpoints are exported: at most %d are allowed", n, model.MaxExportEndpoints)
	}
	e := &model.ServiceExport{
		Service: service, Ports: ports, CreatedAt: time.Unix(p.GetCreatedAt(), 0).UTC(), Headless: p.GetHeadless(),
		SessionAffinity: p.GetSessionAffinity(), AffinityTimeout: p.GetAffinityTimeout(),
		InternalTrafficPolicy: p.GetInternalTrafficPolicy(), TrafficDistribution: p.GetTrafficDistribution(),
		Labels: p.GetLabels(), Annotations: p.GetAnnotations(),
	}
	for _, f := range p.GetIpFamilies() {
		e.IPFamilies = append(e.IPFamilies, model.IPFamily(f))
	}
	for _, ep := range p.GetEndpoints() {
		address := ""
		if ip, ok := netip.AddrFromSlice(ep.GetAddress()); ok {
			address = ip.String()
		}
		e.Endpoints = append(e.Endpoints, model.ExportEndpoint{Hostname: ep.GetHostname(), Address: address, Ready: ep.GetReady()})
	}
	return e, e.Validate()
}
