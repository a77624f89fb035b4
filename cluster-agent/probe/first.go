package probe

import "time"

const (
	// firstBurst and firstRate, a second, bound how often one cluster can have addresses asked, or names looked up, that were not before:
	// a member that gives its gateways ever new addresses must not aim every other cluster's probes at whom it likes.
	firstBurst = 128
	firstRate  = 10
)

// allowance is a token bucket of firstBurst that fills at firstRate.
type allowance struct {
	left float64
	at   time.Time
}

// full reports whether nothing is missing at now.
func (a allowance) full(now time.Time) bool { return a.now(now) >= firstBurst }

func (a allowance) now(now time.Time) float64 {
	return min(firstBurst, a.left+firstRate*max(0, now.Sub(a.at).Seconds()))
}

// take spends one; when nothing is left it says when there will be.
func (a allowance) take(now time.Time) (next allowance, ok bool, again time.Time) {
	left := a.now(now)
	if left < 1 {
		missing := time.Duration((1 - left) / firstRate * float64(time.Second))
		return a, false, now.Add(missing + time.Millisecond)
	}
	return allowance{left: left - 1, at: now}, true, time.Time{}
}

// admit returns the tasks that may start now, in their order, and when a task that is passed over for its cluster's allowance may. p.mu
// is held.
func (p *Prober) admit(due []task, now time.Time) (admitted []task, again time.Time) {
	for cluster, a := range p.firsts {
		if a.full(now) {
			delete(p.firsts, cluster)
		}
	}
	room := p.cfg.Concurrency - p.running
	for _, t := range due {
		if len(admitted) >= room {
			break
		}
		if t.first {
			a, known := p.firsts[t.target.Cluster]
			if !known {
				a = allowance{left: firstBurst, at: now}
			}
			next, ok, at := a.take(now)
			if !ok {
				if again.IsZero() || at.Before(again) {
					again = at
				}
				continue
			}
			p.firsts[t.target.Cluster] = next
		}
		admitted = append(admitted, t)
	}
	return admitted, again
}
