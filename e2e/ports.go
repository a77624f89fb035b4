//go:build e2e

package e2e

import (
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
)

// Ports are taken below the range from which the kernel picks those of outgoing connections, so that no connection takes one between
// the choice and its use.
const (
	firstPort = 11_000
	lastPort  = 19_999
)

var ports struct {
	sync.Mutex
	next int
}

// freeAddresses returns n loopback addresses that nobody uses and that no other call of this process returns.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.next == 0 {
		// Suites that run at the same time begin at different places.
		ports.next = firstPort + os.Getpid()*37%(lastPort-firstPort)
	}
	var out []string
	for range lastPort - firstPort {
		if len(out) == n {
			return out
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.next))
		if ports.next++; ports.next > lastPort {
			ports.next = firstPort
		}
		if free(address) {
			out = append(out, address)
		}
	}
	t.Fatalf("fewer than %d free ports between %d and %d on 127.0.0.1: stop what listens there", n, firstPort, lastPort)
	return nil
}

func free(address string) bool {
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	_ = tcp.Close()
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	_ = udp.Close()
	return true
}
