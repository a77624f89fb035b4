package main

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// following runs a command in its own goroutine and waits for what it writes.
type following struct {
	t     *testing.T
	out   *lockedBuffer
	piece chan struct{}
	end   context.CancelFunc
	done  chan error
}

func follow(t *testing.T, line string) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &following{t: t, piece: make(chan struct{}, 1), end: cancel, done: make(chan error, 1)}
	f.out = &lockedBuffer{wrote: func() {
		select {
		case f.piece <- struct{}{}:
		default:
		}
	}}
	root := newRootCommand()
	root.SetOut(f.out)
	root.SetErr(f.out)
	root.SetArgs(words(t, line)[1:])
	go func() { f.done <- root.ExecuteContext(ctx) }()
	return f
}

// await returns when the command has written the text.
func (f *following) await(text string) {
	f.t.Helper()
	ctx := patience(f.t)
	for !strings.Contains(f.out.String(), text) {
		select {
		case <-f.piece:
		case err := <-f.done:
			f.t.Fatalf("it ended before it wrote %q: %v\n%s", text, err, f.out)
		case <-ctx.Done():
			f.t.Fatalf("it has not written %q:\n%s", text, f.out)
		}
	}
}

// interrupt ends the command and returns all that it has written.
func (f *following) interrupt() string {
	f.t.Helper()
	f.end()
	if err := <-f.done; !errors.Is(err, context.Canceled) {
		f.t.Errorf("interrupted, it ends with %v", err)
	}
	return f.out.String()
}

func (s *session) must(line string) {
	s.t.Helper()
	if did := s.run(s.t.Context(), line); did.failure != nil {
		s.t.Fatalf("%s: %v", line, did.failure)
	}
}

// Each watch has a federation of its own: of several a node lets each rest, by a clock that stands still here.

func TestPoliciesAreFollowedAsTheyAreWritten(t *testing.T) {
	s := newSession(t)
	s.must("hanse apply -f policies.yaml")
	f := follow(t, "hanse get exportrules --watch")
	f.await("present  shop-everywhere")
	s.must("hanse apply -f policies --set shop")
	f.await("added    bank")
	s.must("hanse apply -f shop-only.yaml --set shop --prune")
	f.await("deleted  bank")
	f.await("changed  shop ")
	if text := f.interrupt(); strings.Count(text, "CHANGE") != 1 || strings.Count(text, "deleted") != 1 {
		t.Errorf("it shows\n%s", text)
	}
}

func TestALabelChoosesWhatIsFollowed(t *testing.T) {
	s := newSession(t)
	s.must("hanse apply -f policies.yaml")
	s.must("hanse apply -f policies --set shop")
	f := follow(t, "hanse get exportrules --watch -l hanse.dev/set=shop -o json")
	f.await(`"name":"bank"`)
	// Without its label it is not followed any more.
	s.must("hanse apply -f policies")
	f.await(`"event":"delete"`)
	if text := f.interrupt(); strings.Contains(text, "shop-everywhere") {
		t.Errorf("it shows\n%s", text)
	}
}

// What the log holds of a member is a part of what is shown of it.
func TestMembersAreFollowedWithWhatTheyPublish(t *testing.T) {
	s := newSession(t)
	f := follow(t, "hanse get clusters --watch")
	f.await("present  us")
	if text := f.out.String(); !strings.Contains(text, "present  eu       eu      eu.example.org  2s") {
		t.Errorf("it shows\n%s", text)
	}
	s.must("hanse leave us --yes")
	f.await("deleted  us")
	f.interrupt()
}

func TestEventsAreFollowed(t *testing.T) {
	newSession(t)
	f := follow(t, "hanse events --watch")
	f.await("node n2 does not answer")
	f.interrupt()
}
