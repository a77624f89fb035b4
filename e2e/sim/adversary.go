package sim

import (
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/spread"
)

// A node that was taken over has the certificate of a node and says what it likes. It cannot sign for a cluster. What it can do for
// good, and what is therefore not tried here, is to claim a membership that was never agreed, or a version out of reach: see
// ARCHITECTURE.md. Its lies go through the codec, as all that comes from outside does.

// lie has a node tell one of those who listen to it something untrue.
func (w *world) lie() {
	n := pick(&w.engine, w.nodes)
	if !n.up || n.frozen {
		return
	}
	origin := w.anAgent().cluster
	held, ok := n.catalog.Origin(origin)
	if !ok {
		return
	}
	if len(n.sessions) > 0 && w.chance(0.4) {
		n.lieToAgent(pick(&w.engine, n.sessions), origin)
		return
	}
	if len(n.links.tellers) == 0 {
		return
	}
	t := pick(&w.engine, n.links.tellers)
	b, ok := n.untrue(origin, held.Version, held.Instance)
	if !ok {
		return
	}
	if b.Full && b.Instance == liar {
		w.oracle.forged[forgedKey{origin, b.To}] = true
	}
	if b, ok := throughCodec(b); ok && !t.end.full() && t.spread != nil {
		w.trace.add(w.now, "lie", n.name, string(origin), b.To.Incarnation, b.To.Epoch, b.To.Seq)
		t.end.send(w, spread.Message{Batch: &b})
	}
}

// liar is the process that a lying node says to have a state from.
const liar = "liar"

// untrue makes up a batch of an origin.
func (n *node) untrue(origin model.ClusterName, held model.Version, instance string) (model.Batch, bool) {
	w := n.w
	b := model.Batch{Origin: origin, Full: true, To: held, ProducedAt: n.clock(w.now), Instance: liar}
	switch w.rng.IntN(5) {
	case 0:
		// A delta over a gap that nobody can fill.
		b.Full, b.From, b.Instance = false, held, instance
		b.From.Seq += 1000
		b.To.Seq = b.From.Seq + 1
		b.Upserts = []model.SignedRecord{junk(origin)}
	case 1:
		// What was true once.
		old := w.oracle.older(origin, held)
		if old == nil {
			return b, false
		}
		b.To, b.Instance, b.Upserts = old.version, old.instance, sortedRecords(old.records)
	case 2:
		// Another origin's records, as the state of a newer epoch.
		b.To.Epoch, b.To.Seq = b.To.Epoch+1+w.rng.Uint64N(2), 1
		other, _ := n.catalog.Full(w.anAgent().cluster)
		b.Upserts = slices.Clone(other.Upserts)
	case 3:
		// Records that nobody has signed, and old ones, under a version beyond all counting.
		b.To.Seq = 1 << 63
		full, _ := n.catalog.Full(origin)
		b.Upserts = append(slices.Clone(full.Upserts), junk(origin))
	default:
		// Nothing at all, as the newest epoch.
		b.To.Epoch, b.To.Seq = b.To.Epoch+1, 1
	}
	return b, true
}

// lieToAgent shows an agent all that an origin says, whatever the rules are, with records among it that are not the origin's.
func (n *node) lieToAgent(s *session, origin model.ClusterName) {
	full, _ := n.catalog.Full(origin)
	if origin == s.cluster || len(full.Upserts) == 0 || s.end.full() {
		return
	}
	full.Upserts = append(slices.Clone(full.Upserts), junk(origin))
	if other, ok := n.catalog.Full(n.w.anAgent().cluster); ok && len(other.Upserts) > 0 {
		moved := other.Upserts[0]
		moved.Key = model.RecordKey(model.ServiceKey{Namespace: namespace, Name: "moved"})
		full.Upserts = append(full.Upserts, moved)
	}
	if b, ok := throughCodec(full); ok {
		n.w.trace.add(n.w.now, "lie", n.name, string(s.cluster), b.To.Incarnation, b.To.Epoch, b.To.Seq)
		s.end.send(n.w, imported{b})
	}
}

// junk is a record that looks well and is signed by nobody.
func junk(origin model.ClusterName) model.SignedRecord {
	service := model.ServiceKey{Namespace: namespace, Name: "junk"}
	body, err := codec.MarshalRecord(model.Record{Cluster: origin, Version: model.Version{Incarnation: 1}, Service: &model.ServiceRecord{
		Service: service, Ports: []model.Port{{Number: 80, Protocol: model.ProtocolTCP}},
		Identities: []string{model.WorkloadID(string(origin)+"."+federation, namespace, "junk")},
	}})
	if err != nil {
		panic(err)
	}
	return model.SignedRecord{Key: model.RecordKey(service), Record: body, Signature: []byte("nobody")}
}

func throughCodec(b model.Batch) (model.Batch, bool) {
	out, err := codec.BatchFromProto(codec.BatchToProto(b))
	return out, err == nil
}

// older is something that an origin said before a version, if anything is known.
func (o *oracle) older(origin model.ClusterName, than model.Version) *saying {
	var best *saying
	for _, s := range o.said {
		if s.origin != origin || s.version.Compare(than) >= 0 || s.version.Incarnation != than.Incarnation {
			continue
		}
		if best == nil || s.version.Compare(best.version) < 0 || s.version == best.version && s.instance < best.instance {
			best = s
		}
	}
	return best
}

func sortedRecords(m map[string]model.SignedRecord) []model.SignedRecord {
	out := make([]model.SignedRecord, 0, len(m))
	for _, r := range m {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b model.SignedRecord) int { return strings.Compare(a.Key, b.Key) })
	return out
}
