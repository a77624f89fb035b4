package xds

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// TestPods shows that real Envoys call workloads that have none. Its parts build on each other, because each Envoy costs a process.
func TestPods(t *testing.T) {
	p := startPods(t)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	eventually(t, "call through the gateway that answers for the pods", expect(client, "GET", p.url(), 200, "far-"))
	t.Run("calls of one connection are spread, and say who calls", func(t *testing.T) {
		if by := p.calls(client, "POST", 40); by["far-1"] < 5 || by["far-2"] < 5 {
			t.Errorf("spread %v", by)
		}
		a, err := call(client, "GET", p.url(), "payments")
		if err != nil || !strings.Contains(a.body, "URI=spiffe://alpha.acme/ns/hanse-system/sa/egress") || !strings.Contains(a.body, "host=payments ") || a.header.Get(notReachedHeader) != "" {
			t.Errorf("%+v, %v", a, err)
		}
	})
	t.Run("websocket", func(t *testing.T) { testUpgrade(t, p.at(podPorts[0])) })
	t.Run("tcp", func(t *testing.T) {
		eventually(t, "session", func() error { return echo(p.at(podPorts[1])) })
	})
	t.Run("udp", func(t *testing.T) {
		eventually(t, "datagram", asked(p.at(udpPort), "far-"))
		for range 10 {
			if err := asked(p.at(udpPort), "far-")(); err != nil {
				t.Errorf("the first datagram of a session is lost: %v", err)
			}
		}
	})
	t.Run("http2", func(t *testing.T) {
		eventually(t, "call", expect(client, "POST", "http://"+p.at(h2Port)+"/", 200, "by HTTP/2.0"))
	})
	t.Run("pods are rolled", func(t *testing.T) { testRolled(t, p) })
	t.Run("strangers", func(t *testing.T) { testStrangers(t, p) })
	t.Run("a pod that dies", func(t *testing.T) { testPodDies(t, p, client) })
	t.Run("pods of the own cluster", func(t *testing.T) { testOwnPods(t, p, client) })
	t.Run("own Envoys come first", func(t *testing.T) { testPassedFirst(t, p, client) })
	t.Run("a frozen gateway", func(t *testing.T) { testFrozenTerminator(t, p, client) })
	t.Run("one client address, one pod", func(t *testing.T) { testAffinity(t, p) })
}

// testStrangers calls pods as who may not: under no certificate, under another root, and as a member that no rule names.
func testStrangers(t *testing.T, p *pods) {
	at := loopback(p.gate)
	for _, port := range podPorts {
		sni := model.TerminatedSNI(payments, port)
		anonymous := tls.Dialer{Config: &tls.Config{ServerName: sni, InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
		if line, err := firstLine(func(ctx context.Context) (net.Conn, error) { return anonymous.DialContext(ctx, "tcp", at) }); err == nil {
			t.Errorf("%s without a certificate: heard %q", sni, line)
		}
	}
	sni := model.TerminatedSNI(payments, podPorts[0])
	for name, c := range map[string]struct {
		by   *authority
		uris []string
		want int
	}{
		"permitted":           {p.alpha, []string{"spiffe://alpha.acme/ns/hanse-system/sa/egress"}, 200},
		"no rule":             {p.gamma, []string{"spiffe://gamma.acme/ns/hanse-system/sa/egress"}, 403},
		"another root":        {newAuthority(t, "alpha.acme"), []string{"spiffe://alpha.acme/ns/hanse-system/sa/egress"}, 0},
		"a second name":       {p.gamma, []string{"spiffe://gamma.acme/x", "spiffe://alpha.acme/x"}, 403},
		"another's name":      {p.gamma, []string{"spiffe://alpha.acme/x"}, 0},
		"names, theirs first": {p.gamma, []string{"spiffe://alpha.acme/x", "spiffe://gamma.acme/x"}, 0},
	} {
		web := &http.Client{Transport: &http.Transport{TLSClientConfig: c.by.dialer(t, sni, c.uris...)}}
		a, err := call(web, "GET", "https://"+at+"/", "")
		web.CloseIdleConnections()
		if (err == nil) != (c.want != 0) || a.status != c.want {
			t.Errorf("http, %s: %+v, %v; want %d", name, a, err, c.want)
		}
		dialer := tls.Dialer{Config: c.by.dialer(t, model.TerminatedSNI(payments, podPorts[1]), c.uris...)}
		line, err := firstLine(func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", at) })
		if (err == nil) != (c.want == 200) {
			t.Errorf("tcp, %s: heard %q, %v", name, line, err)
		}
	}
}

// testRolled replaces pods one by one, each leaving once the gateway has taken it out, while calls go on: none fails, whatever its method.
func testRolled(t *testing.T, p *pods) {
	ctx, stop := context.WithCancel(context.Background())
	failed := make(chan error, 4)
	for range cap(failed) {
		go func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				if err := expect(client, "POST", p.url(), 200, "far-")(); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for i := range 2 {
		old := p.far.Workloads[1+i]
		p.far.Workloads = slices.Clone(p.far.Workloads)
		p.far.Workloads[1+i] = p.pod(fmt.Sprint("far-", 11+i))
		p.push(p.far, "gate")
		eventually(t, old.ID+" is out", func() error {
			a, err := call(p.envoys["gate"].admin, "GET", "http://admin/clusters", "")
			if strings.Contains(a.body, old.Ports[0].Target) {
				err = errors.New("it is in still")
			}
			return err
		})
		p.apps[old.ID].Close()
	}
	stop()
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	for i := range 2 {
		p.apps[fmt.Sprint("far-", 1+i)] = p.apps[fmt.Sprint("far-", 11+i)]
	}
}

// testPodDies closes pods: no call fails, whatever its method, while another pod lives, and the gateway says which calls reached nobody.
func testPodDies(t *testing.T, p *pods, client *http.Client) {
	p.apps["far-1"].Close()
	if by := p.calls(client, "POST", 60); by["far-11"] > 0 {
		t.Errorf("answered by the dead: %v", by)
	}
	p.apps["far-2"].Close()
	eventually(t, "nobody left", expect(client, "POST", p.url(), 503, ""))
	if a, err := call(client, "POST", p.url(), ""); err != nil || a.header.Get(notReachedHeader) != "" {
		t.Errorf("the mesh's header leaves the mesh: %+v, %v", a, err)
	}
	p.near.Workloads = append(p.near.Workloads, p.pod("near-1"))
	p.near.Workloads[1].Locality = model.Locality{Region: "asia"}
	p.push(p.near, "egress")
	eventually(t, "the other cluster", expect(client, "POST", p.url(), 200, "near-1"))
	if by := p.calls(client, "POST", 20); by["near-1"] != 20 {
		t.Errorf("answered by %v", by)
	}
	p.far.Workloads = append(p.far.Workloads[:1:1], p.pod("far-3"), p.pod("far-4"))
	p.push(p.far, "gate")
}

// testOwnPods has calls stay in the cluster while a pod there is ready, directly and in the clear.
func testOwnPods(t *testing.T, p *pods, client *http.Client) {
	p.near.Workloads[1].Locality = here
	p.push(p.near, "egress")
	eventually(t, "own pod", expect(client, "GET", p.url(), 200, "near-1"))
	eventually(t, "no other", func() error {
		for range 20 {
			if err := expect(client, "POST", p.url(), 200, "near-1 host="+p.at(podPorts[0])+" xfcc=")(); err != nil {
				return err
			}
		}
		return nil
	})
	eventually(t, "session", func() error { return echo(p.at(podPorts[1])) })
	eventually(t, "datagram", asked(p.at(udpPort), "near-1"))
	eventually(t, "http2", expect(client, "POST", "http://"+p.at(h2Port)+"/", 200, "near-1 by HTTP/2.0"))
	testUpgrade(t, p.at(podPorts[0]))
	p.apps["near-1"].Close()
	if by := p.calls(client, "POST", 40); by["far-3"]+by["far-4"] != 40 {
		t.Errorf("answered by %v", by)
	}
	p.near.Workloads[1].Health.Ready = false
	p.push(p.near, "egress")
	eventually(t, "datagram to the other cluster", asked(p.at(udpPort), "far-"))
}

// testPassedFirst gives beta a workload with an Envoy of its own: it is called by its own name, though the gateway would answer for others.
func testPassedFirst(t *testing.T, p *pods, client *http.Client) {
	own := model.Workload{ID: "own", Service: payments, Namespace: "shop", ServiceAccount: "payments", Locality: here, Address: "127.0.0.1",
		InboundPort: freePort(t), Export: true, Health: model.WorkloadHealth{Ready: true}}
	for i, target := range []string{httpApp(t, "own").Listener.Addr().String(), tcpApp(t)} {
		own.Ports = append(own.Ports, model.WorkloadPort{Port: podPorts[i], Target: target})
	}
	p.far.Workloads = append(p.far.Workloads, own)
	set := generate(t, snapshot.Build(p.far), "own")
	set[SecretType] = append(set[SecretType], NewDefaultSecret(p.beta.issue(t, paymentsID)))
	p.envoys["own"] = startEnvoy(t, findEnvoy(t), "own", set)
	p.push(p.far, "gate")
	capacity := []model.Capacity{{Locality: model.Locality{Region: "us"}, Ready: 1, Total: 1}}
	p.offer(model.ServiceRecord{Identities: []string{paymentsID}, Capacity: capacity, Terminated: p.near.Imports[0].Record.Terminated})
	p.push(p.near, "egress")
	eventually(t, "the workload's own Envoy", expect(client, "POST", p.url(), 200, "own "))
	eventually(t, "nobody else", func() error {
		for range 20 {
			if err := expect(client, "POST", p.url(), 200, "own ")(); err != nil {
				return err
			}
		}
		return nil
	})
	eventually(t, "session", func() error { return echo(p.at(podPorts[1])) })
	p.offer(model.ServiceRecord{Identities: []string{paymentsID}, Capacity: []model.Capacity{{Locality: capacity[0].Locality, Total: 1}},
		Terminated: p.near.Imports[0].Record.Terminated})
	p.push(p.near, "egress")
	eventually(t, "the pods", expect(client, "POST", p.url(), 200, "far-"))
}

// testAffinity has the oldest export, the own cluster's, ask for affinity: every connection of one address leads to one pod, until that dies.
func testAffinity(t *testing.T, p *pods) {
	own := p.far.OwnExports[0]
	own.CreatedAt, own.SessionAffinity = time.Unix(1, 0), "ClientIP"
	p.near.OwnExports = []model.ServiceExport{own}
	p.near.Workloads = append(p.near.Workloads[:1:1], p.pod("near-3"), p.pod("near-4"), p.pod("near-5"))
	p.push(p.near, "egress")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	eventually(t, "own pod", expect(client, "GET", p.url(), 200, "near-"))
	var one string
	eventually(t, "all at one", func() error {
		by := p.calls(client, "POST", 20)
		for one = range by {
			if by[one] != 20 {
				return fmt.Errorf("answered by %v", by)
			}
		}
		return nil
	})
	eventually(t, "datagrams at one", func() error {
		by := map[string]int{}
		for range 10 {
			text, err := ask(p.at(udpPort), "ping")
			if err != nil {
				return err
			}
			by[text]++
		}
		if len(by) != 1 {
			return fmt.Errorf("answered by %v", by)
		}
		return nil
	})
	p.apps[one].Close()
	if by := p.calls(client, "POST", 20); by[one] > 0 {
		t.Errorf("answered by %v, and %s is dead", by, one)
	}
}

// testFrozenTerminator stops the gateway's Envoy: safe calls go on with a pod of the own cluster, and sessions end.
func testFrozenTerminator(t *testing.T, p *pods, client *http.Client) {
	p.near.Workloads[1] = p.pod("near-2")
	p.near.Workloads[1].Locality = model.Locality{Region: "asia"}
	p.push(p.near, "egress")
	eventually(t, "far", expect(client, "GET", p.url(), 200, "far-"))
	_, open := session(t, p.at(podPorts[1]))
	gate := p.envoys["gate"].run
	if err := gate.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gate.Signal(syscall.SIGCONT) }()
	if by := p.calls(client, "GET", 20); by["near-2"] == 0 {
		t.Errorf("answered by %v", by)
	}
	if err := expect(client, "GET", "http://"+p.at(h2Port)+"/", 200, "near-2")(); err != nil {
		t.Errorf("http2: %v", err)
	}
	if err := ended(open); err != nil {
		t.Errorf("session: %v", err)
	}
}
