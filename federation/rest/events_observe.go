package rest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
)

// observeEvery is how often a node looks what has happened.
const observeEvery = 2 * time.Second

// kindFederation is the kind of events that are about no object.
const kindFederation = "Federation"

// observe notes events until ctx ends. What it sees first is how things are, and no event, but for what is wrong then.
func (s *service) observe(ctx context.Context) error {
	o := observer{service: s, read: map[model.ClusterName]reading{}}
	var before observation
	timer := s.Clock.NewTimer(observeEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C():
		}
		if v := s.Consensus.View(); v.Federation != "" {
			after := o.look(v, before.leader)
			if before.members == nil {
				before.members, before.leader = after.members, after.leader
			}
			s.journal.add(s.Clock.Now(), transitions(before, after))
			before = after
		}
		timer.Reset(observeEvery)
	}
}

// observer looks at what a node sees. It is used by one goroutine.
type observer struct {
	*service
	// read keeps what was read of clusters' records until they change: a catalog may be large.
	read map[model.ClusterName]reading
}

// reading is what a version of a cluster's records says, as one process published them: two may say different things under one version.
type reading struct {
	version  model.Version
	instance string
	status   *model.SiteStatus
	verdicts []model.VerdictSet
}

// look makes an observation. lastLeader is the leader as long as none is known.
func (o *observer) look(v *state.View, lastLeader string) observation {
	out := observation{leader: lastLeader, members: map[model.Ref]uint64{}, conditions: map[condition]wording{}}
	if leader, _, ok := o.Consensus.Leader(); ok {
		out.leader = leader
	} else {
		out.note(EventNoLeader, model.Ref{Kind: kindFederation, Name: v.Federation}, "",
			"the federation has no leader as far as this node knows: policy and membership cannot change", "the federation has a leader again")
	}
	alive := o.Live.Alive()
	for _, n := range v.NodeList() {
		ref := model.Ref{Kind: model.KindNode, Name: n.Name}
		out.members[ref] = 0
		if !alive[n.Name] && n.Name != o.Node {
			out.note(EventNodeDead, ref, "", "node "+n.Name+" does not answer", "node "+n.Name+" answers again")
		}
	}
	connected, published := o.Live.Connected(), o.published(v)
	for _, c := range v.ClusterList() {
		ref := model.Ref{Kind: model.KindCluster, Name: string(c.Name)}
		out.members[ref] = c.Incarnation
		if connected[c.Name] {
			out.note(EventAgentConnected, ref, "", "the agent of cluster "+ref.Name+" has connected to this node", "the agent of cluster "+ref.Name+" has no session with this node any more")
		}
		for _, text := range o.Live.Refused(c.Name) {
			out.noteText(EventRecordRefused, ref, "record refused", text)
		}
		if origin, ok := published[c.Name]; ok {
			out.noteFeed(ref, o.Live.Feed(origin))
			out.noteRecords(ref, o.records(origin), v)
		}
	}
	o.forget(v)
	return out
}

// records reads what stands once per cluster, or per cluster and other cluster.
func (o *observer) records(origin catalog.Origin) reading {
	if held, ok := o.read[origin.Name]; ok && held.version == origin.Version && held.instance == origin.Instance {
		return held
	}
	out := reading{version: origin.Version, instance: origin.Instance}
	records, _ := o.Catalog.Records(origin.Name)
	for key, signed := range records {
		if _, verdicts := model.CutVerdictKey(key); !verdicts && key != model.StatusKey {
			continue
		}
		if r, err := codec.UnmarshalRecord(signed.Record); err == nil && r.Key() == key {
			if r.Verdicts != nil {
				out.verdicts = append(out.verdicts, *r.Verdicts)
			} else {
				out.status = r.Status
			}
		}
	}
	o.read[origin.Name] = out
	return out
}

// forget drops what was read of clusters that are no members.
func (o *observer) forget(v *state.View) {
	for name := range o.read {
		if _, member := v.Clusters[name]; !member {
			delete(o.read, name)
		}
	}
}

func (o observation) note(t EventType, subject model.Ref, detail, began, ended string) {
	o.conditions[condition{t, subject, detail}] = wording{began, ended}
}

// noteText notes a condition that is known by its text alone.
func (o observation) noteText(t EventType, subject model.Ref, what, text string) {
	o.note(t, subject, withoutNumbers(text),
		fmt.Sprintf("cluster %s: %s: %.500s", subject.Name, what, text), fmt.Sprintf("cluster %s: no longer: %s: %.500s", subject.Name, what, text))
}

// withoutNumbers leaves out the words of a text that begin with a digit: counts and times move while what is said stays.
func withoutNumbers(text string) string {
	words := strings.Fields(text)
	kept := words[:0]
	for _, w := range words {
		if w[0] < '0' || w[0] > '9' {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

func (o observation) noteFeed(ref model.Ref, f LiveFeed) {
	name := ref.Name
	if f.Age > silentAfter {
		o.note(EventFeedSilent, ref, "", "cluster "+name+" is silent: its last known state stays in force", "cluster "+name+" is back")
	}
	if f.Age > staleAfter {
		o.note(EventFeedStale, ref, "", "cluster "+name+" is stale: what is fresh goes before it", "cluster "+name+" is not stale any more")
	}
	if f.SlowedDown {
		o.note(EventSlowedDown, ref, "", "cluster "+name+" sends more than a node takes: it is slowed down", "cluster "+name+" is not slowed down any more")
	}
	for _, rival := range f.Rivals {
		o.note(EventConflict, ref, rival, "two agents would publish as cluster "+name+": instance "+rival+" does not get to", "instance "+rival+" would not publish as cluster "+name+" any more")
	}
}

// noteRecords notes what a cluster says of itself, and of others' gateways as far as those are members.
func (o observation) noteRecords(ref model.Ref, r reading, v *state.View) {
	for _, set := range r.verdicts {
		if _, member := v.Clusters[set.Cluster]; !member {
			continue
		}
		for _, on := range set.Verdicts {
			if on.Bad {
				gateway := fmt.Sprintf("gateway %s of cluster %s (%s port %s)", on.Gateway, set.Cluster, on.Address, strconv.Itoa(int(on.Port)))
				o.note(EventGatewayUnreachable, model.Ref{Kind: model.KindCluster, Name: string(set.Cluster)}, ref.Name+" "+gateway,
					"cluster "+ref.Name+" does not reach "+gateway, "cluster "+ref.Name+" reaches "+gateway+" again")
			}
		}
	}
	if r.status == nil {
		return
	}
	for _, text := range r.status.Held {
		o.noteText(EventRemovalsHeld, ref, "mass removal held", text)
	}
	for _, text := range r.status.Dropped {
		o.noteText(EventDropped, ref, "left out", text)
	}
	for _, p := range r.status.Proxies {
		if len(p.Nacks) > 0 {
			o.note(EventNack, ref, p.Workload, fmt.Sprintf("cluster %s, proxy %s: its Envoy refused a configuration: %.500s", ref.Name, p.Workload, p.Nacks[0].Reason),
				fmt.Sprintf("cluster %s, proxy %s: its Envoy refuses nothing any more", ref.Name, p.Workload))
		}
	}
}
