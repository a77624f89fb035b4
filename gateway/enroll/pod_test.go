package enroll

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// cluster accepts one token, which may change.
type cluster struct {
	accepted atomic.Pointer[string]
	reviews  atomic.Int64
}

func (c *cluster) Review(_ context.Context, token string) (model.Pod, error) {
	c.reviews.Add(1)
	if token != *c.accepted.Load() {
		return model.Pod{}, status.Error(codes.Unauthenticated, "the API server does not accept the service-account token")
	}
	return model.Pod{Namespace: "shop", ServiceAccount: "till", Name: "cart-1", UID: "u"}, nil
}

func (*cluster) Serves(model.Pod, model.ServiceKey) (serves, known bool) { return true, true }
func (*cluster) Locality(string) (model.Locality, bool)                  { return model.Locality{}, false }

func (c *cluster) accept(token string) { c.accepted.Store(&token) }

func newPodAgent(t *testing.T) (*agent, *cluster) {
	t.Helper()
	c := &cluster{}
	c.accept("first")
	return newAgentOf(t, c), c
}

// inPod is the proxy of a pod whose token is what read says.
func (a *agent) inPod(read func() (string, error), change func(*Config)) *proxy {
	return a.proxy(func(c *Config) {
		c.Workload, c.ServiceAccountToken = model.PodWorkloadID("shop", "cart-1"), read
		if change != nil {
			change(c)
		}
	})
}

func always(token string) func() (string, error) {
	return func() (string, error) { return token, nil }
}

func TestAPodEnrolsWithItsToken(t *testing.T) {
	a, _ := newPodAgent(t)
	p := a.inPod(always("first"), nil)
	if err := p.Ensure(a.ctx); err != nil {
		t.Fatal(err)
	}
	receiveFrom(t, a.ctx, p.certificates)
	a.background(p.attaching(payments()))
	a.next()
	if u := a.next(); len(u.Upserts) != 1 || u.Upserts[0].ID != "shop--cart-1" || u.Upserts[0].ServiceAccount != "till" {
		t.Errorf("%+v", u)
	}
}

// TestAPodWaitsForATokenThatCounts goes on after refusals and after a file that is not there; each attempt reads it anew.
func TestAPodWaitsForATokenThatCounts(t *testing.T) {
	a, _ := newPodAgent(t)
	answers := make(chan string, 3)
	answers <- ""
	answers <- "expired"
	answers <- "first"
	p := a.inPod(func() (string, error) {
		token := <-answers
		if token == "" {
			return "", os.ErrNotExist
		}
		return token, nil
	}, nil)
	if err := p.Ensure(a.ctx); err != nil {
		t.Fatal(err)
	}
	if err := receiveFrom(t, a.ctx, p.rejections); status.Code(err) != codes.Unauthenticated {
		t.Errorf("told %v", err)
	}
	if len(p.rejections) != 0 {
		t.Error("a file that is not there yet counts as a refusal")
	}
}

func TestAPodThatIsRefusedWaitsUntilItIsTold(t *testing.T) {
	a, _ := newPodAgent(t)
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	p := a.inPod(always("first"), func(c *Config) { c.Workload = "shop--another" })
	done := make(chan error, 1)
	go func() { done <- p.Ensure(ctx) }()
	for range 2 {
		if err := receiveFrom(t, a.ctx, p.rejections); status.Code(err) != codes.InvalidArgument {
			t.Errorf("told %v", err)
		}
	}
	cancel()
	if err := receiveFrom(t, a.ctx, done); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v, which is not the reason", err)
	}
}

// TestAnAgentThatHasForgottenAPodIsShownItsTokenAgain starts an agent with an empty disk, as a new pod has.
func TestAnAgentThatHasForgottenAPodIsShownItsTokenAgain(t *testing.T) {
	a, cluster := newPodAgent(t)
	p := a.inPod(func() (string, error) { return *cluster.accepted.Load(), nil }, nil)
	if err := p.Ensure(a.ctx); err != nil {
		t.Fatal(err)
	}
	a.background(p.attaching(payments()))
	a.next()
	a.next()
	receiveFrom(t, a.ctx, p.welcomes)
	a.stop()
	a.dir = t.TempDir()
	cluster.accept("second")
	a.start()
	receiveFrom(t, a.ctx, p.welcomes)
	if n := cluster.reviews.Load(); n != 2 {
		t.Errorf("%d tokens were reviewed", n)
	}
	if len(p.rejections) != 0 {
		t.Errorf("the proxy took itself for refused: %v", <-p.rejections)
	}
}

// TestRenewalEnrolsAnewWhereThePodIsForgotten has nobody attached, so that the renewal finds out first.
func TestRenewalEnrolsAnewWhereThePodIsForgotten(t *testing.T) {
	a, cluster := newPodAgent(t)
	c := clock.NewFake(time.Now())
	p := a.inPod(always("first"), func(cfg *Config) { cfg.Clock = c })
	if err := p.Ensure(a.ctx); err != nil {
		t.Fatal(err)
	}
	receiveFrom(t, a.ctx, p.certificates)
	a.stop()
	a.dir = t.TempDir()
	a.start()
	a.background(p.RunRenewal)
	a.advance(c, 10*time.Hour, func() bool { return len(p.certificates) > 0 })
	receiveFrom(t, a.ctx, p.certificates)
	if n := cluster.reviews.Load(); n != 2 {
		t.Errorf("%d tokens were reviewed", n)
	}
}
