package identity

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

const (
	// handshakeWait bounds how long a peer may take for its handshake.
	handshakeWait = 5 * time.Second
	// maxHandshakes bounds how many peers may be at it; more wait in the system's queue.
	maxHandshakes = 512
)

// Listen returns a listener whose connections have shown who they are: their handshake is done, and its client certificate was judged
// by config. It is for servers that spend much on a connection before they read from it. A peer that does not finish is dropped after
// 5 s, and one that fails is the peer's affair. Close ends what is under way.
func Listen(l net.Listener, config *tls.Config) net.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	h := &handshaker{Listener: l, config: config, ctx: ctx, cancel: cancel, accepted: make(chan accepted), slots: make(chan struct{}, maxHandshakes)}
	h.tasks.Go(h.run)
	return h
}

type handshaker struct {
	net.Listener
	config   *tls.Config
	ctx      context.Context
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
	accepted chan accepted
	slots    chan struct{}
}

// accepted is a connection or why there is none.
type accepted struct {
	conn net.Conn
	err  error
}

// Accept waits for the next peer that has finished its handshake.
func (h *handshaker) Accept() (net.Conn, error) {
	select {
	case a := <-h.accepted:
		return a.conn, a.err
	case <-h.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close closes the listener and those connections that nobody has accepted.
func (h *handshaker) Close() error {
	h.cancel()
	err := h.Listener.Close()
	h.tasks.Wait()
	return err
}

func (h *handshaker) run() {
	for {
		select {
		case h.slots <- struct{}{}:
		case <-h.ctx.Done():
			return
		}
		conn, err := h.Listener.Accept()
		if err != nil {
			<-h.slots
			// Whoever accepts decides whether to go on, and how soon.
			if !h.deliver(accepted{err: err}) {
				return
			}
			continue
		}
		h.tasks.Go(func() { h.shake(tls.Server(conn, h.config)) })
	}
}

func (h *handshaker) shake(conn *tls.Conn) {
	ctx, cancel := context.WithTimeout(h.ctx, handshakeWait)
	err := conn.HandshakeContext(ctx)
	cancel()
	<-h.slots
	if err != nil || !h.deliver(accepted{conn: conn}) {
		_ = conn.Close()
	}
}

func (h *handshaker) deliver(a accepted) bool {
	select {
	case h.accepted <- a:
		return true
	case <-h.ctx.Done():
		return false
	}
}
