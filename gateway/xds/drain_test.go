package xds

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// load is calls at a steady rate, whatever becomes of those before.
type load struct {
	mu       sync.Mutex
	count    int
	failures []string
	last     map[string]string
	stop     chan struct{}
	done     sync.WaitGroup
}

// startLoad calls over kept connections of HTTP/1.1 and HTTP/2 and over new connections, and opens TCP sessions.
func startLoad(t *testing.T, f *federation) *load {
	l := &load{last: map[string]string{}, stop: make(chan struct{})}
	h2 := new(http.Protocols)
	h2.SetUnencryptedHTTP2(true)
	kept, two, fresh := &http.Transport{}, &http.Transport{Protocols: h2}, &http.Transport{DisableKeepAlives: true}
	for name, transport := range map[string]*http.Transport{"http/1.1": kept, "http/2": two, "new connections": fresh} {
		t.Cleanup(transport.CloseIdleConnections)
		client := &http.Client{Transport: transport}
		l.every(name, 10*time.Millisecond, func() (string, error) {
			a, err := call(client, "POST", f.url(), "")
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("%d %q", a.status, a.body)
			}
			who, _, _ := strings.Cut(a.body, " ")
			return who, err
		})
	}
	l.every("tcp", 50*time.Millisecond, func() (string, error) { return "", echo(loopback(f.tcp)) })
	t.Cleanup(l.end)
	return l
}

func (l *load) every(name string, pause time.Duration, act func() (who string, err error)) {
	l.done.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-tick.C:
			}
			l.done.Go(func() {
				who, err := act()
				l.mu.Lock()
				defer l.mu.Unlock()
				l.count++
				l.last[name] = who
				if err != nil {
					l.failures = append(l.failures, name+": "+err.Error())
				}
			})
		}
	})
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.done.Wait()
}

// by is a check that the latest calls of all kinds were answered by one server.
func (l *load) by(who string) func() error {
	return func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, name := range []string{"http/1.1", "http/2", "new connections"} {
			if l.last[name] != who {
				return fmt.Errorf("%s is answered by %q", name, l.last[name])
			}
		}
		return nil
	}
}

// more is a check that this many further calls have ended.
func (l *load) more(n int) func() error {
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.count
	}
	enough := count() + n
	return func() error {
		if n := count(); n < enough {
			return fmt.Errorf("%d of %d calls", n, enough)
		}
		return nil
	}
}

// underWay asks an Envoy for what it still does for others.
func (f *federation) underWay(s *snapshot.Snapshot, id string) (UnderWay, error) {
	a, err := call(f.envoys[id].admin, "GET", "http://admin/stats", "")
	stats := map[string]uint64{}
	for line := range strings.Lines(a.body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			stats[name] = n
		}
	}
	return CountUnderWay(workload(s, id).Workload, stats), err
}

func (f *federation) idle(s *snapshot.Snapshot, id string) func() error {
	return func() error {
		u, err := f.underWay(s, id)
		if err == nil && !u.None() {
			err = fmt.Errorf("under way: %+v", u)
		}
		return err
	}
}

// addGateway starts a second gateway of beta and returns where it listens.
func (f *federation) addGateway(id string) route.Endpoint {
	f.t.Helper()
	port := freePort(f.t)
	f.far.Workloads = append(f.far.Workloads, &snapshot.Workload{
		Workload: model.Workload{ID: id, Gateway: &model.WorkloadGateway{Bind: loopback(port)}},
	})
	f.start(findEnvoy(f.t), seal(f.far), id, f.beta, paymentsID)
	return endpoint("127.0.0.1", port)
}

// behind makes these the endpoints behind beta's gateways.
func (f *federation) behind(endpoints ...route.Endpoint) {
	f.t.Helper()
	for _, p := range f.far.Passthrough {
		p.Endpoints = endpoints
	}
	f.push(f.far, "gate")
	f.push(f.far, "gate-2")
}

// TestDrainsLoseNoCall drains a server and a gateway under calls as hanse proxy does, and kills their Envoys once nothing is under way.
func TestDrainsLoseNoCall(t *testing.T) {
	f := startFederation(t)
	other := f.addGateway("gate-2")
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	eventually(t, "call through the gateway", expect(client, "GET", f.url(), 200, "first"))
	eventually(t, "tcp", func() error { return echo(loopback(f.tcp)) })
	open, said := session(t, loopback(f.tcp))
	calls := startLoad(t, f)
	eventually(t, "all by the first", calls.by("first"))
	t.Run("workload", func(t *testing.T) {
		first, second := endpoint("127.0.0.1", f.inbound[0]), endpoint("127.0.0.1", f.inbound[1])
		if _, err := call(f.envoys["server-0"].admin, "POST", "http://admin/healthcheck/fail", ""); err != nil {
			t.Fatal(err)
		}
		first.Healthy = false
		f.behind(first, second)
		eventually(t, "all by the second", calls.by("second"))
		if u, err := f.underWay(f.far, "server-0"); err != nil || u.Sessions != 1 {
			t.Errorf("an open TCP session is not seen: %+v, %v", u, err)
		}
		talk(t, open, said)
		eventually(t, "nothing under way", f.idle(f.far, "server-0"))
		f.behind(second)
		if err := f.envoys["server-0"].run.Kill(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("gateway", func(t *testing.T) {
		if u, err := f.underWay(f.far, "gate"); err != nil || u.Sessions == 0 {
			t.Errorf("connections that are passed on are not seen: %+v, %v", u, err)
		}
		for _, sp := range f.site.Services {
			sp.Assignments[0].Assignment.Priorities = []route.Priority{one(group("beta", "us", other))}
		}
		f.push(f.site, "web")
		eventually(t, "no connection left", f.idle(f.far, "gate"))
		if err := f.envoys["gate"].run.Kill(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "calls without it", calls.more(50))
	})
	calls.end()
	if n := len(calls.failures); n > 0 {
		t.Errorf("%d calls failed: %q", n, slices.Compact(calls.failures[:min(n, 10)]))
	}
}

// talk ends an open TCP session in good order.
func talk(t *testing.T, conn io.WriteCloser, said *bufio.Reader) {
	t.Helper()
	if _, err := io.WriteString(conn, "still here\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := said.ReadString('\n'); line != "still here\n" {
		t.Errorf("the session of a server that drains: %q, %v", line, err)
	}
	_ = conn.Close()
}
