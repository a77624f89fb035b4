package consensus

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// sent is a pipeline that keeps what is sent.
type sent struct {
	raft.AppendPipeline
	requests []*raft.AppendEntriesRequest
}

func (s *sent) AppendEntries(args *raft.AppendEntriesRequest, _ *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	s.requests = append(s.requests, args)
	return nil, nil
}

func TestFollowersAreNotToldWhatTheyKnow(t *testing.T) {
	out, now := &sent{}, time.Unix(0, 0)
	p := &pipeline{AppendPipeline: out, now: func() time.Time { return now }}
	at := func(term, last, committed uint64) *raft.AppendEntriesRequest {
		return &raft.AppendEntriesRequest{Term: term, PrevLogEntry: last, PrevLogTerm: term, LeaderCommitIndex: committed}
	}
	entry := at(1, 7, 7)
	entry.Entries = []*raft.Log{{Index: 8, Term: 1}}
	for _, step := range []struct {
		what    string
		after   time.Duration
		request *raft.AppendEntriesRequest
		sent    bool
	}{
		{"the first message", 0, at(1, 7, 7), true},
		{"the same", 5 * time.Millisecond, at(1, 7, 7), false},
		{"an entry", 0, entry, true},
		{"where the log ends, which the entry has said", 5 * time.Millisecond, at(1, 8, 7), false},
		{"that the entry is committed", 0, at(1, 8, 8), true},
		{"the same, just within the time", repeatEvery - 1, at(1, 8, 8), false},
		{"the same when it is time", 1, at(1, 8, 8), true},
		{"another term", 0, at(2, 8, 8), true},
		{"an entry again", 0, entry, true},
		{"and again", 0, entry, true},
	} {
		now = now.Add(step.after)
		before := len(out.requests)
		if _, err := p.AppendEntries(step.request, nil); err != nil {
			t.Fatal(err)
		}
		if got := len(out.requests) > before; got != step.sent {
			t.Errorf("%s: sent %t", step.what, got)
		}
	}
}
