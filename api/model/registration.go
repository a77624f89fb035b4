package model

import "strconv"

// Registration is what an operator says of a workload that registers without a proxy: an Envoy that somebody else configures, at a fixed
// address. Nobody checks its health: it counts as ready for as long as it stands.
type Registration struct {
	// Namespace and ServiceAccount are those of the certificate that its Envoy shows; ServiceAccount is "default" when it is empty.
	Namespace      string `json:"namespace" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" doc:"Of the service, and of the certificate that the workload's Envoy shows" example:"shop"`
	ServiceAccount string `json:"serviceAccount,omitempty" maxLength:"63" pattern:"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$" doc:"In the certificate that its Envoy shows; default when left out" example:"payments"`
	// Service is the service's name in the namespace.
	Service string             `json:"service" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" doc:"The service that it is a part of" example:"payments"`
	Ports   []RegistrationPort `json:"ports" minItems:"1" maxItems:"64" doc:"The service's ports"`
	// Address and InboundPort are where its Envoy takes mutual TLS.
	Address     string `json:"address" minLength:"2" maxLength:"45" doc:"IP address at which others in the cluster reach its Envoy" example:"10.0.0.5"`
	InboundPort uint16 `json:"inboundPort" minimum:"1" maximum:"65535" doc:"Port at which its Envoy takes mutual TLS" example:"15006"`
	// Region and Zone are where it stands; an empty Region is the site's.
	Region string `json:"region,omitempty" maxLength:"63" pattern:"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$" doc:"Where it stands; the site's region when left out" example:"eu"`
	Zone   string `json:"zone,omitempty" maxLength:"63" pattern:"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$" doc:"Where in the region it stands" example:"a"`
	// Export offers it to other clusters, as far as rules allow.
	Export bool `json:"export,omitempty" doc:"Whether other clusters may call it, as far as the rules allow"`
	// Draining keeps new calls away.
	Draining bool `json:"draining,omitempty" doc:"Whether new calls are kept away from it"`
}

// RegistrationPort is a port of a service and where the application serves it.
type RegistrationPort struct {
	Name     string   `json:"name,omitempty" maxLength:"63" pattern:"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$" doc:"May be left out of a service with one port" example:"http"`
	Number   uint16   `json:"number" minimum:"1" maximum:"65535" doc:"The service's port" example:"80"`
	Protocol Protocol `json:"protocol,omitempty" enum:"http,http2,grpc,tcp" doc:"What it speaks; tcp when left out" example:"http"`
	// Target is where the application serves it beside its Envoy: 127.0.0.1:NUMBER when empty.
	Target string `json:"target,omitempty" maxLength:"64" doc:"IP:PORT at which the application serves it beside its Envoy; 127.0.0.1 and the service's port when left out" example:"127.0.0.1:8080"`
}

// Completed fills in what a registration leaves out.
func (r Registration) Completed(region string) Registration {
	if r.ServiceAccount == "" {
		r.ServiceAccount = DefaultServiceAccount
	}
	if r.Region == "" {
		r.Region = region
	}
	ports := make([]RegistrationPort, len(r.Ports))
	for i, p := range r.Ports {
		if p.Protocol == "" {
			p.Protocol = ProtocolTCP
		}
		if p.Target == "" {
			p.Target = localTarget(p.Number)
		}
		ports[i] = p
	}
	r.Ports = ports
	return r
}

// SiteWorkload is a workload as its site has it registered.
type SiteWorkload struct {
	ProxyStatus
	// Version changes with the registration; it is never 0.
	Version uint64 `json:"version"`
	// Reason is why it is not ready.
	Reason string `json:"reason,omitempty"`
	// Registration is what is registered; of a proxy's, the part that an operator could register too. It is nil for what serves nothing.
	Registration *Registration `json:"registration,omitempty"`
}

// WorkloadRequest asks for one workload.
type WorkloadRequest struct {
	Workload string `json:"workload"`
}

// WorkloadWrite asks a site to register a workload in an operator's name, or to end its registration. The site may refuse it.
type WorkloadWrite struct {
	Workload string `json:"workload"`
	// Registration is nil to end it.
	Registration *Registration `json:"registration,omitempty"`
	// Absent and Version are conditions: that nothing is registered, or that the registration still has this version; AnyVersion is any.
	Absent  bool   `json:"absent,omitempty"`
	Version uint64 `json:"version,omitempty"`
	// DryRun asks for a judgement only.
	DryRun bool `json:"dryRun,omitempty"`
	// Actor is whose request it is, for the site's own log.
	Actor Actor `json:"actor"`
}

// AnyVersion as a condition is met by whatever is registered.
const AnyVersion = ^uint64(0)

// WorkloadWritten says what a WorkloadWrite did, or would do.
type WorkloadWritten struct {
	// Before and After are nil where nothing is registered.
	Before  *SiteWorkload `json:"before,omitempty"`
	After   *SiteWorkload `json:"after,omitempty"`
	Changed bool          `json:"changed"`
}

func localTarget(port uint16) string { return "127.0.0.1:" + strconv.Itoa(int(port)) }
