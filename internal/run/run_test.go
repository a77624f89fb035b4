package run

import (
	"context"
	"errors"
	"testing"
)

func TestFirstErrorEndsAll(t *testing.T) {
	boom := errors.New("boom")
	ended := make(chan struct{})
	err := Group(context.Background(),
		func(context.Context) error { return boom },
		func(ctx context.Context) error {
			<-ctx.Done()
			close(ended)
			return ctx.Err()
		})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v, want the first error", err)
	}
	select {
	case <-ended:
	default:
		t.Fatal("Group returned before every task had ended")
	}
}

func TestFinishedTaskLeavesOthersRunning(t *testing.T) {
	first := make(chan struct{})
	err := Group(context.Background(),
		func(context.Context) error { close(first); return nil },
		func(ctx context.Context) error {
			<-first
			return ctx.Err()
		})
	if err != nil {
		t.Fatalf("a task that finished cancelled the others: %v", err)
	}
}
