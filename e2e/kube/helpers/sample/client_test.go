package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/e2e/sample"
)

// serve answers as the application does, counts connections and calls, and closes each connection after its call without saying so when it is
// told to.
func serve(t *testing.T, closes bool) (address string, connections, calls *atomic.Int32) {
	t.Helper()
	connections, calls = new(atomic.Int32), new(atomic.Int32)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) > 1 && closes {
			panic(http.ErrAbortHandler)
		}
		_ = json.NewEncoder(w).Encode(sample.Answer{Region: "eu"})
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String(), connections, calls
}

func TestAConnectionIsKeptOrNot(t *testing.T) {
	for keep, want := range map[bool]int32{true: 1, false: 3} {
		address, connections, _ := serve(t, false)
		c := &client{address: address, keep: keep}
		for range 3 {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			a, err := c.Call(ctx, false)
			cancel()
			if err != nil || a.Region != "eu" {
				t.Fatalf("answer %+v: %v", a, err)
			}
		}
		c.Close()
		if n := connections.Load(); n != want {
			t.Errorf("keep %v: %d connections for three calls, want %d", keep, n, want)
		}
	}
}

func TestACallIsMadeOnce(t *testing.T) {
	address, _, calls := serve(t, true)
	c := &client{address: address, keep: true}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := c.Call(ctx, false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(ctx, false); err == nil || calls.Load() != 2 {
		t.Errorf("after %d calls, on a connection that was closed: %v", calls.Load(), err)
	}
}
