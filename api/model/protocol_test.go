package model

import "testing"

func TestProtocolTransport(t *testing.T) {
	for _, c := range []struct {
		text      string
		protocol  Protocol
		transport Protocol
		carried   bool
	}{
		{"", ProtocolTCP, ProtocolTCP, true},
		{"HTTP", ProtocolHTTP, ProtocolTCP, true},
		{"grpc", ProtocolGRPC, ProtocolTCP, true},
		{"udp", ProtocolUDP, ProtocolUDP, true},
		{"sctp", ProtocolSCTP, ProtocolSCTP, false},
	} {
		p, err := ParseProtocol(c.text)
		if err != nil || p != c.protocol || p.Transport() != c.transport || p.Carried() != c.carried {
			t.Errorf("%q is %q on %q, carried %t: %v", c.text, p, p.Transport(), p.Carried(), err)
		}
	}
	if _, err := ParseProtocol("quic"); err == nil {
		t.Error("quic was taken for a protocol")
	}
}
