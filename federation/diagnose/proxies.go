package diagnose

import "fmt"

// proxies looks at what the sites say of their proxies.
func (d *diagnosis) proxies() {
	for _, c := range d.report.Clusters.Value() {
		if c.Status == nil {
			continue
		}
		for _, p := range c.Status.Proxies {
			subject := "proxy/" + string(c.Name) + "/" + p.Workload
			for _, n := range p.Nacks {
				d.add(nack, subject, "its Envoy refused a configuration: "+n.Reason, about(c), fmt.Sprintf("%s: %s", n.TypeURL, n.Reason))
			}
			switch {
			case !p.Connected && !p.Declared:
				d.add(proxyAway, subject, "is not connected to its agent", about(c))
			case p.Draining:
				d.add(proxyDraining, subject, "is drained: it gets no new calls", about(c))
			case !p.Ready:
				d.add(proxyUnready, subject, "is not ready: it gets no new calls", about(c))
			}
		}
	}
}
