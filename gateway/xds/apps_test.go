package xds

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// httpApp answers with its name and who called; it claims the header of the mesh, and upgrades to an echo when asked.
func httpApp(t *testing.T, name string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(notReachedHeader, "forged")
		w.Header().Set("Server", "app")
		if name == "first" && r.URL.Path == "/crash" {
			panic(http.ErrAbortHandler)
		}
		if r.Header.Get("Upgrade") != "" {
			upgrade(w)
			return
		}
		_, _ = fmt.Fprintf(w, "%s host=%s xfcc=%s", name, r.Host, r.Header.Get("X-Forwarded-Client-Cert"))
	}))
	t.Cleanup(s.Close)
	return s
}

func upgrade(w http.ResponseWriter) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	line, _ := buffered.ReadString('\n')
	_, _ = io.WriteString(conn, "echo "+line)
}

// safeBuffer is written and read at the same time.
type safeBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// tcpApp speaks first, and echoes one line.
func tcpApp(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				_, _ = io.WriteString(conn, "banner\n")
				line, _ := bufio.NewReader(conn).ReadString('\n')
				_, _ = io.WriteString(conn, line)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// answer is what a call came to.
type answer struct {
	status int
	body   string
	header http.Header
}

// call makes one request to an address; host may differ from it.
func call(client *http.Client, method, url, host string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(""))
	if err != nil {
		return answer{}, err
	}
	r.Host = host
	res, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return answer{status: res.StatusCode, body: string(body), header: res.Header}, err
}

// expect is a check that a call has a status and a text in its body.
func expect(client *http.Client, method, url string, status int, text string) func() error {
	return func() error {
		a, err := call(client, method, url, "")
		if err != nil {
			return err
		}
		if a.status != status || !strings.Contains(a.body, text) {
			return fmt.Errorf("%d %q, want %d and %q", a.status, a.body, status, text)
		}
		return nil
	}
}

// firstLine dials and reads what the other side says before anything is said to it.
func firstLine(dial func(ctx context.Context) (net.Conn, error)) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := dial(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	return bufio.NewReader(conn).ReadString('\n')
}
