package codec

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

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
			app := rapid.SampledFrom([]string{"", "http", "kubernetes.io/h2c"}).Draw(t, "app")
			s.Ports = append(s.Ports, model.Port{Name: fmt.Sprint("p", n), Number: n, Protocol: protocol, AppProtocol: app})
			if rapid.Bool().Draw(t, "udp, too") {
				s.Ports = append(s.Ports, model.Port{Name: fmt.Sprint("u", n), Number: n, Protocol: model.ProtocolUDP})
			}
		}
		s.Identities = rapid.SliceOfN(rapid.StringN(1, -1, 60), 0, 3).Draw(t, "identities")
		if len(s.Identities) == 0 {
			s.Identities = nil
		}
		s.Capacity, s.Terminated = capacities().Draw(t, "capacity"), capacities().Draw(t, "terminated")
		if rapid.Bool().Draw(t, "exported") {
			s.Export = serviceExports(s.Service, s.Ports).Draw(t, "export")
		}
		return s
	})
}

func capacities() *rapid.Generator[[]model.Capacity] {
	return rapid.Custom(func(t *rapid.T) []model.Capacity {
		var out []model.Capacity
		for _, l := range rapid.SliceOfNDistinct(localities(), 0, 4, rapid.ID[model.Locality]).Draw(t, "localities") {
			total := rapid.Uint32().Draw(t, "total")
			out = append(out, model.Capacity{Locality: l, Ready: rapid.Uint32Max(total).Draw(t, "ready"), Total: total})
		}
		return out
	})
}

func serviceExports(service model.ServiceKey, ports []model.Port) *rapid.Generator[*model.ServiceExport] {
	text := func(values ...string) *rapid.Generator[string] { return rapid.SampledFrom(values) }
	return rapid.Custom(func(t *rapid.T) *model.ServiceExport {
		e := &model.ServiceExport{
			Service: service, Ports: ports, CreatedAt: time.Unix(rapid.Int64Range(1, 1<<37).Draw(t, "created"), 0).UTC(),
			Headless:        rapid.Bool().Draw(t, "headless"),
			IPFamilies:      rapid.SampledFrom([][]model.IPFamily{{model.IPv4}, {model.IPv6}, {model.IPv6, model.IPv4}}).Draw(t, "families"),
			SessionAffinity: text("", "None", "ClientIP").Draw(t, "affinity"), AffinityTimeout: rapid.Int32Range(0, model.MaxAffinityTimeout).Draw(t, "timeout"),
			InternalTrafficPolicy: text("", "Cluster", "Local").Draw(t, "policy"), TrafficDistribution: text("", "PreferClose").Draw(t, "distribution"),
		}
		if rapid.Bool().Draw(t, "labelled") {
			e.Labels, e.Annotations = map[string]string{"example.com/a": "", "b": "B.c"}, map[string]string{"Example.com/note": "any text\n"}
		}
		if e.Headless {
			for i := range rapid.IntRange(0, 5).Draw(t, "endpoints") {
				address := text("10.0.0.1", "2001:db8::1").Draw(t, "address")
				e.Endpoints = append(e.Endpoints, model.ExportEndpoint{Hostname: fmt.Sprint("web-", i), Address: address, Ready: rapid.Bool().Draw(t, "ready")})
			}
		}
		return e
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
		s := &model.SiteStatus{AgentVersion: rapid.StringN(0, -1, 20).Draw(t, "version"), Dropped: texts.Draw(t, "dropped"), Introduced: texts.Draw(t, "introduced"), Held: texts.Draw(t, "held")}
		if rapid.Bool().Draw(t, "expires") {
			s.EarliestExpiry = times().Draw(t, "expiry")
		}
		for range rapid.IntRange(0, 3).Draw(t, "proxies") {
			p := model.ProxyStatus{Workload: rapid.String().Draw(t, "workload"), Connected: rapid.Bool().Draw(t, "connected"), Ready: rapid.Bool().Draw(t, "ready"), Draining: rapid.Bool().Draw(t, "draining"), Declared: rapid.Bool().Draw(t, "declared")}
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
