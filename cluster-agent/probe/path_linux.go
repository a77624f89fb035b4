package probe

import (
	"math"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// path is what the kernel has seen of a TCP connection's path: its shortest round trip, zero when there is none yet, and whether it had to
// send something again. Other connections have none.
func path(conn net.Conn) (roundTrip time.Duration, resent bool) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		resent = info.Total_retrans > 0
		// The kernel's "none yet" is the greatest value.
		if info.Min_rtt != math.MaxUint32 {
			roundTrip = time.Duration(info.Min_rtt) * time.Microsecond
		}
	})
	return roundTrip, resent
}
