package diagnose

import (
	"fmt"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// policies looks for names in documents that nothing goes by. Without the list of clusters nothing is said: every name would be wrong.
func (d *diagnosis) policies() {
	if !d.report.Clusters.Had() {
		return
	}
	d.failover()
	for _, r := range d.report.Exports.Value() {
		d.rule(r)
	}
	for _, r := range d.report.Imports.Value() {
		d.importRule(r)
	}
}

// failover looks for regions in which no cluster is, and services that nobody offers.
func (d *diagnosis) failover() {
	regions := d.regions()
	for _, p := range d.report.Failover.Value() {
		subject := string(policy.KindFailoverPolicy) + "/" + p.Name
		warnings, err := p.Validate(regions)
		if err != nil {
			warnings = []string{err.Error()}
		}
		if len(regions) > 0 {
			for _, w := range warnings {
				d.add(unknownRegion, subject, "names a region that no cluster is in: "+w, nil, w)
			}
		}
		if namespace := p.Spec.Namespace; namespace != "" && namespace != policy.Any {
			d.unoffered(subject, []string{namespace}, p.Spec.Services, func(model.ClusterName) bool { return true })
		}
	}
}

// regions are those of clusters and of what they run; a node alone serves no call.
func (d *diagnosis) regions() []string {
	var out []string
	for _, c := range d.report.Clusters.Value() {
		out = append(out, c.Region)
		for _, g := range c.Gateways {
			out = append(out, g.Locality.Region)
		}
	}
	for _, s := range d.report.Services.Value() {
		for _, o := range s.Offers {
			out = append(out, o.Regions...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// rule looks for clusters, namespaces and services in an export rule that are not there.
func (d *diagnosis) rule(r policy.ExportRule) {
	subject := string(policy.KindExportRule) + "/" + r.Name
	warnings, err := r.Validate(d.members())
	if err != nil {
		warnings = []string{err.Error()}
	}
	for _, w := range warnings {
		d.add(unknownCluster, subject, "names a cluster that is no member: "+w, nil, w)
	}
	from := d.exporters(r)
	if len(from) == 0 {
		return
	}
	for _, namespace := range r.Spec.Namespaces {
		if namespace == policy.Any || slices.ContainsFunc(from, func(c Cluster) bool { return policy.NamespaceAllowed(c.Cluster, namespace) }) {
			continue
		}
		var allowed []string
		for _, c := range from {
			allowed = append(allowed, fmt.Sprintf("cluster %s may export %s", c.Name, names(c.ExportNamespaces)))
		}
		d.add(ruleOpensNothing, subject, fmt.Sprintf("opens namespace %q, which none of its clusters may export", namespace), nil, allowed...)
	}
	exporter := func(name model.ClusterName) bool {
		return slices.ContainsFunc(from, func(c Cluster) bool { return c.Name == name })
	}
	d.unoffered(subject, r.Spec.Namespaces, r.Spec.Services, exporter)
}

// importRule looks for clusters and services in an import rule that are not there.
func (d *diagnosis) importRule(r policy.ImportRule) {
	subject := string(policy.KindImportRule) + "/" + r.Name
	warnings, err := r.Validate(d.members())
	if err != nil {
		warnings = []string{err.Error()}
	}
	for _, w := range warnings {
		d.add(unknownCluster, subject, "names a cluster that is no member: "+w, nil, w)
	}
	d.unoffered(subject, r.Spec.Namespaces, r.Spec.Services, func(name model.ClusterName) bool {
		return slices.Contains(r.Spec.From, policy.Any) || slices.Contains(r.Spec.From, string(name))
	})
}

func (d *diagnosis) members() []string {
	var out []string
	for _, c := range d.report.Clusters.Value() {
		out = append(out, string(c.Name))
	}
	return out
}

// exporters are the members that a rule names.
func (d *diagnosis) exporters(r policy.ExportRule) []Cluster {
	var out []Cluster
	for _, c := range d.report.Clusters.Value() {
		if slices.Contains(r.Spec.From, policy.Any) || slices.Contains(r.Spec.From, string(c.Name)) {
			out = append(out, c)
		}
	}
	return out
}

// unoffered finds services named in a document that none of the clusters offers in any of the namespaces.
func (d *diagnosis) unoffered(subject string, namespaces, services []string, from func(model.ClusterName) bool) {
	if !d.report.Services.Had() {
		return
	}
	for _, name := range services {
		offered := slices.ContainsFunc(d.report.Services.Value(), func(s Service) bool {
			return s.Service.Name == name && (slices.Contains(namespaces, policy.Any) || slices.Contains(namespaces, s.Service.Namespace)) &&
				slices.ContainsFunc(s.Offers, func(o Offer) bool { return from(o.Cluster) })
		})
		if name != policy.Any && !offered {
			d.add(unknownService, subject, fmt.Sprintf("names service %q, which none of its clusters offers in %s", name, names(namespaces)), nil)
		}
	}
}
