package uplink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/run"
	"google.golang.org/grpc"
)

const (
	// openTimeout bounds an attempt until the node's welcome.
	openTimeout = 5 * time.Second
	// sendTimeout bounds one message: a node that takes none for so long is as good as gone.
	sendTimeout = 10 * time.Second
	// maxText bounds a name or reason taken from a node, in bytes.
	maxText = 1024
)

var errHungUp = errors.New("the node ended the session")

// session is one stream. Its sender and its receiver run side by side; requests holds what the receiver asks of the sender.
type session struct {
	up      *Uplink
	stream  hansev1.FederationService_SessionClient
	welcome *hansev1.SessionWelcome
	// abort ends the stream with a reason.
	abort    context.CancelCauseFunc
	requests requests
	answers  answers
}

// session talks to one node until the stream ends; welcomed says whether it had begun.
func (u *Uplink) session(ctx context.Context, address string) (welcomed bool, err error) {
	stream, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	defer func() {
		if cause := context.Cause(stream); cause != nil && !errors.Is(cause, context.Canceled) {
			err = cause
		}
		u.note(func(st *Stats) { st.LastError = fmt.Sprint(err) })
	}()
	s := &session{up: u, abort: abort}
	conn, err := s.open(stream, address)
	if conn != nil {
		defer func() { _ = conn.Close() }()
	}
	if err != nil {
		return false, fmt.Errorf("opening a session with %s: %w", address, err)
	}
	node := bounded(s.welcome.GetNode())
	u.enter(s)
	defer u.enter(nil)
	u.connected(node, address, true)
	defer u.connected(node, address, false)
	defer u.want.unfollow()
	err = run.Group(stream, s.receive, newSender(s).run, func(ctx context.Context) error {
		// Whichever ends first, the other may be blocked on the stream.
		<-ctx.Done()
		abort(context.Canceled)
		return nil
	})
	s.answers.tasks.Wait()
	return true, fmt.Errorf("session with node %s: %w", node, err)
}

// enter notes the session that stands; nil is none.
func (u *Uplink) enter(s *session) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.current = s
}

func (u *Uplink) connected(node, address string, connected bool) {
	now := u.cfg.Clock.Now()
	u.note(func(st *Stats) {
		st.Node, st.Address, st.Connected, st.Since = node, address, connected, now
		if connected {
			st.LastError = ""
		}
	})
	u.cfg.Logger.Info("federation session", "node", node, "address", address, "connected", connected)
	u.cfg.Handler.Connected(node, connected)
}

// open dials, says hello and waits for the welcome. The connection is returned even with an error, to be closed.
func (s *session) open(ctx context.Context, address string) (conn *grpc.ClientConn, err error) {
	cfg := s.up.cfg
	err = s.within(openTimeout, "the node's welcome", func() error {
		if conn, err = cfg.Dial(ctx, address); err != nil {
			return err
		}
		client := hansev1.NewFederationServiceClient(conn)
		if s.stream, err = client.Session(ctx, grpc.MaxCallRecvMsgSize(MaxMessageBytes)); err != nil {
			return err
		}
		hello := &hansev1.SessionHello{
			ProtocolMin: model.ProtocolMin, ProtocolMax: model.ProtocolMax,
			Cluster: string(cfg.Cluster), Instance: cfg.Instance, AgentVersion: cfg.AgentVersion,
		}
		// A failed send means that the answer holds the reason.
		_ = s.stream.Send(&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Hello{Hello: hello}})
		answer, err := s.stream.Recv()
		if err != nil {
			return err
		}
		s.welcome = answer.GetWelcome()
		return checkWelcome(s.welcome)
	})
	return conn, err
}

func checkWelcome(w *hansev1.SessionWelcome) error {
	switch {
	case w == nil:
		return errors.New("the node's first message is no welcome")
	case w.GetProtocol() < model.ProtocolMin || w.GetProtocol() > model.ProtocolMax:
		return fmt.Errorf("the node chose protocol %d, this agent speaks %d to %d: upgrade the older of them",
			w.GetProtocol(), model.ProtocolMin, model.ProtocolMax)
	case w.GetIncarnation() == 0:
		return errors.New("the node names no incarnation for this cluster")
	}
	return nil
}

// within runs f and aborts the session when it takes longer than d; f must return when the session's context ends.
func (s *session) within(d time.Duration, what string, f func() error) error {
	timer := s.up.cfg.Clock.NewTimer(d)
	done, watcher := make(chan struct{}), sync.WaitGroup{}
	watcher.Go(func() {
		select {
		case <-timer.C():
			s.abort(fmt.Errorf("%s took longer than %v", what, d))
		case <-done:
		}
	})
	err := f()
	close(done)
	watcher.Wait()
	timer.Stop()
	return err
}

// bounded cuts text from outside to what may stand in a log.
func bounded(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "")
}
