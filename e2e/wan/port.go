package wan

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxFrame holds an Ethernet frame of 1500 bytes of payload.
	maxFrame = 1536
	// portBuffer is how much the kernel holds for a port that is not read at the moment, in bytes.
	portBuffer = 8 << 20
)

// port is the switch's end of one region's cable.
type port struct {
	file *os.File
	raw  syscall.RawConn
}

// openPort opens a packet socket on an interface of the calling thread's namespace. It sees IPv4 alone.
func openPort(index int) (*port, error) {
	protocol := htons(unix.ETH_P_IP)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	// Refused to some users: then the usual size must do.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, portBuffer)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: index}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind a packet socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "port")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &port{file: file, raw: raw}, nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// read hands each frame to the path that its destination's address names, until the port is closed.
func (p *port) read(ways map[[6]byte]*path) {
	buffer := make([]byte, maxFrame)
	_ = p.raw.Read(func(fd uintptr) bool {
		for {
			n, err := unix.Read(int(fd), buffer)
			switch {
			case err == unix.EINTR:
			case err != nil:
				return err != unix.EAGAIN
			case n >= 14:
				if way := ways[[6]byte(buffer[:6])]; way != nil {
					way.send(append([]byte(nil), buffer[:n]...))
				}
			}
		}
	})
}

// write puts a frame on the cable. One that the kernel does not take is lost, as on any cable.
func (p *port) write(frame []byte) { _, _ = p.file.Write(frame) }

// dropped counts the frames that came while the buffer was full; it counts each once.
func (p *port) dropped() int64 {
	var dropped int64
	_ = p.raw.Control(func(fd uintptr) {
		if stats, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			dropped = int64(stats.Drops)
		}
	})
	return dropped
}

func (p *port) close() { _ = p.file.Close() }

// withoutOffloads makes the kernel finish each frame itself: what it would leave to a network card would never be done.
func withoutOffloads(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	for _, command := range []uint32{unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO, unix.ETHTOOL_SGRO} {
		value := [2]uint32{command, 0}
		request := struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}{data: unsafe.Pointer(&value)}
		copy(request.name[:], name)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return fmt.Errorf("switch off offload %#x of %s: %w", command, name, errno)
		}
	}
	return nil
}
