package sim

import (
	"bytes"
	"fmt"
	"maps"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/tenure"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/trust/authz"
)

// publish takes a batch of the agent's own cluster into the catalog.
func (s *session) publish(b model.Batch) {
	if !s.open {
		return
	}
	own, ok := s.member()
	held, _ := s.n.catalog.Origin(s.cluster)
	switch {
	case !ok || b.To.Incarnation != own.Incarnation:
		s.deny()
		return
	case held.Instance != "" && held.Instance != s.instance && (held.Version.SameEpoch(b.To) || held.Version.Compare(b.To) > 0):
		s.superseded()
		return
	case s.waiting && !b.Full:
		return
	}
	if b.Full || len(b.Upserts)+len(b.Removals) > 0 {
		s.judge(own, b)
	}
	s.offered(b, s.n.offer(b))
}

func (s *session) offered(b model.Batch, out catalog.Outcome) {
	switch {
	case out.Clone || out.Held.Compare(b.To) > 0:
		s.superseded()
	case out.Err != nil:
		s.waiting = true
	case out.Gap:
		s.waiting, s.resync = true, true
		s.wake()
	default:
		s.waiting = false
	}
}

// superseded leaves a batch aside because another process publishes, and has the agent told.
func (s *session) superseded() {
	w := s.n.w
	w.trace.add(w.now, "superseded", s.n.name, string(s.cluster), 0, 0, 0)
	s.waiting, s.inVain = true, true
	s.wake()
}

// tellPublisher tells who publishes: at first, when that changes, when it falls silent or speaks again, and who has published in vain.
func (s *session) tellPublisher() {
	w := s.n.w
	held, _ := s.n.catalog.Origin(s.cluster)
	word := tenure.Word{Instance: held.Instance, Held: held.Version}
	if at, ok := s.n.heardAt[s.cluster]; ok && held.Instance != "" && w.now-at < tenure.Silence {
		word.Fresh = true
		w.afterFor(&s.n.process, at+tenure.Silence-w.now, s.wake)
	}
	if s.word == nil || s.word.Instance != word.Instance || s.word.Fresh != word.Fresh || s.inVain {
		s.inVain = false
		s.word = &word
		s.end.send(w, word)
	}
}

// judge decides which records count before importers can see them.
func (s *session) judge(own model.Cluster, b model.Batch) {
	old := s.records
	if b.Full || old == nil {
		s.records, s.refused = map[string]judged{}, map[string]string{}
	}
	for _, key := range b.Removals {
		delete(s.records, key)
		delete(s.refused, key)
	}
	for _, signed := range b.Upserts {
		j, same := old[signed.Key]
		if !same || !bytes.Equal(j.signed.Record, signed.Record) || !bytes.Equal(j.signed.Signature, signed.Signature) {
			j = judged{signed: signed}
			j.record, j.err = s.n.w.memo.verify(own.AgentKey, own.Name, signed)
			if v := j.record.Version; j.err == nil && (v.Incarnation != own.Incarnation || v.Compare(b.To) > 0) {
				j.err = fmt.Errorf("record is of version %v, which is not one of this membership up to %v", v, b.To)
			}
		}
		s.records[signed.Key] = j
		s.decide(own, signed.Key)
	}
	s.post(true)
}

func (s *session) decide(own model.Cluster, key string) {
	err := s.records[key].err
	if err == nil {
		err = authz.CheckRecord(own, s.n.view.ExportList(), s.records[key].record)
	}
	if err != nil {
		s.refused[key] = err.Error()
	} else {
		delete(s.refused, key)
	}
}

// post puts the session's refusals on the node's board.
func (s *session) post(publishes bool) {
	before, ok := s.n.board[s.cluster]
	if ok && before.by != s && !publishes {
		return
	}
	s.n.board[s.cluster] = refusal{s, maps.Clone(s.refused)}
	if !maps.Equal(before.reasons, s.refused) {
		s.n.refusalsChanged()
	}
}
