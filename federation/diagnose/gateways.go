package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// gateways looks at each cluster's own gateways, and at who reaches them.
func (d *diagnosis) gateways() {
	for _, c := range d.report.Clusters.Value() {
		offered := d.offeredToOthers(c.Name)
		if len(c.Gateways) == 0 && offered > 0 {
			d.add(gatewayMissing, "cluster/"+string(c.Name), fmt.Sprintf("offers services to other clusters (%d), but has no gateway: none of their calls gets there", offered),
				about(c))
		}
		out := 0
		for _, g := range c.Gateways {
			if g.Draining {
				out++
				d.add(gatewayDraining, "gateway/"+string(c.Name)+"/"+g.Name, "is out of rotation: drained, or not ready; calls use another one while there is one", about(c))
			}
		}
		if out > 0 && out == len(c.Gateways) {
			d.add(gatewaysOut, "cluster/"+string(c.Name), fmt.Sprintf("none of its gateways (%d) is in rotation: other clusters' calls go elsewhere, or to them nevertheless", out), about(c))
		}
	}
	d.paths()
}

// offeredToOthers counts the services of a cluster that others may call.
func (d *diagnosis) offeredToOthers(cluster model.ClusterName) int {
	n := 0
	for _, s := range d.report.Services.Value() {
		for _, o := range s.Offers {
			if o.Cluster == cluster && len(o.Importers) > 0 {
				n++
			}
		}
	}
	return n
}

// gatewayName names a gateway of a cluster.
type gatewayName struct {
	cluster model.ClusterName
	name    string
}

func (g gatewayName) subject() string { return "gateway/" + string(g.cluster) + "/" + g.name }

// paths judges who reaches whom.
func (d *diagnosis) paths() {
	to := map[gatewayName][]Path{}
	for _, p := range Paths(d.report) {
		g := gatewayName{p.To, p.Gateway}
		to[g] = append(to[g], p)
		if p.Degraded && p.State != Unreached {
			d.degraded(p.From, p.To, fmt.Sprintf("gateway %s at %s", p.Gateway, p.Address))
		}
	}
	for _, g := range slices.SortedFunc(maps.Keys(to), func(a, b gatewayName) int {
		return cmp.Or(cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.name, b.name))
	}) {
		d.reach(g, to[g])
	}
}

func (d *diagnosis) degraded(from, to model.ClusterName, evidence string) {
	d.add(pathDegraded, fmt.Sprintf("path/%s/%s", from, to), "has become much longer, or loses packets", []model.ClusterName{from, to}, evidence)
}

// reach judges one gateway by all who probe it. It is an error when nobody reaches it, or when somebody reaches no gateway of the cluster.
func (d *diagnosis) reach(g gatewayName, paths []Path) {
	var bad, good []model.ClusterName
	var evidence []string
	severity := Warning
	for _, p := range paths {
		switch p.State {
		case Unreached:
			bad = append(bad, p.From)
			evidence = append(evidence, p.text())
			if d.reachesNone(p.From, g.cluster) {
				severity = Error
			}
		case Reached:
			good = append(good, p.From)
		}
	}
	if len(bad) == 0 {
		return
	}
	slices.Sort(bad)
	slices.Sort(good)
	bad, good = slices.Compact(bad), slices.Compact(good)
	message := "is not reached by " + names(bad)
	if len(good) > 0 {
		message += "; " + names(good) + " can"
	} else {
		severity = Error
	}
	d.addAs(severity, gatewayUnreachable, g.subject(), message, append(bad, g.cluster), evidence...)
}

// reachesNone reports whether no gateway of a cluster that was tried is reached from another one.
func (d *diagnosis) reachesNone(from, to model.ClusterName) bool {
	return !slices.ContainsFunc(Paths(d.report), func(p Path) bool { return p.From == from && p.To == to && p.State != Unreached })
}

func (p Path) text() string {
	text := fmt.Sprintf("%s does not reach %s at %s", p.From, p.Gateway, p.Address)
	if !p.Since.IsZero() {
		text += " since " + p.Since.UTC().Format(time.RFC3339)
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

// Paths returns who reaches whom, sorted: by the agents' own words where they could be asked, else by the verdicts that they publish.
func Paths(r Report) []Path {
	var out []Path
	asked := map[model.ClusterName]bool{}
	for _, c := range r.Clusters.Value() {
		asked[c.Name] = c.Paths.Had()
		out = append(out, c.Paths.Value()...)
	}
	for _, p := range r.Verdicts.Value() {
		if !asked[p.From] {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Path) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Address, b.Address))
	})
	return out
}
