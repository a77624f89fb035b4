package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/health"
)

// proxyFlags parses a command line of "hanse proxy".
func proxyFlags(t *testing.T, args ...string) proxyOptions {
	t.Helper()
	var o proxyOptions
	f := pflag.NewFlagSet("proxy", pflag.ContinueOnError)
	o.bind(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

var caller = []string{"--name", "cart-1", "--locality", "eu/eu-a", "--address", "10.0.0.7"}

func TestWorkloadAsDescribed(t *testing.T) {
	o := proxyFlags(t, append(slices.Clone(caller),
		"--service", "cart", "--port", "name=http,number=8080,protocol=http,target=127.0.0.1:80", "--port", "number=9000,target=[::1]:9000", "--export",
		"--upstream", "service=payments,port=http,bind=127.0.0.1:9001", "--upstream", "service=ledger.bank,bind=127.0.0.1:9002",
		"--vips", "--open-http", "127.0.0.1:80", "--inbound-port", "7000", "--inbound-bind", "0.0.0.0")...)
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	got, err := o.workload("shop")
	if err != nil {
		t.Fatal(err)
	}
	want := model.Workload{
		ID: "cart-1", Namespace: "shop", Service: model.ServiceKey{Namespace: "shop", Name: "cart"},
		Locality: model.Locality{Region: "eu", Zone: "eu-a"}, Address: "10.0.0.7", InboundPort: 7000, InboundBind: "0.0.0.0", Export: true,
		Ports: []model.WorkloadPort{
			{Port: model.Port{Name: "http", Number: 8080, Protocol: model.ProtocolHTTP}, Target: "127.0.0.1:80"},
			{Port: model.Port{Number: 9000, Protocol: model.ProtocolTCP}, Target: "[::1]:9000"},
		},
		Upstreams: []model.Upstream{
			{Service: model.ServiceKey{Namespace: "shop", Name: "payments"}, Port: "http", Bind: "127.0.0.1:9001"},
			{Service: model.ServiceKey{Namespace: "bank", Name: "ledger"}, Bind: "127.0.0.1:9002"},
		},
		Open: &model.OpenUpstreams{VIPs: true, HTTPBind: "127.0.0.1:80"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestGatewayAsDescribed(t *testing.T) {
	for advertise, want := range map[string]model.WorkloadGateway{
		"":                   {Bind: "0.0.0.0:7722", AdvertiseAddress: "10.0.0.7", AdvertisePort: 7722},
		"gw.example.org:443": {Bind: "0.0.0.0:7722", AdvertiseAddress: "gw.example.org", AdvertisePort: 443},
	} {
		o := proxyFlags(t, append(slices.Clone(caller), "--gateway", "--gateway-advertise", advertise)...)
		got, err := o.workload(model.SystemNamespace)
		if err != nil || got.Gateway == nil || *got.Gateway != want || got.Serves() {
			t.Errorf("advertising %q: %+v, %v", advertise, got.Gateway, err)
		}
	}
}

func TestProxyErrorsNameTheFlag(t *testing.T) {
	const port = "name=http,number=80,protocol=http,target=127.0.0.1:80"
	for name, c := range map[string]struct{ args, says string }{
		"no name":                {"--name=", "--name"},
		"bad name":               {"--name=Cart_1", "--name"},
		"no locality":            {"--locality=", "--locality"},
		"bad zone":               {"--locality=eu/EU", "--locality"},
		"host name for address":  {"--address=localhost", "--address"},
		"service without port":   {"--service=cart", "--service"},
		"port without service":   {"--port=" + port, "--port"},
		"port without number":    {"--service=cart --port=name=http,target=127.0.0.1:80", "--port"},
		"port number too large":  {"--service=cart --port=name=http,number=65536,target=127.0.0.1:80", "65535"},
		"unknown protocol":       {"--service=cart --port=name=http,number=80,protocol=udp,target=127.0.0.1:80", "udp"},
		"bad port name":          {"--service=cart --port=name=HTTP,number=80,target=127.0.0.1:80", "--port"},
		"target without port":    {"--service=cart --port=number=80,target=127.0.0.1", "--port target"},
		"target port 0":          {"--service=cart --port=number=80,target=127.0.0.1:0", "--port target"},
		"unknown key of a port":  {"--service=cart --port=nmae=http", "nmae"},
		"upstream of nothing":    {"--upstream=port=http,bind=127.0.0.1:1", "--upstream"},
		"upstream in bad space":  {"--upstream=service=cart.Shop,bind=127.0.0.1:1", "--upstream"},
		"upstream without bind":  {"--upstream=service=cart", "--upstream bind"},
		"gateway that serves":    {"--gateway --service=cart --port=" + port, "--gateway"},
		"gateway that calls":     {"--gateway --upstream=service=cart,bind=127.0.0.1:1", "--gateway"},
		"gateway without port":   {"--gateway --gateway-listen=0.0.0.0", "--gateway-listen"},
		"gateway at port 0":      {"--gateway --gateway-listen=0.0.0.0:0", "--gateway-advertise"},
		"gateway at no port":     {"--gateway --gateway-advertise=example.org", "--gateway-advertise"},
		"check of no kind":       {"--check=target=127.0.0.1:80", "--check"},
		"check of unknown kind":  {"--check=kind=ping,target=127.0.0.1:80", "--check"},
		"check without target":   {"--check=kind=tcp", "--check"},
		"check with bad pace":    {"--check=kind=tcp,target=127.0.0.1:80,interval=1", "interval"},
		"check with bad measure": {"--check=kind=tcp,target=127.0.0.1:80,healthy=some", "healthy"},
		"negative drain time":    {"--drain-time=-1s", "--drain-time"},
		"endless drain time":     {"--drain-time=2h", "--drain-time"},
	} {
		t.Run(name, func(t *testing.T) {
			o := proxyFlags(t, append(slices.Clone(caller), strings.Fields(c.args)...)...)
			usage(t, o.validate(), c.says)
		})
	}
}

func TestNegativeConcurrencyIsRefused(t *testing.T) {
	o := proxyFlags(t, append(slices.Clone(caller), "--concurrency=-1")...)
	if err := o.validate(); err == nil || !strings.Contains(err.Error(), "--concurrency") {
		t.Errorf("got %v", err)
	}
}

func TestCheckAsDescribed(t *testing.T) {
	o := proxyFlags(t)
	if s, err := o.checkSpec(); err != nil || s.Kind != health.None {
		t.Errorf("without a check: %+v, %v", s, err)
	}
	o.check = "kind=http,target=127.0.0.1:80,path=/healthz,interval=250ms,timeout=2s,healthy=2,unhealthy=3"
	want := health.Spec{
		Kind: health.HTTP, Target: "127.0.0.1:80", Path: "/healthz", Interval: 250 * time.Millisecond, Timeout: 2 * time.Second,
		HealthyThreshold: 2, UnhealthyThreshold: 3, Command: []string{},
	}
	if s, err := o.checkSpec(); err != nil || !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, %v", s, err)
	}
	o.check = "kind=command,command=test -f /run/ready"
	if s, err := o.checkSpec(); err != nil || !slices.Equal(s.Command, []string{"test", "-f", "/run/ready"}) {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestSplitPort(t *testing.T) {
	for text, want := range map[string]uint16{"a.example:1": 1, "10.0.0.1:65535": 65535, "[::1]:80": 80} {
		if _, port, err := splitPort("--x", text); err != nil || port != want {
			t.Errorf("%s: %d, %v", text, port, err)
		}
	}
	for _, text := range []string{"", "a", ":80", "a:", "a:0", "a:65536", "a:http", "::1:80"} {
		_, _, err := splitPort("--x", text)
		usage(t, err, "--x")
	}
}
