package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

const (
	// silentAfter is several missed signs of life.
	silentAfter = 10 * time.Second
	// staleAfter is the silence after which importers prefer what is fresh.
	staleAfter = 5 * time.Minute
	// firstWords is how long a cluster that has just joined may take until it publishes.
	firstWords = 30 * time.Second
)

// feeds looks at what the nodes hold of each cluster. One node that has heard lately shows that the cluster speaks; the others then have
// not been told.
func (d *diagnosis) feeds() {
	for _, c := range d.report.Clusters.Value() {
		subject := "cluster/" + string(c.Name)
		sights := d.sights(c.Name)
		switch {
		case !c.Published && len(sights) == 0:
			if age := d.now().Sub(c.JoinedAt); age > firstWords {
				d.add(neverPublished, subject, fmt.Sprintf("joined %s ago and has not published anything yet", round(age)), about(c))
			}
		case len(sights) > 0:
			d.feed(subject, c, sights)
		}
		d.refused(c)
		if c.Status != nil {
			for _, text := range c.Status.Held {
				d.add(massRemovalHeld, "cluster/"+string(holds(text, c.Name)), text, about(c), "said by the agent of "+string(c.Name))
			}
		}
	}
}

// sightAt is what one node holds of a feed.
type sightAt struct {
	node string
	Sight
}

func (d *diagnosis) sights(cluster model.ClusterName) []sightAt {
	var out []sightAt
	for _, n := range d.report.Nodes.Value() {
		for _, s := range n.Self.Value().Sights {
			if s.Cluster == cluster {
				out = append(out, sightAt{n.Name, s})
			}
		}
	}
	return out
}

func (d *diagnosis) feed(subject string, c Cluster, sights []sightAt) {
	youngest := slices.MinFunc(sights, func(a, b sightAt) int { return int(a.Age - b.Age) })
	evidence := make([]string, len(sights))
	for i, s := range sights {
		evidence[i] = fmt.Sprintf("node %s: %s old", s.node, round(s.Age))
	}
	switch {
	case youngest.Age > staleAfter:
		d.add(feedStale, subject, fmt.Sprintf("has been silent for %s: what it published is stale", round(youngest.Age)), about(c), evidence...)
	case youngest.Age > silentAfter:
		d.add(feedSilent, subject, fmt.Sprintf("has been silent for %s", round(youngest.Age)), about(c), evidence...)
	default:
		for _, s := range sights {
			if s.Age-youngest.Age > silentAfter {
				d.add(feedStuck, "node/"+s.node, "holds old news that other nodes hold fresh", about(c),
					fmt.Sprintf("of cluster %s: %s old here, %s at node %s", c.Name, round(s.Age), round(youngest.Age), youngest.node))
			}
		}
	}
	for _, s := range sights {
		if len(s.Rivals) > 0 {
			d.add(twoPublishers, subject, "more than one agent publishes as this cluster", about(c),
				fmt.Sprintf("node %s: instance %s publishes, %s would", s.node, s.Instance, strings.Join(s.Rivals, ", ")))
		}
		if s.SlowedDown {
			d.add(slowedDown, subject, "sends more than a node takes: it is slowed down", about(c), "by node "+s.node)
		}
	}
}

// refused tells who claims what is not his from other records that do not count.
func (d *diagnosis) refused(c Cluster) {
	for _, text := range c.Refused {
		key, reason, _ := strings.Cut(text, ": ")
		d.refusedRecord(string(c.Name)+"/"+key, reason, about(c), text)
	}
}

func (d *diagnosis) refusedRecord(record, reason string, clusters []model.ClusterName, evidence string) {
	k, subject := recordRefused, "record/"+record
	if strings.Contains(reason, notTheirs) {
		k = identityDenied
	}
	d.add(k, subject, "is refused: "+reason, clusters, evidence)
}

// holds is the cluster whose services are held, as the agent that holds them says.
func holds(text string, sayer model.ClusterName) model.ClusterName {
	if m := heldText.FindStringSubmatch(text); m != nil {
		return model.ClusterName(m[1])
	}
	return sayer
}
