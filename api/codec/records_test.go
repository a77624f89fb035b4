package codec

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

func localities() *rapid.Generator[model.Locality] {
	return rapid.Custom(func(t *rapid.T) model.Locality {
		return model.Locality{Region: labels().Draw(t, "region"), Zone: rapid.OneOf(rapid.Just(""), labels()).Draw(t, "zone")}
	})
}

func serviceRecords() *rapid.Generator[*model.ServiceRecord] {
	return rapid.Custom(func(t *rapid.T) *model.ServiceRecord {
		s := &model.ServiceRecord{Service: model.ServiceKey{Namespace: labels().Draw(t, "namespace"), Name: labels().Draw(t, "name")}}
		for _, n := range rapid.SliceOfNDistinct(rapid.Uint16Min(1), 0, 4, rapid.ID[uint16]).Draw(t, "ports") {
			protocol := rapid.SampledFrom([]model.Protocol{model.ProtocolHTTP, model.ProtocolHTTP2, model.ProtocolGRPC, model.ProtocolTCP}).Draw(t, "protocol")
			s.Ports = append(s.Ports, model.Port{Name: fmt.Sprint("p", n), Number: n, Protocol: protocol})
		}
		s.Identities = rapid.SliceOfN(rapid.StringN(1, -1, 60), 0, 3).Draw(t, "identities")
		if len(s.Identities) == 0 {
			s.Identities = nil
		}
		for _, l := range rapid.SliceOfNDistinct(localities(), 0, 4, rapid.ID[model.Locality]).Draw(t, "localities") {
			total := rapid.Uint32().Draw(t, "total")
			s.Capacity = append(s.Capacity, model.Capacity{Locality: l, Ready: rapid.Uint32Max(total).Draw(t, "ready"), Total: total})
		}
		return s
	})
}

func gatewaySets() *rapid.Generator[[]model.Gateway] {
	return rapid.Custom(func(t *rapid.T) []model.Gateway {
		var out []model.Gateway
		for _, name := range rapid.SliceOfNDistinct(labels(), 0, 4, rapid.ID[string]).Draw(t, "names") {
			out = append(out, model.Gateway{
				Name: name, Address: rapid.SampledFrom([]string{"10.0.0.1", "2001:db8::1", "gw.example.com", "gateway"}).Draw(t, "address"),
				Port: rapid.Uint16Min(1).Draw(t, "port"), Locality: localities().Draw(t, "locality"), Draining: rapid.Bool().Draw(t, "draining"),
			})
		}
		return out
	})
}

func statuses() *rapid.Generator[*model.SiteStatus] {
	texts := rapid.Custom(func(t *rapid.T) []string {
		return append([]string(nil), rapid.SliceOfN(rapid.StringN(0, -1, 60), 0, 3).Draw(t, "texts")...)
	})
	return rapid.Custom(func(t *rapid.T) *model.SiteStatus {
		s := &model.SiteStatus{AgentVersion: rapid.StringN(0, -1, 20).Draw(t, "version"), Dropped: texts.Draw(t, "dropped"), Introduced: texts.Draw(t, "introduced")}
		if rapid.Bool().Draw(t, "expires") {
			s.EarliestExpiry = times().Draw(t, "expiry")
		}
		for range rapid.IntRange(0, 3).Draw(t, "proxies") {
			p := model.ProxyStatus{Workload: rapid.String().Draw(t, "workload"), Connected: rapid.Bool().Draw(t, "connected"), Ready: rapid.Bool().Draw(t, "ready")}
			for range rapid.IntRange(0, 2).Draw(t, "nacks") {
				p.Nacks = append(p.Nacks, model.Nack{TypeURL: "type", Reason: rapid.String().Draw(t, "reason"), At: times().Draw(t, "at")})
			}
			s.Proxies = append(s.Proxies, p)
		}
		return s
	})
}

func recordsOfAllKinds() *rapid.Generator[model.Record] {
	return rapid.Custom(func(t *rapid.T) model.Record {
		r := model.Record{Cluster: model.ClusterName(labels().Draw(t, "cluster")), Version: versions().Draw(t, "version")}
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			r.Service = serviceRecords().Draw(t, "service")
		case 1:
			r.Gateways = gatewaySets().Draw(t, "gateways")
		default:
			r.Status = statuses().Draw(t, "status")
		}
		return r
	})
}

func TestRecordsSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := recordsOfAllKinds().Draw(t, "record")
		data, err := MarshalRecord(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := UnmarshalRecord(data)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%+v\nwant\n%+v", got, want)
		}
		if again, err := MarshalRecord(got); err != nil || !bytes.Equal(data, again) {
			t.Fatalf("the same record has other bytes: %v\n%x\n%x", err, data, again)
		}
	})
}

func TestNoBytesMakeUnmarshalRecordPanicOrLie(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data, err := MarshalRecord(recordsOfAllKinds().Draw(t, "record"))
		if err != nil {
			t.Fatal(err)
		}
		if data = mutated(t, data); rapid.IntRange(0, 3).Draw(t, "random") == 0 {
			data = rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		}
		r, err := UnmarshalRecord(data)
		if err != nil {
			return
		}
		again, err := MarshalRecord(r)
		if err != nil {
			t.Fatalf("it was taken, but cannot be said again: %v", err)
		}
		if second, err := UnmarshalRecord(again); err != nil || !reflect.DeepEqual(second, r) {
			t.Fatalf("taken as\n%+v\nand then as\n%+v: %v", r, second, err)
		}
	})
}

func TestServiceRecordBounds(t *testing.T) {
	here := &hansev1.Locality{Region: "eu"}
	valid := func() *hansev1.ServiceRecord {
		return &hansev1.ServiceRecord{
			Namespace: "shop", Name: "cart", Identities: []string{strings.Repeat("s", MaxSPIFFEID)},
			Ports:    []*hansev1.Port{{Name: "a", Number: 80}, {Number: 81}, {Number: 82}},
			Capacity: []*hansev1.Capacity{{Locality: here, Ready: math.MaxUint32, Total: math.MaxUint32}},
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
		"port protocol":    func(s *hansev1.ServiceRecord) { s.Ports[0].Protocol = "sctp" },
		"port twice":       func(s *hansev1.ServiceRecord) { s.Ports[1].Number = 80 },
		"port name twice":  func(s *hansev1.ServiceRecord) { s.Ports[1].Name = "a" },
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

func TestAStatusAlwaysFits(t *testing.T) {
	long := strings.Repeat("é", 5000)
	var s model.SiteStatus
	s.AgentVersion = long
	for i := range 3000 {
		p := model.ProxyStatus{Workload: fmt.Sprint("w", i, long), EnvoyVersion: long}
		for range 20 {
			p.Nacks = append(p.Nacks, model.Nack{TypeURL: long, Reason: "\xff" + long})
		}
		s.Proxies, s.Dropped, s.Introduced = append(s.Proxies, p), append(s.Dropped, long), append(s.Introduced, long)
	}
	check := func(what string, s model.SiteStatus, proxies int) {
		t.Helper()
		// The largest cluster name and version are what else is in the record.
		data, err := MarshalRecord(model.Record{
			Cluster: model.ClusterName(strings.Repeat("c", 63)), Status: &s,
			Version: model.Version{Incarnation: math.MaxUint64, Epoch: math.MaxUint64, Seq: math.MaxUint64},
		})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		r, err := UnmarshalRecord(data)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n := len(r.Status.Proxies); n < proxies {
			t.Errorf("%s: %d proxies are left, want %d", what, n, proxies)
		}
	}
	check("everything at once", s, 1)
	s.Dropped, s.Introduced = nil, nil
	check("proxies with refusals", s, 12)
	for i := range s.Proxies {
		s.Proxies[i] = model.ProxyStatus{Workload: fmt.Sprint("w", i), Ready: true}
	}
	check("proxies that fare well", s, maxStatusList)
}

func TestANackIsCutToValidText(t *testing.T) {
	for _, reason := range []string{strings.Repeat("é", maxStatusText), "x" + strings.Repeat("é", maxStatusText), "a\xffb", "\xc3"} {
		p := NackToProto(model.Nack{Reason: reason})
		if n := len(p.GetReason()); n > maxStatusText || !utf8.ValidString(p.GetReason()) || len(reason) > maxStatusText && n < maxStatusText-1 {
			t.Errorf("%.20q: %d bytes, valid: %v", reason, n, utf8.ValidString(p.GetReason()))
		}
	}
}
