package main

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/diagnose"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// reportNodes joins what one node says of all with what each says of itself.
func reportNodes(nodes []rest.NodeView, views []nodeView) []diagnose.Node {
	out := make([]diagnose.Node, len(nodes))
	for i, n := range nodes {
		self := known(nodeSelf(views[i]), views[i].err)
		// Whoever answers is alive, whatever the others take him for.
		out[i] = diagnose.Node{Node: n.Node, Alive: n.Alive || self.Had(), Self: self}
	}
	return out
}

func nodeSelf(v nodeView) diagnose.NodeSelf {
	self := diagnose.NodeSelf{
		Version: v.status.Version, Leader: v.status.Leader, Clock: nodeClock(v.status.Now, v.met), Certificate: validity(v.met.certificate),
	}
	if seconds, err := strconv.ParseFloat(v.met.header.Get(rest.AgeHeader), 64); err == nil {
		self.Behind = time.Duration(seconds * float64(time.Second))
	}
	for _, c := range v.clusters {
		if f := c.Feed; f != nil {
			self.Sights = append(self.Sights, diagnose.Sight{
				Cluster: c.Name, Age: time.Duration(f.AgeSeconds * float64(time.Second)), Instance: f.Instance, Rivals: f.Rivals, SlowedDown: f.SlowedDown,
			})
		}
	}
	return self
}

// nodeClock goes by what the node says, else by the header that every HTTP server sets, to the second.
func nodeClock(now time.Time, m met) diagnose.Known[diagnose.Clock] {
	if !now.IsZero() {
		return diagnose.Have(clockOf(now, 0, m))
	}
	date, err := http.ParseTime(m.header.Get("Date"))
	if err != nil {
		return diagnose.Lack[diagnose.Clock](errNoTime.Error())
	}
	return diagnose.Have(clockOf(date, time.Second, m))
}

// clockOf compares a clock with this machine's. It was read between the request and the answer, and is cut to a resolution.
func clockOf(now time.Time, resolution time.Duration, m met) diagnose.Clock {
	trip := m.received.Sub(m.sent)
	return diagnose.Clock{Ahead: now.Add(resolution / 2).Sub(m.sent.Add(trip / 2)), Within: (trip + resolution) / 2}
}

func validity(c *x509.Certificate) diagnose.Known[diagnose.Validity] {
	if c == nil {
		return diagnose.Lack[diagnose.Validity]("it was not asked over TLS")
	}
	return diagnose.Have(diagnose.Validity{From: c.NotBefore, Until: c.NotAfter})
}

var errNoTime = errors.New("its answer does not say the time")

var errNoNodeTold = errors.New("no node told of them")

// reportClusters joins what the nodes hold of each cluster: the newest state, and all that any of them complains of.
func reportClusters(views []nodeView) ([]diagnose.Cluster, error) {
	newest := map[model.ClusterName]float64{}
	found := map[model.ClusterName]*diagnose.Cluster{}
	told := false
	for _, v := range views {
		told = told || v.err == nil
		for _, c := range v.clusters {
			joined := found[c.Name]
			if joined == nil {
				joined = &diagnose.Cluster{Cluster: c.Cluster}
				found[c.Name] = joined
			}
			joined.Refused = append(joined.Refused, c.Refused...)
			if c.Feed == nil {
				continue
			}
			if age, seen := newest[c.Name]; !seen || c.Feed.AgeSeconds < age {
				newest[c.Name] = c.Feed.AgeSeconds
				joined.Published, joined.Gateways, joined.Status = true, c.Gateways, c.Status
			}
		}
	}
	if !told {
		return nil, errNoNodeTold
	}
	out := make([]diagnose.Cluster, 0, len(found))
	for _, c := range found {
		slices.Sort(c.Refused)
		c.Refused = slices.Compact(c.Refused)
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b diagnose.Cluster) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out, nil
}

func reportServices(services []rest.ServiceView) []diagnose.Service {
	out := make([]diagnose.Service, len(services))
	for i, s := range services {
		out[i].Service = s.ServiceKey
		for _, o := range s.Offers {
			offer := diagnose.Offer{Cluster: o.Cluster, Ports: o.Ports}
			for _, c := range slices.Concat(o.Capacity, o.Terminated) {
				offer.Regions = append(offer.Regions, c.Locality.Region)
			}
			for _, name := range o.ImportedBy {
				offer.Importers = append(offer.Importers, model.ClusterName(name))
			}
			out[i].Offers = append(out[i].Offers, offer)
		}
	}
	return out
}

// reportAgent takes nothing from an answer without a time: it is none.
func reportAgent(self model.AgentClock, m met, err error) diagnose.Known[diagnose.AgentSelf] {
	if err == nil && self.Now.IsZero() {
		err = errNoTime
	}
	if err != nil {
		return diagnose.Lack[diagnose.AgentSelf](err.Error())
	}
	out := diagnose.AgentSelf{Version: self.Version, Clock: clockOf(self.Now, 0, m)}
	for _, c := range self.Certificates {
		out.Certificates = append(out.Certificates, diagnose.Certificate{Of: c.Of, Until: c.ExpiresAt})
	}
	return diagnose.Have(out)
}

func reportFindings(from model.ClusterName, found []model.GatewayFinding) []diagnose.Path {
	out := make([]diagnose.Path, len(found))
	for i, f := range found {
		out[i] = diagnose.Path{
			From: from, To: f.Cluster, Gateway: f.Gateway, Address: f.Address, State: diagnose.PathState(f.Reachable), Degraded: f.Degraded, Reason: f.LastError,
		}
		if f.Since != nil {
			out[i].Since = *f.Since
		}
	}
	return out
}

// verdictsCountFor is how long a prober's words count after it last confirmed them.
const verdictsCountFor = 10 * time.Second

func reportVerdicts(verdicts []rest.VerdictView) []diagnose.Path {
	out := make([]diagnose.Path, len(verdicts))
	for i, v := range verdicts {
		out[i] = diagnose.Path{
			From: v.Prober, To: v.Cluster, Gateway: v.Gateway, Address: net.JoinHostPort(v.Address, strconv.Itoa(int(v.Port))), State: diagnose.Reached, Since: v.Since,
		}
		switch {
		case v.AgeSeconds > verdictsCountFor.Seconds():
			out[i].State = diagnose.Untried
		case v.Bad:
			out[i].State = diagnose.Unreached
		}
	}
	return out
}

func reportRoots(domains []rest.TrustDomain) []diagnose.Root {
	var out []diagnose.Root
	for _, d := range domains {
		if d.Bundle == nil {
			continue
		}
		for _, root := range d.Bundle.Roots {
			out = append(out, diagnose.Root{TrustDomain: d.Name, Name: root.Subject, Until: root.NotAfter})
		}
	}
	return out
}
