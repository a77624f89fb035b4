package diagnose

import (
	"fmt"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// services looks at whether clusters agree on what they offer together, and whether anybody may call it.
func (d *diagnosis) services() {
	for _, s := range d.report.Services.Value() {
		subject := serviceSubject(s.Service)
		d.portConflicts(subject, s)
		for _, o := range s.Offers {
			if len(o.Importers) == 0 && d.report.Exports.Had() {
				d.closed(s.Service, o.Cluster)
			}
		}
	}
}

// closed says why nobody may call what a cluster offers. A rule for everybody waits for members, and is no fault.
func (d *diagnosis) closed(service model.ServiceKey, origin model.ClusterName) {
	subject, clusters := serviceSubject(service)+"/"+string(origin), []model.ClusterName{origin}
	if refusing := d.refusing(service, origin); len(refusing) > 0 {
		d.add(nobodyImports, subject, "is exported, but the import rules of those who may call it do not admit it", append(clusters, refusing...))
		return
	}
	opened := false
	for _, r := range d.report.Exports.Value() {
		if !r.Spec.Opens(origin, service) {
			continue
		}
		if slices.Contains(r.Spec.To, policy.Any) {
			return
		}
		opened = true
	}
	if opened {
		d.add(nobodyMayCall, subject, "is exported, but the rules that open it name no other member", clusters)
	} else {
		d.add(exportRuleMissing, subject, noRule(origin), clusters)
	}
}

// refusing are the members that could call the service if their import rules admitted it.
func (d *diagnosis) refusing(service model.ServiceKey, origin model.ClusterName) []model.ClusterName {
	var out []model.ClusterName
	for _, exporter := range d.report.Clusters.Value() {
		if exporter.Name != origin {
			continue
		}
		for _, c := range d.report.Clusters.Value() {
			if c.Name != origin && policy.Exports(d.report.Exports.Value(), exporter.Cluster, service, c.Name) &&
				!policy.Admits(d.report.Imports.Value(), c.Name, origin, service) {
				out = append(out, c.Name)
			}
		}
	}
	return out
}

func noRule(origin model.ClusterName) string {
	return fmt.Sprintf("cluster %s offers it, but no export rule lets another cluster call it", origin)
}

func serviceSubject(k model.ServiceKey) string { return "service/" + k.Namespace + "/" + k.Name }

// portConflicts finds ports of which clusters say different protocols. Importers follow one of them and cannot call the others.
func (d *diagnosis) portConflicts(subject string, s Service) {
	type claim struct {
		protocol model.Protocol
		cluster  model.ClusterName
	}
	type socket struct {
		number    uint16
		transport model.Protocol
	}
	claims := map[socket][]claim{}
	for _, o := range s.Offers {
		for _, p := range o.Ports {
			protocol := p.Protocol
			if protocol == "" {
				protocol = model.ProtocolTCP
			}
			at := socket{p.Number, protocol.Transport()}
			claims[at] = append(claims[at], claim{protocol, o.Cluster})
		}
	}
	for at, list := range claims {
		if !slices.ContainsFunc(list, func(c claim) bool { return c.protocol != list[0].protocol }) {
			continue
		}
		var clusters []model.ClusterName
		var evidence []string
		for _, c := range list {
			clusters = append(clusters, c.cluster)
			evidence = append(evidence, fmt.Sprintf("port %d is %s in cluster %s", at.number, c.protocol, c.cluster))
		}
		d.add(portConflict, subject, "clusters do not agree which protocol its ports speak", clusters, evidence...)
	}
}
