package wan

import "testing"

func TestNeighbourDiscoveryIsToldFromTraffic(t *testing.T) {
	frame := func(high, low byte, size int) []byte {
		f := make([]byte, size)
		f[12], f[13] = high, low
		return f
	}
	icmpv6 := func(kind byte) []byte {
		f := frame(0x86, 0xdd, 86)
		f[20], f[54] = 58, kind
		return f
	}
	for name, c := range map[string]struct {
		frame []byte
		want  bool
	}{
		"ARP":                    {frame(0x08, 0x06, 42), true},
		"IPv4":                   {frame(0x08, 0x00, 60), false},
		"neighbour solicitation": {icmpv6(135), true},
		"IPv6 echo":              {icmpv6(128), false},
		"a cut-off IPv6 frame":   {frame(0x86, 0xdd, 20), false},
		"an empty frame":         {frame(0, 0, 14), false},
	} {
		if got := findsNeighbours(c.frame); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
