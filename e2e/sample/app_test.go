package sample

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPeerURI(t *testing.T) {
	if got := peerURI("By=spiffe://a/x;Hash=00;URI=spiffe://eu.hanse.test/ns/shop/sa/web"); got != "spiffe://eu.hanse.test/ns/shop/sa/web" {
		t.Errorf("got %q", got)
	}
	if got := peerURI(""); got != "" {
		t.Errorf("without a header: %q", got)
	}
}

// TestCalls serves all protocols and calls them with all clients.
func TestCalls(t *testing.T) {
	a := &app{Answer: Answer{Service: "cart", Instance: "cart-1", Region: "us"}}
	web := httptest.NewServer(a.handler())
	defer web.Close()
	lines, rpc := listener(t), listener(t)
	go a.serveLines(lines)
	go a.serveGRPC(rpc)
	remote, err := NewGRPCClient(rpc.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(web.URL, "http://")
	for name, c := range map[string]interface {
		Call(context.Context, bool) (Answer, error)
		Close()
	}{
		"http, kept": NewHTTPClient(address, true), "http": NewHTTPClient(address, false), "grpc": remote,
		"lines": NewLineClient(lines.Addr().String(), 2),
	} {
		for i := range 5 {
			got, err := c.Call(t.Context(), i%2 == 1)
			if err != nil || got.Instance != "cart-1" || got.Region != "us" {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		c.Close()
	}
	a.unhealthy.Store(true)
	if _, err := CallHTTP(t.Context(), http.DefaultClient, http.MethodGet, web.URL+"/healthz", ""); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("an unhealthy application's check ends with %v", err)
	}
}

// A line client that was told a time limit keeps to it, and a connection that failed is not used again.
func TestLineClientStartsAnew(t *testing.T) {
	l := listener(t)
	silent := make(chan net.Conn, 2)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			silent <- conn
		}
	}()
	c := NewLineClient(l.Addr().String(), 10)
	defer c.Close()
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := c.Call(ctx, false); err == nil {
			t.Error("silence is an answer")
		}
		cancel()
		_ = (<-silent).Close()
	}
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
