package xds

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// session opens a TCP session and reads the banner.
func session(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(conn)
	if banner, err := r.ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", banner, err)
	}
	return conn, r
}

// ended waits for the other side to close a session.
func ended(r io.Reader) error {
	_, err := r.Read(make([]byte, 1))
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the session goes on")
	}
	return nil
}

func testWithdrawn(t *testing.T, f *federation) {
	sni := model.PassthroughSNI(payments, 8080)
	kept, keptReader := session(t, loopback(f.tcp))
	gone, err := tls.Dial("tcp", loopback(f.gate), f.alpha.dialer(t, sni, webID))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gone.Close() }()
	_ = gone.SetDeadline(time.Now().Add(20 * time.Second))
	all := f.far.Passthrough
	f.far.Passthrough = slices.DeleteFunc(slices.Clone(all), func(p *snapshot.Passthrough) bool { return p.SNI == sni })
	f.push(f.far, "gate")
	if err := ended(gone); err != nil {
		t.Errorf("withdrawn: %v", err)
	}
	_, _ = io.WriteString(kept, "still here\n")
	if line, err := keptReader.ReadString('\n'); line != "still here\n" {
		t.Errorf("another SNI's session: %q, %v", line, err)
	}
	f.far.Passthrough = all
	f.push(f.far, "gate")
	eventually(t, "exported again", func() error {
		conn, err := tls.Dial("tcp", loopback(f.gate), f.alpha.dialer(t, sni, webID))
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

// testFrozen stops the gateway's Envoy: its kernel still accepts connections and acknowledges bytes. No safe call may fail, and an open
// TCP session must end, so that its owner can open another.
func testFrozen(t *testing.T, f *federation, client *http.Client) {
	gate, second := endpoint("127.0.0.1", f.gate), endpoint("127.0.0.1", f.inbound[1])
	gate.Gateway = true
	db := service(f.site, payments, 5432)
	db.Assignments[0].Assignment.Priorities = []route.Priority{one(group("beta", "us", gate)), one(group("beta", "ap", second))}
	f.reach(gate, second)
	f.well("web", 2, gate, second)
	eventually(t, "call through the gateway", expect(client, "GET", f.url(), 200, "first"))
	_, open := session(t, loopback(f.tcp))
	if err := f.envoys["gate"].run.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.envoys["gate"].run.Signal(syscall.SIGCONT) }()
	for range 200 {
		if err := expect(client, "GET", f.url(), 200, "")(); err != nil {
			t.Fatalf("a call while the gateway is frozen: %v", err)
		}
	}
	if err := ended(open); err != nil {
		t.Errorf("tcp: %v", err)
	}
	eventually(t, "tcp call elsewhere", func() error { return echo(loopback(f.tcp)) })
	if err := f.envoys["gate"].run.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gateway is used again", expect(client, "GET", f.url(), 200, "first"))
}

// testUnready has the Envoy of a workload told that it is not ready: its calls are answered by another at once, POSTs too, on the
// connection that stands. When both are told so, calls go on.
func testUnready(t *testing.T, f *federation, client *http.Client) {
	set := func(id, value string) {
		t.Helper()
		a, err := call(f.envoys[id].admin, "POST", "http://admin/runtime_modify?"+UnreadyKey+"="+value, "")
		if err != nil || a.status != 200 {
			t.Fatalf("%s is told %s: %+v, %v", id, value, a, err)
		}
	}
	set("server-0", "100")
	for range 50 {
		if err := expect(client, "POST", f.url(), 200, "second")(); err != nil {
			t.Fatalf("one of two is not ready: %v", err)
		}
	}
	set("server-1", "100")
	for range 50 {
		if err := expect(client, "POST", f.url(), 200, "")(); err != nil {
			t.Fatalf("neither is ready: %v", err)
		}
	}
	set("server-0", "0")
	set("server-1", "0")
	eventually(t, "the first is used again", expect(client, "POST", f.url(), 200, "first"))
}

// testFrozenWorkload stops one of two workloads behind a gateway: the gateway is not judged by it, sessions to the other go on, and new
// ones are not lost to it.
func testFrozenWorkload(t *testing.T, f *federation) {
	gate := endpoint("127.0.0.1", f.gate)
	gate.Gateway = true
	service(f.site, payments, 5432).Assignments[0].Assignment.Priorities = []route.Priority{one(group("beta", "us", gate))}
	f.push(f.site, "web")
	f.well("web", 2, gate)
	open, reader := session(t, loopback(f.tcp))
	for _, p := range f.far.Passthrough {
		p.Endpoints = append(p.Endpoints, endpoint("127.0.0.1", f.inbound[1]))
	}
	f.push(f.far, "gate")
	if err := f.envoys["server-1"].run.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.envoys["server-1"].run.Signal(syscall.SIGCONT) }()
	passed := f.stat("web", "cluster.p_5432_payments_shop.health_check.success")
	eventually(t, "six more checks pass", func() error {
		if n := f.stat("web", "cluster.p_5432_payments_shop.health_check.success") - passed; n < 6 {
			return fmt.Errorf("%d so far", n)
		}
		return nil
	})
	_, _ = io.WriteString(open, "still here\n")
	if line, err := reader.ReadString('\n'); line != "still here\n" {
		t.Errorf("a session to the other workload: %q, %v", line, err)
	}
	eventually(t, "the gateway leaves it", func() error {
		if n := f.stat("gate", "cluster.p_5432_payments_shop.membership_healthy"); n != 1 {
			return fmt.Errorf("%d workloads are healthy", n)
		}
		return nil
	})
	lost := f.stat("web", "cluster.p_5432_payments_shop.upstream_cx_connect_fail")
	for range 10 {
		if err := echo(loopback(f.tcp)); err != nil {
			t.Error(err)
		}
	}
	if n := f.stat("web", "cluster.p_5432_payments_shop.upstream_cx_connect_fail") - lost; n > 0 {
		t.Errorf("%d connections were lost to the frozen workload", n)
	}
}

// stat reads one of an Envoy's statistics.
func (f *federation) stat(id, name string) int {
	f.t.Helper()
	a, err := call(f.envoys[id].admin, "GET", "http://admin/stats?filter=^"+name+"$", "")
	if err != nil {
		f.t.Fatal(err)
	}
	_, text, _ := strings.Cut(strings.TrimSpace(a.body), ": ")
	n, err := strconv.Atoi(text)
	if err != nil {
		f.t.Fatalf("%s: %q: %v", name, a.body, err)
	}
	return n
}

// well waits until an Envoy finds these endpoints healthy in that many clusters each.
func (f *federation) well(id string, clusters int, endpoints ...route.Endpoint) {
	f.t.Helper()
	eventually(f.t, id+" finds its endpoints well", func() error {
		a, err := call(f.envoys[id].admin, "GET", "http://admin/clusters", "")
		for _, e := range endpoints {
			at := address{host: e.Address, port: e.Port}.String()
			if n := strings.Count(a.body, "::"+at+"::health_flags::healthy"); err == nil && n != clusters {
				err = fmt.Errorf("%s is healthy in %d clusters", at, n)
			}
		}
		return err
	})
}
