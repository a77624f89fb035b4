package kube

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/hanse-mesh/hanse/api/model"
)

func TestProtocolIsDeclaredThenNamed(t *testing.T) {
	for _, c := range []struct {
		transport corev1.Protocol
		app, name string
		want      model.Protocol
	}{
		{"TCP", "http", "", "http"},
		{"", "HTTP", "", "http"},
		{"TCP", "kubernetes.io/h2c", "", "http2"},
		{"TCP", "kubernetes.io/ws", "", "http"},
		{"TCP", "kubernetes.io/wss", "http", "tcp"},
		{"TCP", "grpc", "http", "grpc"},
		{"TCP", "https", "", "tcp"},
		{"TCP", "example.com/mine", "http", "tcp"},
		{"TCP", "", "http", "http"},
		{"TCP", "", "http-admin", "http"},
		{"TCP", "", "http2-api", "http2"},
		{"TCP", "", "grpc-api", "grpc"},
		{"TCP", "", "grpc-web", "http"},
		{"TCP", "", "grpc-web-ui", "http"},
		{"TCP", "", "https", "tcp"},
		{"TCP", "", "httpx", "tcp"},
		{"TCP", "", "", "tcp"},
		{"UDP", "http", "http", "udp"},
		{"SCTP", "http", "http", "sctp"},
	} {
		p := corev1.ServicePort{Protocol: c.transport, Name: c.name}
		if c.app != "" {
			p.AppProtocol = &c.app
		}
		if got := protocolOf(p); got != c.want {
			t.Errorf("%+v is %q", c, got)
		}
	}
}
