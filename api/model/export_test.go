package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func exported() ServiceExport {
	return ServiceExport{
		Service: ServiceKey{Namespace: "shop", Name: "db"}, CreatedAt: time.Unix(1_700_000_000, 0), Headless: true,
		Ports:      []Port{{Name: "dns", Number: 53, Protocol: ProtocolTCP}, {Name: "dns-udp", Number: 53, Protocol: ProtocolUDP}},
		IPFamilies: []IPFamily{IPv6, IPv4}, SessionAffinity: "ClientIP", AffinityTimeout: MaxAffinityTimeout,
		InternalTrafficPolicy: "Local", TrafficDistribution: "PreferSameZone",
		Labels: map[string]string{"example.com/Tier": "gold_1", "empty": ""}, Annotations: map[string]string{"Example.com/x": "any text: ä"},
		Endpoints: []ExportEndpoint{{"db-0", "10.0.0.1", true}, {"db-0", "2001:db8::1", true}, {"db-1", "10.0.0.2", false}},
	}
}

func TestExportValidates(t *testing.T) {
	if err := exported().Validate(); err != nil {
		t.Fatal(err)
	}
	many := func(n int) map[string]string {
		out := map[string]string{}
		for i := range n {
			out[fmt.Sprint("key-", i)] = "x"
		}
		return out
	}
	label := func(key, value string) func(*ServiceExport) {
		return func(e *ServiceExport) { e.Labels = map[string]string{key: value} }
	}
	address := func(a string) func(*ServiceExport) {
		return func(e *ServiceExport) { e.Endpoints = []ExportEndpoint{{"db-0", a, true}} }
	}
	for says, changes := range map[string][]func(*ServiceExport){
		"createdAt":             {func(e *ServiceExport) { e.CreatedAt = time.Time{} }, func(e *ServiceExport) { e.CreatedAt = time.Unix(1<<40, 0) }},
		"ipFamilies":            {func(e *ServiceExport) { e.IPFamilies = nil }, func(e *ServiceExport) { e.IPFamilies = []IPFamily{"IPv5"} }, func(e *ServiceExport) { e.IPFamilies = []IPFamily{IPv4, IPv4} }},
		"sessionAffinity":       {func(e *ServiceExport) { e.SessionAffinity = "Cookie" }},
		"affinityTimeout":       {func(e *ServiceExport) { e.AffinityTimeout = -1 }, func(e *ServiceExport) { e.AffinityTimeout++ }},
		"internalTrafficPolicy": {func(e *ServiceExport) { e.InternalTrafficPolicy = "Zone" }},
		"trafficDistribution":   {func(e *ServiceExport) { e.TrafficDistribution = "a b" }},
		"at most 64":            {func(e *ServiceExport) { e.Labels = many(MaxExportLabels + 1) }, func(e *ServiceExport) { e.Annotations = many(MaxExportLabels + 1) }},
		"exported label": {
			label("", "x"), label("a/b/c", "x"), label("/a", "x"), label("a/", "x"), label("A.example/x", "x"), label("a..b/x", "x"), label("-a", "x"),
			label(strings.Repeat("a", 64), "x"), label("a", "b c"), label("a", strings.Repeat("b", 64)), label(strings.Repeat("a.", 127)+"a/x", "x"),
		},
		"exported annotation": {func(e *ServiceExport) { e.Annotations = map[string]string{"a b": ""} }},
		"bytes":               {func(e *ServiceExport) { e.Annotations["x"] = strings.Repeat("x", MaxExportText) }},
		"not headless":        {func(e *ServiceExport) { e.Headless = false }},
		"at most 1000":        {func(e *ServiceExport) { e.Endpoints = make([]ExportEndpoint, MaxExportEndpoints+1) }},
		"hostname":            {func(e *ServiceExport) { e.Endpoints[0].Hostname = "db.0" }},
		"out of order":        {func(e *ServiceExport) { e.Endpoints[1] = e.Endpoints[0] }, func(e *ServiceExport) { slices.Reverse(e.Endpoints) }},
		"that a pod can have": {
			address(""), address("db-0"), address("127.0.0.1"), address("0.0.0.0"), address("224.0.0.1"), address("169.254.1.1"), address("fe80::1%eth0"),
			address("::ffff:10.0.0.1"), address("2001:DB8::1"),
		},
		"stands twice": {
			func(e *ServiceExport) { e.Ports[1].Protocol = ProtocolHTTP }, func(e *ServiceExport) { e.Ports[1].Name = "dns" },
		},
		"appProtocol": {func(e *ServiceExport) { e.Ports[0].AppProtocol = "a/b/c" }},
	} {
		for i, change := range changes {
			e := exported()
			e.Annotations = maps.Clone(e.Annotations)
			change(&e)
			if err := e.Validate(); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s, change %d: %v", says, i, err)
			}
		}
	}
}

func TestPortsSortByNumberAndUDPLast(t *testing.T) {
	want := []Port{{Number: 53, Protocol: ProtocolHTTP}, {Number: 53, Protocol: ProtocolUDP}, {Number: 54, Protocol: ProtocolTCP}}
	got := []Port{want[1], want[2], want[0]}
	slices.SortFunc(got, Port.Compare)
	if !slices.Equal(got, want) || want[0].Compare(want[0]) != 0 {
		t.Errorf("got %+v", got)
	}
}
