//go:build e2e

package wan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if Inside() {
		os.Exit(m.Run())
	}
	code, err := Enter(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// TestRegions makes a network and shows what it promises: distance, silence of a cut, one way or both, and namespaces of processes.
func TestRegions(t *testing.T) {
	n, err := New("eu", "us", "ap")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	echo(t, n.Region("us"))

	n.Set("eu", "us", Conditions{Delay: 30 * time.Millisecond})
	n.Set("us", "eu", Conditions{Delay: 30 * time.Millisecond})
	begin := time.Now()
	conn, err := dial(t, n.Region("eu"), n.Region("us"))
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 60*time.Millisecond {
		t.Errorf("a connection over 30 ms each way was made in %s", took)
	}
	// More than a window of a path without offloads: what is not cut to size or has no checksum does not arrive.
	sent := bytes.Repeat([]byte("ahoy"), 1<<18)
	go func() { _, _ = conn.Write(sent) }()
	got := make([]byte, len(sent))
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("1 MiB there and back: %v", err)
	}

	n.Set("us", "eu", Conditions{Cut: true})
	if _, err := dial(t, n.Region("eu"), n.Region("us")); !errors.Is(err, context.DeadlineExceeded) && !os.IsTimeout(err) {
		t.Errorf("a connection through a cut ends with %v, want silence", err)
	}
	if other, err := dial(t, n.Region("ap"), n.Region("us")); err != nil {
		t.Errorf("a cut between two regions cuts off a third: %v", err)
	} else {
		_ = other.Close()
	}
	if n.Lost() != 0 {
		t.Errorf("%d frames were lost without intent", n.Lost())
	}
}

// TestProcessesStartInARegion wants a program to see its region's address alone.
func TestProcessesStartInARegion(t *testing.T) {
	n, err := New("eu", "us")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var out bytes.Buffer
	cmd := exec.Command("cat", "/proc/net/fib_trie")
	cmd.Stdout = &out
	if err := n.Region("us").Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), n.Region("us").Address.String()) || strings.Contains(out.String(), n.Region("eu").Address.String()) {
		t.Errorf("a process of us sees %s", out.String())
	}
}

// echo serves in a region until the test ends.
func echo(t *testing.T, r *Region) {
	t.Helper()
	var l net.Listener
	err := r.Do(func() (err error) {
		l, err = net.Listen("tcp", r.Address.String()+":7")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
}

func dial(t *testing.T, from, to *Region) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", to.Address.String()+":7")
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}
