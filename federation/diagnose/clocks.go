package diagnose

import (
	"fmt"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// How far clocks may be apart. Certificates count from a minute before they are signed: who is further behind refuses new ones.
const (
	skewWarning = 5 * time.Second
	skewError   = 30 * time.Second
)

// clocks compares each clock with that in the middle of the nodes'. Agents do not shift what they are compared with.
func (d *diagnosis) clocks() {
	middle, known := d.middle()
	if known && middle.Ahead.Abs()-middle.Within > skewWarning {
		d.add(ownClockSkew, "this machine", fmt.Sprintf("its clock is %s the nodes' clocks", apart(-middle.Ahead)), nil)
	}
	for _, n := range d.report.Nodes.Value() {
		d.clock("node/"+n.Name, n.Self.Value().Clock, middle, nil)
	}
	for _, c := range d.report.Clusters.Value() {
		if c.Agent.Had() {
			d.clock("agent/"+string(c.Name), Have(c.Agent.Value().Clock), middle, about(c))
		}
	}
}

func (d *diagnosis) clock(subject string, k Known[Clock], middle Clock, clusters []model.ClusterName) {
	c := k.Value()
	off := c.Ahead - middle.Ahead
	sure := off.Abs() - c.Within - middle.Within
	if !k.Had() || sure <= skewWarning {
		return
	}
	severity := Warning
	if sure > skewError {
		severity = Error
	}
	d.addAs(severity, clockSkew, subject, fmt.Sprintf("its clock is %s the nodes' clocks", apart(off)), clusters,
		fmt.Sprintf("measured to within %s", round(c.Within+middle.Within)))
}

// middle is the median of the nodes' clocks, or the asker's own while no node's is known.
func (d *diagnosis) middle() (Clock, bool) {
	var all []Clock
	for _, n := range d.report.Nodes.Value() {
		if c := n.Self.Value().Clock; c.Had() {
			all = append(all, c.Value())
		}
	}
	if len(all) == 0 {
		return Clock{}, false
	}
	slices.SortFunc(all, func(a, b Clock) int { return int(a.Ahead - b.Ahead) })
	return all[(len(all)-1)/2], true
}

// now is the time by the nodes' clocks.
func (d *diagnosis) now() time.Time {
	middle, _ := d.middle()
	return d.report.At.Add(middle.Ahead)
}

// apart is a difference in words.
func apart(d time.Duration) string {
	if d < 0 {
		return fmt.Sprintf("%s behind", round(-d))
	}
	return fmt.Sprintf("%s ahead of", round(d))
}

func about(c Cluster) []model.ClusterName { return []model.ClusterName{c.Name} }
