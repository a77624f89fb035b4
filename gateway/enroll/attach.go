package enroll

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/backoff"
)

const (
	// welcomeTimeout bounds how long the agent may think about a registration.
	welcomeTimeout = 10 * time.Second
	// rejectedPause is the pause after a registration that the agent refused.
	rejectedPause = 10 * time.Second
)

var (
	errWithdrawn = errors.New("withdrawn")
	errNoWelcome = errors.New("the agent did not answer the registration")
)

// RunAttach keeps the workload registered: it attaches again whenever the stream breaks, soon after a failure and slowly after a
// refusal. Health that SetHealth has set takes the place of w's own. It returns nil when ctx ends, which leaves the workload to the
// agent's patience, and when Withdraw is confirmed.
func (c *Client) RunAttach(ctx context.Context, w model.Workload) error {
	pauses := backoff.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
	for ctx.Err() == nil {
		// What was left there before this attempt is known to it.
		select {
		case <-c.retry:
		default:
		}
		welcomed, err := c.session(ctx, w)
		if welcomed {
			pauses.Reset()
		}
		switch {
		case errors.Is(err, errWithdrawn):
			return c.confirmWithdrawal()
		case ctx.Err() != nil:
			return nil
		case c.mayEnrolAnew(err) && c.enrolAnew(ctx):
			// Should the agent go on not knowing this proxy, the pauses grow.
			c.pause(ctx, pauses.Next(), nil)
		case isSlow(err):
			c.cfg.Logger.Warn("registration refused", "workload", c.cfg.Workload, "error", plain{err})
			c.reject(err)
			if c.current().withdraw {
				return c.confirmWithdrawal()
			}
			c.pause(ctx, rejectedPause, c.retry)
		default:
			c.logLoss(welcomed, err)
			c.pause(ctx, pauses.Next(), nil)
		}
	}
	return nil
}

// enrolAnew shows the agent the token again; false means that it did not help.
func (c *Client) enrolAnew(ctx context.Context) bool {
	if c.current().withdraw {
		return false
	}
	if err := c.enroll(ctx); err != nil {
		c.cfg.Logger.Warn("not enrolled anew", "workload", c.cfg.Workload, "error", plain{err})
		return false
	}
	c.cfg.Logger.Info("enrolled anew: the agent did not know this workload any more", "workload", c.cfg.Workload)
	return true
}

// confirmWithdrawal ends RunAttach: the agent does not hold the workload any more, or refuses to.
func (c *Client) confirmWithdrawal() error {
	c.withdrawnOnce.Do(func() { close(c.withdrawn) })
	return nil
}

// logLoss tells operators of a stream that broke, but not of every attempt while the agent is away.
func (c *Client) logLoss(welcomed bool, err error) {
	level := c.cfg.Logger.Debug
	if welcomed {
		level = c.cfg.Logger.Warn
	}
	level("not attached to the agent", "workload", c.cfg.Workload, "error", plain{err})
}

// session is one Attach stream from its registration to its end.
func (c *Client) session(ctx context.Context, w model.Workload) (welcomed bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := c.cfg.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	stream, err := hansev1.NewSiteServiceClient(conn).Attach(ctx)
	if err != nil {
		return false, err
	}
	known := c.current()
	if err := send(stream, c.registration(w, known)); err != nil {
		return false, err
	}
	// The registration carried the health; a report has not been made on this stream.
	known = said{health: known.health}
	return c.follow(ctx, stream, known)
}

// follow sends what changes and reads what the agent says, until the stream ends.
func (c *Client) follow(ctx context.Context, stream hansev1.SiteService_AttachClient, known said) (welcomed bool, err error) {
	answers := receive(ctx, stream)
	patience := c.cfg.Clock.NewTimer(welcomeTimeout)
	defer patience.Stop()
	defer c.setWelcome(false)
	for {
		if err := c.sendChanges(stream, &known); err != nil {
			return welcomed, err
		}
		select {
		case a := <-answers:
			if a.err != nil {
				if known.withdraw && errors.Is(a.err, io.EOF) {
					return welcomed, errWithdrawn
				}
				return welcomed, a.err
			}
			if a.message.GetWelcome() != nil {
				patience.Stop()
				welcomed = true
			}
			c.hear(a.message)
		case <-c.wake:
		case <-patience.C():
			return welcomed, errNoWelcome
		case <-ctx.Done():
			return welcomed, ctx.Err()
		}
	}
}

func (c *Client) registration(w model.Workload, s said) *hansev1.AttachRequest {
	if s.health != nil {
		w.Health = *s.health
	}
	if s.withdraw {
		// The stream stands only to take the workload out.
		w.Health.Ready, w.Health.Draining = false, true
	}
	r := codec.RegistrationToProto(w)
	r.ProtocolMin, r.ProtocolMax, r.HanseVersion = model.ProtocolMin, model.ProtocolMax, c.cfg.Version
	return &hansev1.AttachRequest{Message: &hansev1.AttachRequest_Registration{Registration: r}}
}

// sendChanges brings the agent from known to the present.
func (c *Client) sendChanges(stream hansev1.SiteService_AttachClient, known *said) error {
	now := c.current()
	if now.health != nil && (known.health == nil || *now.health != *known.health) {
		m := &hansev1.AttachRequest_Health{Health: codec.WorkloadHealthToProto(*now.health)}
		if err := send(stream, &hansev1.AttachRequest{Message: m}); err != nil {
			return err
		}
	}
	if !slices.Equal(now.nacks, known.nacks) || now.envoyVersion != known.envoyVersion || !now.expiry.Equal(known.expiry) ||
		now.acknowledged != known.acknowledged {
		m := &hansev1.AttachRequest_Report{Report: reportToProto(now)}
		if err := send(stream, &hansev1.AttachRequest{Message: m}); err != nil {
			return err
		}
	}
	if now.withdraw && !known.withdraw {
		m := &hansev1.AttachRequest_Withdraw{Withdraw: &hansev1.Withdraw{}}
		if err := send(stream, &hansev1.AttachRequest{Message: m}); err != nil {
			return err
		}
	}
	*known = now
	return nil
}

func (c *Client) hear(m *hansev1.AttachResponse) {
	switch m := m.GetMessage().(type) {
	case *hansev1.AttachResponse_Welcome:
		c.setWelcome(true)
		c.cfg.Logger.Info("attached to the agent", "workload", c.cfg.Workload, "cluster", m.Welcome.GetCluster())
		if c.cfg.OnWelcome != nil {
			c.cfg.OnWelcome(model.ClusterName(m.Welcome.GetCluster()), m.Welcome.GetTrustDomain())
		}
	case *hansev1.AttachResponse_Problems:
		if c.cfg.OnProblems != nil {
			c.cfg.OnProblems(m.Problems.GetProblems())
		}
	}
}

func (c *Client) setWelcome(v bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.welcome = v
}

func reportToProto(s said) *hansev1.ProxyReport {
	r := &hansev1.ProxyReport{EnvoyVersion: s.envoyVersion, Acknowledged: &hansev1.Acknowledgement{Set: s.acknowledged}}
	if !s.expiry.IsZero() {
		r.CertificateExpiry = timestamppb.New(s.expiry)
	}
	for _, n := range s.nacks {
		r.Nacks = append(r.Nacks, &hansev1.Nack{TypeUrl: n.TypeURL, Reason: n.Reason, At: timestamppb.New(n.At)})
	}
	return r
}

// send leaves the reason of a broken stream to the receiver, which is told it.
func send(stream hansev1.SiteService_AttachClient, m *hansev1.AttachRequest) error {
	if err := stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

type answer struct {
	message *hansev1.AttachResponse
	err     error
}

// receive reads a stream until it fails, which is the last thing delivered, or until ctx ends.
func receive(ctx context.Context, stream hansev1.SiteService_AttachClient) <-chan answer {
	out := make(chan answer)
	go func() {
		for {
			m, err := stream.Recv()
			select {
			case out <- answer{m, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}
