package identity

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/internal/clock"
)

// listenTCP serves Listen's connections to a channel.
func listenTCP(t *testing.T, config *tls.Config) (address string, conns <-chan net.Conn) {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(raw, config)
	out, done := make(chan net.Conn, 10), make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			out <- conn
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for len(out) > 0 {
			_ = (<-out).Close()
		}
	})
	return raw.Addr().String(), out
}

func TestOnlyPeersThatShowWhoTheyAreAreAccepted(t *testing.T) {
	fed, c := newIssuer(t, "acme"), clock.NewFake(start)
	node := newSource(t, c, fed, "spiffe://acme/server/n1", start)
	peer := newSource(t, c, fed, "spiffe://acme/server/n2", start)
	agent := newSource(t, c, fed, "spiffe://acme/agent/alpha", start)
	address, conns := listenTCP(t, node.ServerTLS(ServerOptions{RequireClient: true, Match: MatchNode("acme", "")}))

	// More silent strangers than a queue of one at a time could bear, one that talks nonsense, and one with another role.
	for range 20 {
		stranger, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = stranger.Close() }()
	}
	noise, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = noise.Close() }()
	if _, err := noise.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	other, err := tls.Dial("tcp", address, agent.ClientTLS(nil))
	if err == nil {
		defer func() { _ = other.Close() }()
	}

	good, err := tls.Dial("tcp", address, peer.ClientTLS(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = good.Close() }()
	select {
	case conn := <-conns:
		defer func() { _ = conn.Close() }()
		state := conn.(*tls.Conn).ConnectionState()
		if !state.HandshakeComplete || len(state.PeerCertificates) == 0 || state.PeerCertificates[0].URIs[0].Path != "/server/n2" {
			t.Fatalf("accepted %v before it was known", conn.RemoteAddr())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the silent ones hold up a good peer")
	}
	if len(conns) > 0 {
		t.Fatal("a stranger was accepted")
	}
}

func TestClosingEndsWhatIsUnderWay(t *testing.T) {
	fed, c := newIssuer(t, "acme"), clock.NewFake(start)
	node := newSource(t, c, fed, "spiffe://acme/server/n1", start)
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(raw, node.ServerTLS(ServerOptions{}))
	silent, err := net.Dial("tcp", raw.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); err == nil {
		t.Fatal("a closed listener accepts")
	}
	if err := silent.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Fatal("the connection is still read from")
	} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Fatal("the connection was left open")
	}
}
