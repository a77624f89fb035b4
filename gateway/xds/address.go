package xds

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// address is a host, an IP address except for applications' own, and a port.
type address struct {
	host string
	port uint16
	udp  bool
}

// String is host:port, and "/udp" after it for UDP.
func (a address) String() string {
	if a.udp {
		return address{host: a.host, port: a.port}.String() + "/udp"
	}
	if strings.Contains(a.host, ":") {
		return "[" + a.host + "]:" + strconv.Itoa(int(a.port))
	}
	return a.host + ":" + strconv.Itoa(int(a.port))
}

func (a address) proto() *corev3.Address {
	s := &corev3.SocketAddress{
		Address:       a.host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.port)},
		// Who listens on every IPv6 address means every address.
		Ipv4Compat: a.host == "::",
	}
	if a.udp {
		s.Protocol = corev3.SocketAddress_UDP
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: s}}
}

func (a address) isIP() bool {
	_, err := netip.ParseAddr(a.host)
	return err == nil
}

// parseBind reads "IP:port", where Envoy can listen. "localhost" is the IPv4 loopback address, an empty host is every IPv4 address.
func parseBind(s string) (address, error) {
	a, err := parseTarget(s)
	if err != nil {
		return address{}, err
	}
	switch a.host {
	case "":
		a.host = "0.0.0.0"
	case "localhost":
		a.host = "127.0.0.1"
	}
	if !a.isIP() {
		return address{}, fmt.Errorf("%q is not IP:port: Envoy listens on addresses, not on names", s)
	}
	return a, nil
}

// parseTarget reads "host:port"; an IPv6 host stands in brackets.
func parseTarget(s string) (address, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return address{}, fmt.Errorf("%q has no port: write host:port", s)
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || port == 0 {
		return address{}, fmt.Errorf("%q has no valid port: give one from 1 to 65535", s)
	}
	host := s[:i]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	} else if strings.Contains(host, ":") {
		return address{}, fmt.Errorf("%q is not host:port: write an IPv6 address in brackets", s)
	}
	return address{host: host, port: uint16(port)}, nil
}
