package diagnose

import (
	"fmt"
	"slices"
	"time"
)

// behindAfter is how old a node's knowledge of the leader's log may be: followers hear the leader several times a second.
const behindAfter = 10 * time.Second

func (d *diagnosis) nodes() {
	voters, dead := 0, []string{}
	for _, n := range d.report.Nodes.Value() {
		if !n.Replica {
			voters++
		}
		if n.Alive {
			continue
		}
		if !n.Replica {
			dead = append(dead, n.Name)
		}
		d.add(nodeDead, "node/"+n.Name, "does not answer the other nodes", nil, fmt.Sprintf("%s in region %s, gossip address %s", n.Role(), n.Region, n.GossipAddress))
	}
	slices.Sort(dead)
	if quorum := voters/2 + 1; len(dead) > 0 && voters-len(dead) == quorum {
		d.add(quorumAtRisk, "federation", fmt.Sprintf("%d of %d voters are dead; with one more there is no majority", len(dead), voters), nil,
			"dead: "+names(dead))
	}
	d.leader()
}

// leader compares whom the nodes take for the leader, and how far they follow it.
func (d *diagnosis) leader() {
	named, evidence := []string{}, []string{}
	for _, n := range d.report.Nodes.Value() {
		if !n.Self.Had() {
			continue
		}
		self := n.Self.Value()
		named = append(named, self.Leader)
		if self.Leader == "" {
			evidence = append(evidence, n.Name+" knows no leader")
		} else {
			evidence = append(evidence, n.Name+" follows "+self.Leader)
		}
		if self.Behind > behindAfter {
			d.add(nodeBehind, "node/"+n.Name, fmt.Sprintf("knows nothing newer of the leader than %s ago", round(self.Behind)), nil)
		}
	}
	slices.Sort(named)
	switch named = slices.Compact(named); {
	case len(named) == 1 && named[0] == "":
		d.add(noLeader, "federation", "no node leads: policy, membership and tokens cannot change", nil, evidence...)
	case len(named) > 1:
		d.add(leaderDisputed, "federation", "the nodes do not agree who leads", nil, evidence...)
	}
}

// versions compares what the nodes run with each other, and what each agent runs with them.
func (d *diagnosis) versions() {
	var running []string
	var who []string
	nodes := d.report.Nodes.Value()
	for _, n := range nodes {
		if v := n.Self.Value().Version; v != "" {
			running = append(running, v)
			who = append(who, fmt.Sprintf("node %s runs %s", n.Name, v))
		}
	}
	slices.Sort(running)
	running = slices.Compact(running)
	if len(running) > 1 {
		d.add(versionDiffers, "nodes", "the nodes run different versions: "+names(running), nil, who...)
	}
	for _, old := range nodes {
		for _, n := range nodes {
			if old.ProtocolMax < n.ProtocolMin {
				d.add(protocolGap, "node/"+old.Name, fmt.Sprintf("speaks stream versions %d to %d: newer nodes do not speak them any more", old.ProtocolMin, old.ProtocolMax), nil,
					fmt.Sprintf("node %s speaks %d to %d", n.Name, n.ProtocolMin, n.ProtocolMax))
			}
		}
	}
	for _, c := range d.report.Clusters.Value() {
		version := c.Agent.Value().Version
		if version == "" && c.Status != nil {
			version = c.Status.AgentVersion
		}
		if version != "" && len(running) > 0 && !slices.Contains(running, version) {
			d.add(versionDiffers, "agent/"+string(c.Name), fmt.Sprintf("runs %s, the nodes run %s", version, names(running)), about(c))
		}
	}
}

// round makes a duration readable.
func round(d time.Duration) time.Duration {
	switch {
	case d.Abs() >= 10*time.Second:
		return d.Round(time.Second)
	case d.Abs() >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}
