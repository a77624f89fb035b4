package uplink

import (
	"context"
	"time"

	"github.com/hanse-mesh/hanse/internal/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	minPause = 100 * time.Millisecond
	maxPause = 2 * time.Second
	// deniedPause follows when nodes agree that this cluster is no member; one alone may only be behind.
	deniedPause = 30 * time.Second
	deniedLimit = 3
	// steady is how long a session lasts that ends the growth of pauses: a node that accepts and hangs up is no success.
	steady = 10 * time.Second
)

// Run keeps a session with one of the servers until ctx ends, and then returns nil.
func (u *Uplink) Run(ctx context.Context) error {
	pause := backoff.Backoff{Min: minPause, Max: maxPause}
	var round []string
	var lastGood string
	denied := 0
	for ctx.Err() == nil {
		if len(round) == 0 {
			round = attempts(u.cfg.Servers(), lastGood)
		}
		if len(round) == 0 {
			u.cfg.Logger.Warn("no federation node is known")
			u.sleep(ctx, pause.Next())
			continue
		}
		address := round[0]
		round = round[1:]
		began := u.cfg.Clock.Now()
		welcomed, err := u.session(ctx, address)
		if ctx.Err() != nil {
			break
		}
		if welcomed {
			lastGood, round = address, nil
			if u.cfg.Clock.Now().Sub(began) >= steady {
				pause.Reset()
			}
		}
		wait := pause.Next()
		if status.Code(err) != codes.PermissionDenied {
			denied = 0
		} else if denied++; denied >= max(deniedLimit, len(u.cfg.Servers())) {
			wait = deniedPause
			u.cfg.Logger.Error("the federation refuses this cluster; was it removed? join again with a new token", "cluster", u.cfg.Cluster)
		}
		u.cfg.Logger.Warn("federation session ended", "address", address, "error", err, "retry_in", wait)
		u.sleep(ctx, wait)
	}
	return nil
}

func (u *Uplink) sleep(ctx context.Context, d time.Duration) {
	t := u.cfg.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
	case <-ctx.Done():
	}
}
