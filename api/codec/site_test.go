package codec

import (
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

func siteWorkload() model.Workload {
	return model.Workload{
		Service: model.ServiceKey{Namespace: "shop", Name: "payments"}, Namespace: "shop",
		Locality: model.Locality{Region: "eu-north", Zone: "a"},
		Ports: []model.WorkloadPort{
			{Port: model.Port{Name: "http", Number: 80, Protocol: model.ProtocolHTTP}, Target: "127.0.0.1:8080"},
			{Port: model.Port{Number: 5432, Protocol: model.ProtocolTCP, AppProtocol: "example.com/sql"}, Target: "[::1]:5432"},
		},
		Address: "10.1.2.3", InboundPort: 15006, InboundBind: "0.0.0.0", Export: true,
		Upstreams: []model.Upstream{{Service: model.ServiceKey{Namespace: "bank", Name: "ledger"}, Port: "grpc", Bind: "127.0.0.1:9001"}},
		Open:      &model.OpenUpstreams{VIPs: true, HTTPBind: "127.0.0.1:9000"},
		Gateway:   &model.WorkloadGateway{Bind: "0.0.0.0:15443", AdvertiseAddress: "gw.example.com", AdvertisePort: 443},
		Health:    model.WorkloadHealth{Ready: true, Reason: "ok"},
	}
}

func egressWorkload() model.Workload {
	return model.Workload{
		Namespace: "hanse-system", Locality: model.Locality{Region: "eu-north"}, Address: "10.1.2.4", InboundPort: 15006,
		Egress: &model.WorkloadEgress{Bind: "::", Namespace: "shop"}, Health: model.WorkloadHealth{Ready: true},
	}
}

func TestRegistrationSurvivesTheWire(t *testing.T) {
	survives(t, siteWorkload())
	survives(t, egressWorkload())
}

func survives(t *testing.T, want model.Workload) {
	t.Helper()
	bytes, err := proto.Marshal(RegistrationToProto(want))
	if err != nil {
		t.Fatal(err)
	}
	var r hansev1.Registration
	if err := proto.Unmarshal(bytes, &r); err != nil {
		t.Fatal(err)
	}
	got, err := WorkloadFromRegistration(&r)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRegistrationDefaults(t *testing.T) {
	r := RegistrationToProto(siteWorkload())
	r.Upstreams[0].Namespace = ""
	r.Ports[0].Target = "localhost:8080"
	got, err := WorkloadFromRegistration(r)
	if err != nil {
		t.Fatal(err)
	}
	if ns := got.Upstreams[0].Service.Namespace; ns != "shop" {
		t.Errorf("an upstream without a namespace is in %q, want the workload's own", ns)
	}
	if target := got.Ports[0].Target; target != "127.0.0.1:8080" {
		t.Errorf("localhost became %q", target)
	}
}

func TestRegistrationRefusals(t *testing.T) {
	cases := map[string]struct {
		change func(*hansev1.Registration)
		says   string
	}{
		"no namespace":         {func(r *hansev1.Registration) { r.Namespace = "" }, "namespace is empty"},
		"no region":            {func(r *hansev1.Registration) { r.Locality = nil }, "locality.region"},
		"slash in region":      {func(r *hansev1.Registration) { r.Locality.Region, r.Locality.Zone = "a/b", "" }, "locality.region"},
		"bad zone":             {func(r *hansev1.Registration) { r.Locality.Zone = "A" }, "locality.zone"},
		"bad service":          {func(r *hansev1.Registration) { r.Service = "Pay ments" }, "service"},
		"service without port": {func(r *hansev1.Registration) { r.Ports = nil }, "no ports"},
		"ports of nothing":     {func(r *hansev1.Registration) { r.Service = "" }, "service is empty but ports"},
		"export of nothing":    {func(r *hansev1.Registration) { r.Service, r.Ports = "", nil }, "export is set"},
		"too many ports": {func(r *hansev1.Registration) {
			r.Ports = make([]*hansev1.WorkloadPort, MaxWorkloadPorts+1)
		}, "at most 64"},
		"nil port":         {func(r *hansev1.Registration) { r.Ports[0] = nil }, "ports[0]"},
		"port zero":        {func(r *hansev1.Registration) { r.Ports[1].Port.Number = 0 }, "ports[1]: number 0"},
		"port too large":   {func(r *hansev1.Registration) { r.Ports[1].Port.Number = 65536 + 80 }, "number 65616"},
		"same number":      {func(r *hansev1.Registration) { r.Ports[1].Port.Number = 80 }, "80 stands twice"},
		"same name":        {func(r *hansev1.Registration) { r.Ports[1].Port.Name = "http" }, `"http" stands twice`},
		"bad protocol":     {func(r *hansev1.Registration) { r.Ports[0].Port.Protocol = "quic" }, "quic"},
		"udp":              {func(r *hansev1.Registration) { r.Ports[0].Port.Protocol = "udp" }, "ports[0]: port 80: protocol udp is not carried to a proxy"},
		"app protocol":     {func(r *hansev1.Registration) { r.Ports[0].Port.AppProtocol = "a/b/c" }, "appProtocol"},
		"egress, too":      {func(r *hansev1.Registration) { r.Egress = &hansev1.EgressRegistration{Bind: "::"} }, "run a proxy for each"},
		"target by name":   {func(r *hansev1.Registration) { r.Ports[0].Target = "app:80" }, "target"},
		"address by name":  {func(r *hansev1.Registration) { r.Address = "vm1" }, "address"},
		"address any":      {func(r *hansev1.Registration) { r.Address = "0.0.0.0" }, "address"},
		"no inbound port":  {func(r *hansev1.Registration) { r.InboundPort = 0 }, "inbound_port"},
		"bad inbound bind": {func(r *hansev1.Registration) { r.InboundBind = "eth0" }, "inbound_bind"},
		"too many upstreams": {func(r *hansev1.Registration) {
			r.Upstreams = make([]*hansev1.Upstream, MaxWorkloadUpstreams+1)
		}, "at most 256"},
		"nil upstream":      {func(r *hansev1.Registration) { r.Upstreams[0] = nil }, "upstreams[0]"},
		"upstream in open":  {func(r *hansev1.Registration) { r.Upstreams[0].Bind = "10.0.0.1:9001" }, "not on loopback"},
		"upstream port":     {func(r *hansev1.Registration) { r.Upstreams[0].Port = "70000" }, "70000"},
		"bind twice":        {func(r *hansev1.Registration) { r.Upstreams = append(r.Upstreams, r.Upstreams[0]) }, "stands twice"},
		"http bind in open": {func(r *hansev1.Registration) { r.Open.HttpBind = "0.0.0.0:80" }, "open.http_bind"},
		"gateway bind":      {func(r *hansev1.Registration) { r.Gateway.Bind = ":15443" }, "gateway.bind"},
		"gateway address":   {func(r *hansev1.Registration) { r.Gateway.AdvertiseAddress = "a b" }, "gateway.advertise_address"},
		"gateway port":      {func(r *hansev1.Registration) { r.Gateway.AdvertisePort = 0 }, "gateway.advertise_port"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := RegistrationToProto(siteWorkload())
			c.change(r)
			_, err := WorkloadFromRegistration(r)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an error that says %q", err, c.says)
			}
		})
	}
	for bad, says := range map[*hansev1.EgressRegistration]string{
		{Bind: "eth0"}: "egress.bind", {Bind: "[::]:80"}: "egress.bind", {Bind: "ff02::1"}: "egress.bind", {Bind: "::", Namespace: "A"}: "egress.namespace",
	} {
		r := RegistrationToProto(egressWorkload())
		r.Egress = bad
		if _, err := WorkloadFromRegistration(r); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("egress %v: got %v, want an error that says %q", bad, err, says)
		}
	}
	if _, err := WorkloadFromRegistration(nil); err == nil {
		t.Error("a missing registration was accepted")
	}
}

func TestLongReasonIsCutAtACharacter(t *testing.T) {
	h := WorkloadHealthFromProto(&hansev1.WorkloadHealth{Reason: strings.Repeat("ä", MaxHealthReason) + "\xff"})
	if len(h.Reason) > MaxHealthReason || strings.Trim(h.Reason, "ä") != "" {
		t.Errorf("reason of %d bytes ends in %q", len(h.Reason), h.Reason[len(h.Reason)-4:])
	}
}

// Whatever bytes arrive, decoding never panics, and what it accepts it accepts again unchanged.
func TestAcceptedRegistrationIsStable(t *testing.T) {
	seed, err := proto.Marshal(RegistrationToProto(siteWorkload()))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		data := append([]byte(nil), seed...)
		for range rapid.IntRange(0, 4).Draw(t, "flips") {
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		var r hansev1.Registration
		if proto.Unmarshal(data, &r) != nil {
			return
		}
		w, err := WorkloadFromRegistration(&r)
		if err != nil {
			return
		}
		again, err := WorkloadFromRegistration(RegistrationToProto(w))
		if err != nil || !reflect.DeepEqual(w, again) {
			t.Fatalf("accepted %+v, then %+v (%v)", w, again, err)
		}
	})
}
