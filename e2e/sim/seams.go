package sim

import (
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/feed"
	"github.com/hanse-mesh/hanse/federation/spread"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// seams are where the plumbing calls what is tested. A planted defect is a wrapper around one of them.
type seams struct {
	merge       func(*catalog.Catalog, model.Batch) catalog.Outcome
	since       func(*catalog.Catalog, model.ClusterName, model.Version) (model.Batch, bool)
	filter      func(*session, feed.Filter) feed.Filter
	apply       func(*catalog.Imports, model.Batch, time.Time) (changed, gap bool, err error)
	verify      func(w *world, key []byte, origin model.ClusterName, r model.SignedRecord) (model.Record, error)
	opens       func(*agent, model.ClusterName, model.ServiceKey) bool
	incarnation func(model.Cluster, model.Version) bool
	heard       func(*agent, verdict.Heard) verdict.Heard
	ramps       func(map[route.RampKey]uint32) map[route.RampKey]uint32
	request     func(spread.Request) bool
}

func soundSeams() seams {
	return seams{
		merge:  (*catalog.Catalog).Merge,
		since:  (*catalog.Catalog).Since,
		filter: func(_ *session, f feed.Filter) feed.Filter { return f },
		apply:  (*catalog.Imports).Apply,
		verify: func(w *world, key []byte, origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
			return w.memo.verify(key, origin, r)
		},
		opens: func(a *agent, origin model.ClusterName, service model.ServiceKey) bool {
			return a.view != nil && policy.Exports(a.rules, a.memberOf(origin), service, a.cluster)
		},
		incarnation: func(m model.Cluster, v model.Version) bool { return m.Incarnation == v.Incarnation },
		heard:       func(_ *agent, h verdict.Heard) verdict.Heard { return h },
		ramps:       func(m map[route.RampKey]uint32) map[route.RampKey]uint32 { return m },
		request:     func(spread.Request) bool { return true },
	}
}
