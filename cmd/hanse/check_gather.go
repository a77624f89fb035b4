package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/diagnose"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// federationAPI is the REST API as a check asks it.
type federationAPI interface {
	// get reads from whichever node answers.
	get(ctx context.Context, path string, out any) (met, error)
	// at reads from the node at a REST address, and from no other.
	at(ctx context.Context, address, path string, out any) (met, error)
}

// met is what shows of a node beside its answer.
type met struct {
	sent, received time.Time
	header         http.Header
	// certificate is nil on a way without TLS.
	certificate *x509.Certificate
}

const (
	// askAtOnce bounds the requests under way.
	askAtOnce = 8
	// nodeTimeout is how long a node may take to answer at all: one that hangs is given up, for the others' sake.
	nodeTimeout = 5 * time.Second
	// checkPage is how many items are asked for at once, maxCheckPages how many pages of a list.
	checkPage, maxCheckPages = 1000, 1000
	// notAsked is why nothing is known of an agent that --cluster leaves out.
	notAsked = "--cluster leaves it out"
)

// gatherer asks a whole federation how it fares.
type gatherer struct {
	api   federationAPI
	clock clock.Clock
	// say tells of progress.
	say func(format string, args ...any)
	// only, when set, is the one cluster whose agent is asked.
	only model.ClusterName
}

// gathered is a report, and what belongs to its head line.
type gathered struct {
	federation string
	report     diagnose.Report
}

// gather returns what could be learnt. An error means that nobody answers, or that the operator may not ask.
func (g *gatherer) gather(ctx context.Context) (gathered, error) {
	var st rest.Status
	if _, err := g.api.get(ctx, "/v1/status", &st); err != nil {
		return gathered{}, err
	}
	r := diagnose.Report{At: g.clock.Now()}
	nodes, err := listAll[rest.NodeView](ctx, g.api.get, "/v1/nodes")
	g.say("asking %d nodes", len(nodes))
	views := g.askNodes(ctx, nodes, st.Node)
	r.Nodes = known(reportNodes(nodes, views), err)
	clusters, err := reportClusters(views)
	r.Clusters = known(clusters, err)
	g.say("asking for services and policies")
	g.askPolicies(ctx, &r)
	g.say("asking the agents of %d clusters", len(clusters))
	g.askAgents(ctx, clusters)
	return gathered{st.Federation, r}, ctx.Err()
}

// nodeView is what one node answers; err is why it does not.
type nodeView struct {
	status   rest.Status
	clusters []rest.ClusterView
	met      met
	err      error
}

// askNodes asks each node itself, at its own address; home, by whose socket the others cannot be asked, by that.
func (g *gatherer) askNodes(ctx context.Context, nodes []rest.NodeView, home string) []nodeView {
	views := make([]nodeView, len(nodes))
	inParallel(len(nodes), func(i int) {
		v, n := &views[i], nodes[i]
		get := func(ctx context.Context, path string, out any) (met, error) {
			m, err := g.api.at(ctx, n.RESTAddress, path, out)
			if errors.Is(err, errBySocket) && n.Name == home {
				return g.api.get(ctx, path, out)
			}
			return m, err
		}
		// The second of two requests goes over a connection that stands: only it shows the clock well.
		first, cancel := context.WithTimeout(ctx, nodeTimeout)
		defer cancel()
		if _, v.err = get(first, "/v1/nodes?limit=1", &rest.List[rest.NodeView]{}); v.err != nil {
			return
		}
		switch v.met, v.err = get(ctx, "/v1/status", &v.status); {
		case v.err != nil:
		case v.status.Node != n.Name:
			v.err = fmt.Errorf("node %s answers at its REST address %s", v.status.Node, n.RESTAddress)
		default:
			v.clusters, v.err = listAll[rest.ClusterView](ctx, get, "/v1/clusters")
		}
	})
	return views
}

// askPolicies asks for what is the same at each node.
func (g *gatherer) askPolicies(ctx context.Context, r *diagnose.Report) {
	services, err := listAll[rest.ServiceView](ctx, g.api.get, "/v1/services")
	r.Services = known(reportServices(services), err)
	r.Failover = known(listAll[policy.FailoverPolicy](ctx, g.api.get, "/v1/failover-policies"))
	r.Imports = known(listAll[policy.ImportRule](ctx, g.api.get, "/v1/import-rules"))
	r.Exports = known(listAll[policy.ExportRule](ctx, g.api.get, "/v1/export-rules"))
	r.Tokens = known(listAll[model.Token](ctx, g.api.get, "/v1/tokens"))
	domains, err := listAll[rest.TrustDomain](ctx, g.api.get, "/v1/trust-domains")
	r.Roots = known(reportRoots(domains), err)
	verdicts, err := listAll[rest.VerdictView](ctx, g.api.get, "/v1/verdicts")
	r.Verdicts = known(reportVerdicts(verdicts), err)
}

// askAgents asks each cluster's agent for its clock, and for what it finds of the others' gateways.
func (g *gatherer) askAgents(ctx context.Context, clusters []diagnose.Cluster) {
	inParallel(len(clusters), func(i int) {
		c := &clusters[i]
		if g.only != "" && c.Name != g.only {
			c.Agent, c.Paths = diagnose.Lack[diagnose.AgentSelf](notAsked), diagnose.Lack[[]diagnose.Path](notAsked)
			return
		}
		path := "/v1/agents/" + string(c.Name)
		var self model.AgentClock
		seen, err := g.api.get(ctx, path+"/clock", &self)
		c.Agent = reportAgent(self, seen, err)
		var found rest.List[model.GatewayFinding]
		_, err = g.api.get(ctx, path+"/gateways", &found)
		c.Paths = known(reportFindings(c.Name, found.Items), err)
	})
}

// known is a value, or why there is none.
func known[T any](v T, err error) diagnose.Known[T] {
	if err != nil {
		return diagnose.Lack[T](err.Error())
	}
	return diagnose.Have(v)
}

// listAll reads a list page by page.
func listAll[T any](ctx context.Context, get func(context.Context, string, any) (met, error), path string) ([]T, error) {
	var all []T
	query := url.Values{"limit": {strconv.Itoa(checkPage)}}
	for range maxCheckPages {
		var page rest.List[T]
		if _, err := get(ctx, path+"?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Continue == "" {
			return all, nil
		}
		query.Set("continue", page.Continue)
	}
	return nil, fmt.Errorf("%s has more than %d items", path, checkPage*maxCheckPages)
}

// inParallel calls do for 0 to n-1, some at a time, and returns when all have returned.
func inParallel(n int, do func(i int)) {
	var group sync.WaitGroup
	turn := make(chan struct{}, askAtOnce)
	for i := range n {
		turn <- struct{}{}
		group.Go(func() {
			defer func() { <-turn }()
			do(i)
		})
	}
	group.Wait()
}
