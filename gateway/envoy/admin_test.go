package envoy

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeAdmin answers on a Unix socket and returns its path.
func fakeAdmin(t *testing.T, answers map[string]string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	lis, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.Method+" "+r.URL.RequestURI()]
		if !ok {
			http.Error(w, "unknown "+r.Method+" "+r.URL.RequestURI(), http.StatusNotFound)
			return
		}
		_, _ = fmt.Fprint(w, answer)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(lis) }()
	t.Cleanup(func() { _ = srv.Close(); <-done; _ = os.RemoveAll(dir) })
	return socket
}

func TestAdmin(t *testing.T) {
	a := NewAdmin(fakeAdmin(t, map[string]string{
		"GET /server_info":                         `{"version": "abc/1.40.0/Clean/RELEASE/BoringSSL", "state": "LIVE"}`,
		"POST /healthcheck/fail":                   "OK\n",
		"POST /healthcheck/ok":                     "OK\n",
		"POST /drain_listeners?graceful&skip_exit": "OK\n",
		"GET /stats?filter=x":                      "a.x: 3\nb.x: 0\nh.x: P0(nan,1)\ntext.x: \"word\"\n",
		"GET /config_dump?include_eds":             "{}",
	}))
	ctx := t.Context()
	info, err := a.ServerInfo(ctx)
	if err != nil || info.State != StateLive || info.Release() != "1.40.0" {
		t.Fatalf("ServerInfo gave %+v, %v", info, err)
	}
	for name, err := range map[string]error{
		"FailHealthcheck": a.FailHealthcheck(ctx), "PassHealthcheck": a.PassHealthcheck(ctx), "Drain": a.Drain(ctx),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	stats, err := a.Stats(ctx, "x")
	if err != nil || len(stats) != 2 || stats["a.x"] != 3 {
		t.Fatalf("Stats gave %v, %v; want the two numbers", stats, err)
	}
	if _, err := a.Stats(ctx, "y"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Fatalf("a refused call gave %v, want its status", err)
	}
}

func TestActiveLeavesTheAdminOut(t *testing.T) {
	a := NewAdmin(fakeAdmin(t, map[string]string{
		"GET /stats?filter=%5E%28listener%5C..%2A%5C.downstream_cx_active%7Chttp%5C..%2A%5C.downstream_rq_active%29%24": "" +
			"http.admin.downstream_rq_active: 1\nlistener.admin.downstream_cx_active: 1\n" +
			"http.in.downstream_rq_active: 2\nlistener.127.0.0.1_80.downstream_cx_active: 3\n",
	}))
	if n, err := a.Active(t.Context()); err != nil || n != 5 {
		t.Fatalf("Active gave %d, %v; want 5", n, err)
	}
}

func TestAdminThatIsNotThere(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none")
	if _, err := NewAdmin(socket).ServerInfo(t.Context()); err == nil || !strings.Contains(err.Error(), socket) {
		t.Fatalf("the error is %v, want the socket's path in it", err)
	}
}
