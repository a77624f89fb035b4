package consensus

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestAttemptsAtAnAbsentPeerAreToldOncePerMinute(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1000, 0)
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)), func() time.Time { return now })
	told := func() int { return strings.Count(out.String(), attempts[0]) }

	for range 5 {
		l.Error(attempts[0], "peer", "a:1", "error", "refused")
	}
	if told() != 1 {
		t.Fatalf("five attempts at one peer were told of %d times, not once", told())
	}
	l.Error(attempts[0], "peer", "b:1", "error", "refused")
	if told() != 2 {
		t.Fatal("another peer's trouble was not told")
	}
	now = now.Add(tellAgain)
	l.Error(attempts[0], "peer", "a:1", "error", "refused")
	if told() != 3 {
		t.Fatal("trouble that lasts was not told again")
	}
	l.Error("something else", "peer", "a:1")
	l.Error("something else", "peer", "a:1")
	if n := strings.Count(out.String(), "something else"); n != 2 {
		t.Fatalf("another message was told %d times, not twice", n)
	}
}
