//go:build e2e

package matrix

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// sessionCount is how many TCP sessions are open before a fault. Half of them say something now and then, half are silent.
	sessionCount = 24
	sessionPause = 500 * time.Millisecond
)

// session is one TCP session that is open before a fault.
type session struct {
	conn net.Conn

	mu sync.Mutex
	// heard is when the last answer came, ended when the other side closed it.
	heard, ended time.Time
}

// sessions are open TCP sessions of the callers' region.
type sessions struct {
	list    []*session
	done    chan struct{}
	running sync.WaitGroup
}

// openSessions adds open sessions, each of which has been spoken to.
func (w *world) openSessions(ctx context.Context, s *sessions) error {
	for i := range sessionCount {
		dial, cancel := context.WithTimeout(ctx, callTimeout)
		conn, err := w.sites[order[0]].region.Dial(dial, "tcp", upstreams[TCP])
		cancel()
		if err != nil {
			return fmt.Errorf("open a session: %w", err)
		}
		one := &session{conn: conn, heard: time.Now()}
		s.list = append(s.list, one)
		one.say()
		s.running.Go(one.listen)
		if i%2 == 0 {
			s.running.Go(func() { one.chat(s.done) })
		}
	}
	return nil
}

func (s *session) say() { _, _ = fmt.Fprintln(s.conn, "ahoy") }

// chat says something now and then.
func (s *session) chat(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(sessionPause):
			s.say()
		}
	}
}

// listen notes answers until the session ends.
func (s *session) listen() {
	lines := bufio.NewScanner(s.conn)
	for lines.Scan() {
		s.mu.Lock()
		s.heard = time.Now()
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = time.Now()
}

// judge asks every session once more, when the bound after the fault has passed, and tells those that live from those that do not.
func (s *sessions) judge(ctx context.Context, fault time.Time) SessionResult {
	if len(s.list) == 0 {
		return SessionResult{}
	}
	pause(ctx, time.Until(fault.Add(sessionBound)))
	asked := time.Now()
	for _, one := range s.list {
		one.say()
	}
	pause(ctx, callTimeout)
	r := SessionResult{Open: len(s.list)}
	for _, one := range s.list {
		one.mu.Lock()
		switch {
		case !one.ended.IsZero() && one.ended.Before(fault.Add(sessionBound)):
			r.Closed++
			r.LastClosed = max(r.LastClosed, one.ended.Sub(fault).Seconds())
		case one.ended.IsZero() && one.heard.After(asked):
			r.Lived++
		default:
			r.Stuck++
		}
		one.mu.Unlock()
	}
	return r
}

// close ends the sessions.
func (s *sessions) close() {
	close(s.done)
	for _, one := range s.list {
		_ = one.conn.Close()
	}
	s.running.Wait()
}
