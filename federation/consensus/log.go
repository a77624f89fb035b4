package consensus

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// raftLogger is what raft and its log on disk write to.
type raftLogger = hclog.Logger

// newLogger passes raft's messages on to slog.
func newLogger(to *slog.Logger, now func() time.Time) raftLogger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard})
	l.RegisterSink(&sink{to: to, now: now, told: map[string]time.Time{}})
	return l
}

// tellAgain is how often raft's complaint about one peer is passed on: it repeats it with every attempt to reach a peer that is away.
const tellAgain = time.Minute

// attempts are the messages that raft repeats, with the peer as their first argument.
var attempts = []string{"failed to heartbeat to", "failed to appendEntries to"}

type sink struct {
	to  *slog.Logger
	now func() time.Time

	mu sync.Mutex
	// told is when an attempt was last told of, by message and peer: as many as the group ever had peers.
	told map[string]time.Time
}

// level lowers what was told of a short while ago.
func (s *sink) level(level slog.Level, msg string, args []any) slog.Level {
	if len(args) < 2 || !slices.Contains(attempts, msg) {
		return level
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, now := fmt.Sprint(msg, args[1]), s.now()
	if last, ok := s.told[key]; ok && now.Sub(last) < tellAgain {
		return slog.LevelDebug
	}
	s.told[key] = now
	return level
}

// Accept takes one message of raft.
func (s *sink) Accept(name string, level hclog.Level, msg string, args ...any) {
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	s.to.Log(context.Background(), s.level(slogLevel(level), msg, args), msg, append(args, "part", "raft"+name)...)
}

func slogLevel(l hclog.Level) slog.Level {
	switch l {
	case hclog.Error:
		return slog.LevelError
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Info:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}
