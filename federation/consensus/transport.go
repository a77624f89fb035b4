package consensus

import (
	"time"

	"github.com/hashicorp/raft"
)

// repeatEvery is how often a follower is told what it knows already, so that a connection that broke meanwhile is noticed, and that the
// leader hears of its followers well within its lease.
const repeatEvery = 100 * time.Millisecond

// transport is raft's, less what followers have been told before. Raft tells each follower every few milliseconds how far the log is
// committed, whether or not that has changed: with dozens of replicas an idle leader would send thousands of messages a second.
// Heartbeats are apart and go on: who leads, and whether it still does, is decided by them.
type transport struct {
	*raft.NetworkTransport
	now func() time.Time
}

// AppendEntriesPipeline opens a stream of appends to a follower.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return &pipeline{AppendPipeline: p, now: t.now}, nil
}

// pipeline belongs to raft's goroutine for one follower; what was sent on it arrives in order or not at all.
type pipeline struct {
	raft.AppendPipeline
	now func() time.Time

	told position
	at   time.Time
}

// position is what a message without entries says.
type position struct{ term, last, lastTerm, committed uint64 }

// AppendEntries sends a message. One that is left out has no future: raft takes answers from the Consumer only.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	says := position{term: args.Term, last: args.PrevLogEntry, lastTerm: args.PrevLogTerm, committed: args.LeaderCommitIndex}
	now := p.now()
	if len(args.Entries) == 0 && says == p.told && now.Sub(p.at) < repeatEvery {
		return nil, nil
	}
	if n := len(args.Entries); n > 0 {
		says.last, says.lastTerm = args.Entries[n-1].Index, args.Entries[n-1].Term
	}
	p.told, p.at = says, now
	return p.AppendPipeline.AppendEntries(args, resp)
}
