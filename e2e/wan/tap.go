package wan

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openTap makes a TAP interface in the calling thread's namespace. The interface may be moved to another namespace: what it sends is read
// from the file all the same. It goes when the file is closed.
func openTap(device string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(device)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("interface %q: %w", device, err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make interface %s: %w", device, err)
	}
	return os.NewFile(uintptr(fd), device), nil
}
