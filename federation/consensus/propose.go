package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hanse-mesh/hanse/federation/state"
)

var (
	// ErrNotLeader means that only the leader can do this; nothing was written. See NotLeaderError.
	ErrNotLeader = errors.New("this node is not the leader")
	// ErrNoQuorum means that there is no leader, or that it does not take commands; nothing was written.
	ErrNoQuorum = errors.New("the federation has no quorum: too few of its nodes reach each other")
	// ErrUnknownOutcome means that the command may have been written or may be yet: look at the state before repeating it.
	ErrUnknownOutcome = errors.New("the outcome is unknown")
)

// NotLeaderError says who leads. It is ErrNotLeader, and ErrNoQuorum too when no leader is known.
type NotLeaderError struct{ Leader, Address string }

// Error names the leader and its raft address.
func (e *NotLeaderError) Error() string {
	if e.Leader == "" {
		return "this node is not the leader and knows of none: the federation has no quorum, or is electing"
	}
	return fmt.Sprintf("this node is not the leader: %s at %s is", e.Leader, e.Address)
}

// Is makes errors.Is find the sentinel errors.
func (e *NotLeaderError) Is(target error) bool {
	return target == ErrNotLeader || target == ErrNoQuorum && e.Leader == ""
}

// proposeTimeout bounds how long a command waits to be taken up when the context has no end.
const proposeTimeout = 5 * time.Second

// Propose has the command written by a quorum and applied here, and returns what it did. A refusal by the state comes out as a
// *state.Error. When it returns, View shows the change.
//
// Errors are ErrNotLeader and ErrNoQuorum (nothing was written) and ErrUnknownOutcome.
func (n *Node) Propose(ctx context.Context, c state.Command) (state.Result, error) {
	return n.Write(ctx, state.Entry{Command: c})
}

// Write is Propose for a command that is somebody's request, or that has conditions. Version and time of the entry are set here.
func (n *Node) Write(ctx context.Context, e state.Entry) (state.Result, error) {
	e, err := e.Versioned(n.View().CommandVersion())
	if err != nil {
		return state.Result{}, err
	}
	e.At = n.cfg.Clock.Now()
	data, err := state.MarshalEntry(e)
	if err != nil {
		return state.Result{}, err
	}
	var future raft.ApplyFuture
	err = n.submit(ctx, func(timeout time.Duration) raft.Future {
		future = n.raft.Apply(data, timeout)
		return future
	})
	if err != nil {
		return state.Result{}, err
	}
	switch r := future.Response().(type) {
	case state.Result:
		return r, r.Err
	case error:
		return state.Result{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, r)
	default:
		return state.Result{}, fmt.Errorf("%w: the state answered %T", ErrUnknownOutcome, r)
	}
}

// Barrier returns when everything that was committed before the call is applied here, and this node was the leader meanwhile: a View
// taken after it is linearizable. Errors are as for Propose.
func (n *Node) Barrier(ctx context.Context) error {
	return n.submit(ctx, n.raft.Barrier)
}

// AddVoter makes the node a voter, or changes its address. Errors are as for Propose.
func (n *Node) AddVoter(ctx context.Context, name, address string) error {
	return n.submit(ctx, func(timeout time.Duration) raft.Future {
		return n.raft.AddVoter(raft.ServerID(name), raft.ServerAddress(address), 0, timeout)
	})
}

// AddReplica makes the node a member without a vote, or changes its address; it takes no vote away. Errors are as for Propose.
func (n *Node) AddReplica(ctx context.Context, name, address string) error {
	return n.submit(ctx, func(timeout time.Duration) raft.Future {
		return n.raft.AddNonvoter(raft.ServerID(name), raft.ServerAddress(address), 0, timeout)
	})
}

// RemoveServer takes the node out of the group; it is no error when it is not in it. Errors are as for Propose.
func (n *Node) RemoveServer(ctx context.Context, name string) error {
	return n.submit(ctx, func(timeout time.Duration) raft.Future {
		return n.raft.RemoveServer(raft.ServerID(name), 0, timeout)
	})
}

// submit bridges from futures, which know no context. Its goroutine ends with the future: on a commit or a lost leadership. Raft
// leaves what is under way at its shutdown without an answer, so Run shuts the gate and waits for all answers first.
func (n *Node) submit(ctx context.Context, start func(timeout time.Duration) raft.Future) error {
	if !n.IsLeader() {
		return n.notLeader()
	}
	if !n.gate.TryRLock() {
		return fmt.Errorf("%w: it is stopping", ErrNotLeader)
	}
	done := make(chan error, 1)
	go func() {
		defer n.gate.RUnlock()
		done <- start(timeoutOf(ctx)).Error()
	}()
	select {
	case err := <-done:
		return n.translate(err)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, context.Cause(ctx))
	case <-n.failed:
		return fmt.Errorf("%w: this node has failed", ErrUnknownOutcome)
	}
}

func (n *Node) notLeader() error {
	name, address, _ := n.Leader()
	return &NotLeaderError{Leader: name, Address: address}
}

func (n *Node) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return n.notLeader()
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrNoQuorum
	default:
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
}

// timeoutOf is how long a command may wait to be taken up. An ended context leaves it a moment, as zero would mean for ever.
func timeoutOf(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return proposeTimeout
	}
	return min(proposeTimeout, max(time.Millisecond, time.Until(deadline)))
}
