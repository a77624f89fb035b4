package mcs

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// derivedService is the Service without selector whose addresses the import has, or nil for a headless import and while no port can be
// offered. Nothing owns it but the agent: an import that somebody deletes comes back with the addresses that it had.
//
// The internal traffic policy is not the import's: a node without an egress pod would reach nothing.
func (s *service) derivedService() *corev1.Service {
	ports := s.derivedPorts()
	if s.Winner.Headless || len(ports) == 0 {
		return nil
	}
	families := s.derivedFamilies()
	policy := corev1.IPFamilyPolicySingleStack
	if len(families) == 2 || len(families) == 0 && len(s.IPFamilies) == 2 {
		policy = corev1.IPFamilyPolicyPreferDualStack
	}
	out := &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: s.key.Namespace, Name: DerivedName(s.key),
			Labels: map[string]string{LabelManagedBy: Manager, mcsv1beta1.LabelServiceName: s.key.Name}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, Ports: ports, IPFamilies: families, IPFamilyPolicy: &policy,
			SessionAffinity:       corev1.ServiceAffinity(affinity(s.Winner)),
			InternalTrafficPolicy: optional(corev1.ServiceInternalTrafficPolicyCluster),
		},
	}
	if out.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		out.Spec.SessionAffinityConfig = affinityConfig(timeout(s.Winner))
	}
	return out
}

// derivedFamilies keeps the families of the addresses that were given, as those must not change while the import lives, and adds those of
// the exports that this cluster has. When it has none of them the cluster's first serves: the gateways stand between.
func (s *service) derivedFamilies() []corev1.IPFamily {
	var out []corev1.IPFamily
	for _, f := range s.facts.Derived[s.key].IPFamilies {
		out = append(out, corev1.IPFamily(f))
	}
	own := s.facts.Families
	for _, f := range s.IPFamilies {
		if slices.Contains(own, string(f)) && !slices.Contains(out, corev1.IPFamily(f)) {
			out = append(out, corev1.IPFamily(f))
		}
	}
	if len(out) == 0 && len(own) > 0 {
		out = append(out, corev1.IPFamily(own[0]))
	}
	return out
}

// derivedPorts are the ports that can be offered. Their target ports are the egress ports, where an agent finds them again after a restart.
// An SCTP port has no endpoint: calls to it are refused.
func (s *service) derivedPorts() []corev1.ServicePort {
	var out []corev1.ServicePort
	for _, p := range s.Ports {
		target := p.Number
		if p.Protocol.Carried() {
			if target = s.facts.Ports[portKey(s.key, p.Port)]; target == 0 {
				continue
			}
		}
		out = append(out, corev1.ServicePort{Name: s.derivedPortName(p), Protocol: transport(p.Port), AppProtocol: optional(p.AppProtocol),
			Port: int32(p.Number), TargetPort: intstr.FromInt32(int32(target))})
	}
	return out
}

// derivedPortName names a port as the import does, but a Service allows no nameless port beside others.
func (s *service) derivedPortName(p MergedPort) string {
	if p.Name != "" || len(s.Ports) == 1 {
		return p.Name
	}
	name := "unnamed"
	for i := 2; slices.ContainsFunc(s.Ports, func(o MergedPort) bool { return o.Name == name }); i++ {
		name = fmt.Sprintf("unnamed-%d", i)
	}
	return name
}

// EgressPorts returns the egress ports that a derived Service of ours says; none for other Services.
func EgressPorts(svc *corev1.Service) map[PortKey]uint16 {
	key, ours := DerivedFor(svc)
	if !ours {
		return nil
	}
	out := make(map[PortKey]uint16, len(svc.Spec.Ports))
	for _, p := range svc.Spec.Ports {
		target, number := p.TargetPort.IntValue(), p.Port
		if p.Protocol == corev1.ProtocolSCTP || p.TargetPort.Type != intstr.Int || target <= 0 || target > 65535 || number <= 0 || number > 65535 {
			continue
		}
		out[PortKey{Service: key, Number: uint16(number), UDP: p.Protocol == corev1.ProtocolUDP}] = uint16(target)
	}
	return out
}
