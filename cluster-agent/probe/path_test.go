package probe

import (
	"net"
	"runtime"
	"testing"
)

func TestPathOfAConnection(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux is asked")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if roundTrip, resent := path(conn); roundTrip <= 0 || roundTrip.Seconds() > 1 || resent {
		t.Errorf("the path to this host itself: %v, sent again: %t", roundTrip, resent)
	}
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if roundTrip, resent := path(a); roundTrip != 0 || resent {
		t.Errorf("a pipe has a path: %v, %t", roundTrip, resent)
	}
}
