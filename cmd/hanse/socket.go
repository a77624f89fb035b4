package main

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ownUserOnly closes connections to a Unix socket that come from another user; root may connect.
type ownUserOnly struct{ net.Listener }

// Accept waits for the next connection of this user.
func (l ownUserOnly) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, ok := peerUID(conn); ok && (uid == uint32(os.Getuid()) || uid == 0) {
			return conn, nil
		}
		_ = conn.Close()
	}
}

// peerUID is the user of the process at the other end.
func peerUID(conn net.Conn) (uint32, bool) {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || credErr != nil {
		return 0, false
	}
	return cred.Uid, true
}
