package codec

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

func TestServiceRecordBounds(t *testing.T) {
	here := &hansev1.Locality{Region: "eu"}
	valid := func() *hansev1.ServiceRecord {
		return &hansev1.ServiceRecord{
			Namespace: "shop", Name: "cart", Identities: []string{strings.Repeat("s", MaxSPIFFEID)},
			Ports:      []*hansev1.Port{{Name: "a", Number: 80}, {Number: 81}, {Number: 82}},
			Capacity:   []*hansev1.Capacity{{Locality: here, Ready: math.MaxUint32, Total: math.MaxUint32}},
			Terminated: []*hansev1.Capacity{{Locality: here, Ready: 1, Total: 1}},
			Export:     &hansev1.ServiceExport{CreatedAt: 1, IpFamilies: []string{"IPv4"}},
		}
	}
	if _, err := serviceFromProto(valid()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*hansev1.ServiceRecord){
		"namespace":        func(s *hansev1.ServiceRecord) { s.Namespace = "a.b" },
		"name":             func(s *hansev1.ServiceRecord) { s.Name = "" },
		"identity":         func(s *hansev1.ServiceRecord) { s.Identities[0] += "s" },
		"identities":       func(s *hansev1.ServiceRecord) { s.Identities = make([]string, MaxIdentities+1) },
		"ports":            func(s *hansev1.ServiceRecord) { s.Ports = make([]*hansev1.Port, MaxServicePorts+1) },
		"port zero":        func(s *hansev1.ServiceRecord) { s.Ports[0].Number = 0 },
		"port wraps":       func(s *hansev1.ServiceRecord) { s.Ports[0].Number = 1<<16 + 80 },
		"port name":        func(s *hansev1.ServiceRecord) { s.Ports[0].Name = "A" },
		"port protocol":    func(s *hansev1.ServiceRecord) { s.Ports[0].Protocol = "quic" },
		"port twice":       func(s *hansev1.ServiceRecord) { s.Ports[1].Number = 80 },
		"port name twice":  func(s *hansev1.ServiceRecord) { s.Ports[1].Name = "a" },
		"app protocol":     func(s *hansev1.ServiceRecord) { s.Ports[0].AppProtocol = "a b" },
		"terminated":       func(s *hansev1.ServiceRecord) { s.Terminated[0].Ready = 2 },
		"terminated twice": func(s *hansev1.ServiceRecord) { s.Terminated = append(s.Terminated, s.Terminated[0]) },
		"too many of them": func(s *hansev1.ServiceRecord) { s.Terminated = make([]*hansev1.Capacity, MaxLocalities+1) },
		"export":           func(s *hansev1.ServiceRecord) { s.Export.IpFamilies = nil },
		"endpoints": func(s *hansev1.ServiceRecord) {
			s.Export.Headless, s.Export.Endpoints = true, make([]*hansev1.ExportEndpoint, model.MaxExportEndpoints+1)
		},
		"endpoint address": func(s *hansev1.ServiceRecord) {
			s.Export.Headless, s.Export.Endpoints = true, []*hansev1.ExportEndpoint{{Hostname: "a", Address: []byte("10.0.0.1")}}
		},
		"localities":       func(s *hansev1.ServiceRecord) { s.Capacity = make([]*hansev1.Capacity, MaxLocalities+1) },
		"no region":        func(s *hansev1.ServiceRecord) { s.Capacity[0].Locality = nil },
		"zone":             func(s *hansev1.ServiceRecord) { s.Capacity[0].Locality.Zone = "a b" },
		"more than there":  func(s *hansev1.ServiceRecord) { s.Capacity[0].Total-- },
		"a locality twice": func(s *hansev1.ServiceRecord) { s.Capacity = append(s.Capacity, &hansev1.Capacity{Locality: here}) },
	} {
		s := valid()
		s.Capacity[0].Locality = proto.Clone(here).(*hansev1.Locality)
		spoil(s)
		if got, err := serviceFromProto(s); err == nil {
			t.Errorf("%s: taken as %.200v", name, got)
		}
	}
}

func TestGatewayBounds(t *testing.T) {
	valid := func() *hansev1.GatewaySet {
		return &hansev1.GatewaySet{Gateways: []*hansev1.Gateway{
			{Name: "a", Address: "gw.example.com", Port: 443, Locality: &hansev1.Locality{Region: "eu"}},
			{Name: "b", Address: "fe80::1", Port: 65535, Locality: &hansev1.Locality{Region: "eu"}},
		}}
	}
	if _, err := gatewaysFromProto(valid()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*hansev1.GatewaySet){
		"too many":   func(s *hansev1.GatewaySet) { s.Gateways = make([]*hansev1.Gateway, MaxGateways+1) },
		"name":       func(s *hansev1.GatewaySet) { s.Gateways[0].Name = "" },
		"name twice": func(s *hansev1.GatewaySet) { s.Gateways[1].Name = "a" },
		"no address": func(s *hansev1.GatewaySet) { s.Gateways[0].Address = "" },
		"address":    func(s *hansev1.GatewaySet) { s.Gateways[0].Address = "gw.example.com\nx" },
		"host:port":  func(s *hansev1.GatewaySet) { s.Gateways[0].Address = "gw:443" },
		"anywhere":   func(s *hansev1.GatewaySet) { s.Gateways[0].Address = "0.0.0.0" },
		"long":       func(s *hansev1.GatewaySet) { s.Gateways[0].Address = strings.Repeat("a.", 200) + "a" },
		"port":       func(s *hansev1.GatewaySet) { s.Gateways[0].Port = 0 },
		"port wraps": func(s *hansev1.GatewaySet) { s.Gateways[0].Port = 1<<16 + 443 },
		"locality":   func(s *hansev1.GatewaySet) { s.Gateways[0].Locality = nil },
	} {
		s := valid()
		if spoil(s); true {
			if got, err := gatewaysFromProto(s); err == nil {
				t.Errorf("%s: taken as %.200v", name, got)
			}
		}
	}
}

func TestRecordBounds(t *testing.T) {
	if _, err := UnmarshalRecord(make([]byte, MaxRecord+1)); err == nil {
		t.Error("an overlong record is read")
	}
	for name, p := range map[string]*hansev1.Record{
		"a kind of the future": {Cluster: "alpha"},
		"no cluster":           {Content: &hansev1.Record_Gateways{Gateways: &hansev1.GatewaySet{}}},
	} {
		data, err := proto.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := UnmarshalRecord(data); err == nil {
			t.Errorf("%s: taken as %v", name, r)
		}
	}
	big := model.ServiceRecord{Service: model.ServiceKey{Namespace: "shop", Name: "cart"}}
	for range MaxIdentities {
		big.Identities = append(big.Identities, strings.Repeat("s", MaxSPIFFEID))
	}
	if _, err := MarshalRecord(model.Record{Cluster: "alpha", Service: &big}); err == nil || !strings.Contains(err.Error(), "service/shop/cart") {
		t.Errorf("a record that receivers refuse is made: %v", err)
	}
}
