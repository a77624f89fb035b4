package wan

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
)

// Switch connects sites whose namespaces somebody else makes, such as clusters with many processes in them. It learns which site has
// which Ethernet address. Its methods are safe for concurrent use. It needs root.
type Switch struct {
	mu      sync.Mutex
	sites   map[string]*os.File
	paths   map[[2]string]*path
	homes   map[[6]byte]string
	done    chan struct{}
	running sync.WaitGroup
}

// maxHomes bounds the table of addresses: beyond it, an unknown address is looked for everywhere.
const maxHomes = 1024

// NewSwitch returns a switch without sites.
func NewSwitch() *Switch {
	return &Switch{sites: map[string]*os.File{}, paths: map[[2]string]*path{}, homes: map[[6]byte]string{}, done: make(chan struct{})}
}

// Attach makes an interface in the calling process's namespace and connects it. It may be moved to the site's namespace, and keeps
// working there.
func (s *Switch) Attach(site, device string) error {
	file, err := openTap(device)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sites[site] != nil {
		_ = file.Close()
		return fmt.Errorf("site %s is connected already", site)
	}
	for other, cable := range s.sites {
		s.connect(site, other, cable)
		s.connect(other, site, file)
	}
	s.sites[site] = file
	s.running.Go(func() { s.read(site, file) })
	return nil
}

// connect makes the path from one site to the cable of another.
func (s *Switch) connect(from, to string, cable *os.File) {
	p := newPath(func(frame []byte) { _, _ = cable.Write(frame) }, rand.Float64)
	s.paths[[2]string{from, to}] = p
	s.running.Go(func() { p.courier(s.done) })
}

// Set changes how it is to travel from one site to another; the way back is another path.
func (s *Switch) Set(from, to string, c Conditions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.paths[[2]string{from, to}]
	if p == nil {
		return fmt.Errorf("there is no path from %q to %q", from, to)
	}
	p.set(c)
	return nil
}

// Lost counts the frames that found a full queue.
func (s *Switch) Lost() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lost int64
	for _, p := range s.paths {
		lost += p.overflow.Load()
	}
	return lost
}

// Close ends the switch and removes the interfaces.
func (s *Switch) Close() {
	close(s.done)
	s.mu.Lock()
	for _, file := range s.sites {
		_ = file.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// read forwards what a site sends until its interface is gone.
func (s *Switch) read(site string, file *os.File) {
	buffer := make([]byte, maxFrame)
	for {
		n, err := file.Read(buffer)
		if err != nil {
			return
		}
		if n >= 14 {
			s.forward(site, append([]byte(nil), buffer[:n]...))
		}
	}
}

func (s *Switch) forward(site string, frame []byte) {
	to, from := [6]byte(frame[:6]), [6]byte(frame[6:12])
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.homes) < maxHomes || s.homes[from] != "" {
		s.homes[from] = site
	}
	neighbourly := findsNeighbours(frame)
	deliver := func(p *path, other string) {
		if neighbourly {
			_, _ = s.sites[other].Write(frame)
			return
		}
		p.send(frame)
	}
	if home := s.homes[to]; home != "" && to[0]&1 == 0 {
		if p := s.paths[[2]string{site, home}]; p != nil {
			deliver(p, home)
		}
		return
	}
	for other := range s.sites {
		if other != site {
			deliver(s.paths[[2]string{site, other}], other)
		}
	}
}

// findsNeighbours tells ARP and IPv6's neighbour discovery. They pass whatever the conditions are: a cut must look like silence, not
// like a neighbour who is gone.
func findsNeighbours(frame []byte) bool {
	const arp, ipv6, icmpv6 = 0x0806, 0x86dd, 58
	switch binary.BigEndian.Uint16(frame[12:14]) {
	case arp:
		return true
	case ipv6:
		const solicitation, advertisement = 135, 136
		return len(frame) > 54 && frame[20] == icmpv6 && (frame[54] == solicitation || frame[54] == advertisement)
	}
	return false
}
