package gossip

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/memberlist"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/federation/overlay"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// planned is a mesh among peers that welcome it when they are told to.
type planned struct {
	*Mesh
	world *world
}

func (w *world) planned(degree int) planned {
	p := planned{Mesh: w.mesh("self"), world: w}
	p.degree = degree
	ctx, cancel := context.WithCancel(w.ctx)
	var tasks sync.WaitGroup
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-p.events:
				p.replan(ctx, &tasks)
			}
		}
	}()
	w.Cleanup(func() { cancel(); <-done; tasks.Wait() })
	return p
}

// meet adds a peer that welcomes nobody until the channel is closed.
func (p planned) meet(name string, welcomes <-chan struct{}) {
	p.world.Helper()
	address, _ := p.world.serve(func(stream hansev1.NodeService_SyncServer) error {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		select {
		case <-welcomes:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
		if err := stream.Send(welcome(2)); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	})
	p.note(name, "127.0.0.1:1", meta{GRPC: address}, true)
	p.plan()
}

// connected are the peers to which there is a stream.
func (p planned) connected() []string {
	var out []string
	for _, peer := range p.Peers() {
		if peer.Connected {
			out = append(out, peer.Name)
		}
	}
	return out
}

func (p planned) overlay(names ...string) []string {
	members := []overlay.Member{{Name: "self", Alive: true}}
	for _, name := range names {
		members = append(members, overlay.Member{Name: name, Alive: true})
	}
	return overlay.Follow("self", members, p.degree)
}

func TestTheOldStreamStaysUntilTheNewOneIsWelcomed(t *testing.T) {
	w := newWorld(t)
	p := w.planned(2)
	var names []string
	at := make(chan struct{})
	close(at)
	for i := range 5 {
		names = append(names, fmt.Sprint("n", i))
		p.meet(names[i], at)
	}
	before := p.overlay(names...)
	w.await("it follows whom the overlay names", func() bool { return slices.Equal(p.connected(), before) })
	// Another one comes whose place is that of one of those.
	late := ""
	for i := 5; late == ""; i++ {
		if name := fmt.Sprint("n", i); slices.Contains(p.overlay(append(names, name)...), name) {
			late = name
		}
	}
	after := p.overlay(append(names, late)...)
	welcomes := make(chan struct{})
	p.meet(late, welcomes)
	w.await("the late one is tried", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.peers[late].pursuit != nil })
	if got := p.connected(); len(got) < 2 {
		t.Fatalf("before it is welcomed it follows %v, before that %v", got, before)
	}
	close(welcomes)
	w.await("it follows whom the overlay names now", func() bool { return slices.Equal(p.connected(), after) })
}

func TestOthersAreFollowedForThoseThatCannotBeReached(t *testing.T) {
	w := newWorld(t)
	now := clock.NewFake(w.began)
	m := w.mesh("self", func(c *Config) { c.Clock = now })
	m.degree = 3
	for i := range 10 {
		m.note(fmt.Sprint("n", i), "127.0.0.1:1", meta{GRPC: "127.0.0.1:1"}, true)
	}
	planned, lost := m.wanted(), ""
	for name := range planned {
		m.peers[name].pursuit = &pursuit{cancel: func() {}, since: now.Now()}
		m.setConnected(name, false)
		lost = name
	}
	if got := m.wanted(); len(got) != 3 {
		t.Fatalf("just begun: %v", got)
	}
	now.Advance(unreachableAfter)
	m.setConnected(lost, false)
	got := m.wanted()
	for name := range planned {
		if !got[name] {
			t.Errorf("%s is given up: %v", name, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("instead of %s, which cannot be reached, others are followed: %v", lost, got)
	}
	m.setConnected(lost, true)
	if got := m.wanted(); len(got) != 3 {
		t.Errorf("after it was reached: %v", got)
	}
}

func TestTheDeadAreForgottenAfterLong(t *testing.T) {
	w := newWorld(t)
	now := clock.NewFake(w.began)
	m := w.mesh("self", func(c *Config) { c.Clock = now })
	m.note("dead", "127.0.0.1:1", meta{GRPC: "127.0.0.1:1"}, false)
	now.Advance(forgetAfter)
	m.replan(w.ctx, nil)
	if p := m.Peers(); len(p) != 1 {
		t.Fatalf("after %v: %v", forgetAfter, p)
	}
	now.Advance(1)
	m.replan(w.ctx, nil)
	if p := m.Peers(); len(p) != 0 {
		t.Fatalf("after more than %v: %v", forgetAfter, p)
	}
}

func TestTwoNodesOfOneNameAreTold(t *testing.T) {
	w := newWorld(t)
	a := w.start("a")
	twins := []*node{w.start("twin"), w.start("twin")}
	address := func(n *node) string { return fmt.Sprintf("127.0.0.1:%d", n.list.AdvertisePort) }
	w.await("the names' conflict is told with both addresses and what to do", func() bool {
		return w.hasLogged("level=ERROR", "one name", "--name", "node=twin", address(twins[0]), address(twins[1]))
	})
	w.await("a goes on with one of them", func() bool { return a.sees("twin").Alive })
}

func TestAConflictIsToldOnceAMinute(t *testing.T) {
	w := newWorld(t)
	now := clock.NewFake(w.began)
	m := w.mesh("a", func(c *Config) { c.Clock = now })
	tell := func(port uint16) {
		delegate{m}.NotifyConflict(&memberlist.Node{Name: "b", Port: 1}, &memberlist.Node{Name: "b", Port: port})
	}
	for range 5 {
		tell(2)
	}
	tell(3)
	if n := len(w.logged()); n != 2 {
		t.Errorf("%d lines of two conflicts", n)
	}
	now.Advance(conflictEvery)
	tell(2)
	if n := len(w.logged()); n != 3 || len(m.conflicts.told) != 1 {
		t.Errorf("%d lines, %d remembered", n, len(m.conflicts.told))
	}
}
