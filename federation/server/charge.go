package server

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// What one cluster's sessions at one node may send per second, and at once after a quiet time. A change is one message; a full state of
// the largest size is let in at once. Records are counted because each costs a verification.
const (
	messageRate, messageBurst = 200, 400
	byteRate, byteBurst       = 16 << 20, 32 << 20
	recordRate, recordBurst   = 5_000, 25_000
	// Asking for an origin anew, proposing a bundle and changing what is refused cost more than they weigh: all importers' sessions look
	// through everything after the latter, and tell the origin in full.
	resyncWeight, bundleWeight, refusalWeight = 5, 20, 20
	// maxSessions is how many sessions one cluster has at one node: replicas, and connections that are cut off but not yet noticed.
	maxSessions = 8
)

// bucket is a token bucket that may be overdrawn: what has been read must be paid for, however large it was.
type bucket struct {
	rate, burst, level float64
	at                 time.Time
}

// charge takes n out at a time and returns how long to wait until nothing is owed.
func (b bucket) charge(n float64, now time.Time) (bucket, time.Duration) {
	if passed := now.Sub(b.at); passed > 0 {
		b.level = min(b.burst, b.level+passed.Seconds()*b.rate)
		b.at = now
	}
	if b.level -= n; b.level >= 0 {
		return b, 0
	}
	return b, time.Duration(-b.level / b.rate * float64(time.Second))
}

// account is what one cluster has sent to this node.
type account struct {
	mu                       sync.Mutex
	messages, bytes, records bucket
	// slowed counts the messages after which its sessions had to wait, slowedAt is the last such time.
	slowed   uint64
	slowedAt time.Time
}

func newAccount(now time.Time) *account {
	full := func(rate, burst float64) bucket { return bucket{rate: rate, burst: burst, level: burst, at: now} }
	return &account{messages: full(messageRate, messageBurst), bytes: full(byteRate, byteBurst), records: full(recordRate, recordBurst)}
}

// consequence is what a message has cost beside itself: whether it changed what is refused, and then how many records are told again.
type consequence struct {
	refusals bool
	records  int
}

// charge books a message with its consequence and returns how long its session must not read on.
func (a *account) charge(m *hansev1.SessionRequest, c consequence, now time.Time) time.Duration {
	weight, records := 1, 0
	switch m := m.GetMessage().(type) {
	case *hansev1.SessionRequest_Batch:
		records = len(m.Batch.GetUpserts()) + len(m.Batch.GetRemovals())
	case *hansev1.SessionRequest_Resync:
		weight = resyncWeight
	case *hansev1.SessionRequest_Bundle:
		weight = bundleWeight
	}
	if c.refusals {
		weight, records = refusalWeight, records+c.records
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var forMessages, forBytes, forRecords time.Duration
	a.messages, forMessages = a.messages.charge(float64(weight), now)
	a.bytes, forBytes = a.bytes.charge(float64(proto.Size(m)), now)
	a.records, forRecords = a.records.charge(float64(records), now)
	wait := max(forMessages, forBytes, forRecords)
	if wait > 0 {
		a.slowed++
		a.slowedAt = now
	}
	return wait
}

// accounts are those of the clusters that have had sessions here; there are at most as many as there were members.
type accounts struct {
	mu        sync.Mutex
	byCluster map[model.ClusterName]*account
}

func (a *accounts) of(cluster model.ClusterName, now time.Time) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byCluster[cluster] == nil {
		a.byCluster[cluster] = newAccount(now)
	}
	return a.byCluster[cluster]
}

// slowed says how often a cluster was slowed down, and when last.
func (a *accounts) slowed(cluster model.ClusterName) (count uint64, last time.Time) {
	a.mu.Lock()
	held := a.byCluster[cluster]
	a.mu.Unlock()
	if held == nil {
		return 0, time.Time{}
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	return held.slowed, held.slowedAt
}

// pay charges the cluster for a message and reads nothing further until that is paid for: the agent's stream fills up, and the agent goes
// on with its newest state when there is room. Nothing is lost.
func (x *session) pay(ctx context.Context, m *hansev1.SessionRequest) {
	wait := x.account.charge(m, x.caused, x.server.cfg.Clock.Now())
	x.caused = consequence{}
	if wait == 0 {
		return
	}
	if !x.slowed {
		x.slowed = true
		x.log.Warn("the cluster sends more than a node takes; it is slowed down, which is said once per session", "messages_per_second", messageRate,
			"bytes_per_second", byteRate, "records_per_second", recordRate)
	}
	timer := x.server.cfg.Clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
	}
}
