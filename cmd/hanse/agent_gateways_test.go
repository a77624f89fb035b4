package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
)

func TestNamesAreFew(t *testing.T) {
	if got := namesText([]model.ClusterName{"a", "b", "c", "d", "e", "f", "g"}); got != "a, b, c, d, e and 2 more" {
		t.Error(got)
	}
}

func TestGatewayList(t *testing.T) {
	f := newFleet(t, "eu", "us")
	eu := f.sites[0]
	eu.finds(verdict.Bad)
	p := &eu.out.points["zug"][0]
	p.Own = verdict.Step(p.Own, verdict.Outcome{Connect: 21 * time.Millisecond, Err: "connected, but EOF"}, verdict.DefaultThresholds, start)
	f.sites[1].finds(verdict.Good)
	f.after(1)
	dir := serveAgent(t, eu.site)
	text, err := hanse(t, "gateway", "list", "--data-dir", dir)
	if want := "zug gw 192.0.2.9:7722 bad bad 21ms us - connected, but EOF"; err != nil || !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
		t.Errorf("%v, %q is not in\n%s", err, want, text)
	}
	var drained, none strings.Builder
	printGateways(&drained, []gatewayView{{Reachable: "good", Draining: true}})
	printGateways(&none, nil)
	if !strings.Contains(drained.String(), "good (out of rotation)") || !strings.Contains(none.String(), "no other cluster's gateway is known") {
		t.Errorf("out of rotation: %s\nnone: %s", &drained, &none)
	}
	text, err = hanse(t, "gateway", "list", "--data-dir", dir, "-o", "json")
	if err != nil || !strings.Contains(text, `"goodFor": [`) || !strings.Contains(text, `"suspicious": true`) {
		t.Errorf("as JSON: %v\n%s", err, text)
	}
}

func TestGatewayMetrics(t *testing.T) {
	var list []gatewayView
	for i, reachable := range []string{"good", "bad", "unknown"} {
		list = append(list, gatewayView{Cluster: "zug", Gateway: "gw", Address: fmt.Sprint("192.0.2.", i, ":1"), Reachable: reachable})
	}
	list[0].ProbeSeconds = 0.25
	samples := func(list []gatewayView) (out []string) {
		r := prometheus.NewPedanticRegistry()
		r.MustRegister(newGatewayMetrics(func() []gatewayView { return list }))
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				out = append(out, fmt.Sprint(family.GetName(), " ", m.GetLabel()[0].GetValue(), " ", m.GetGauge().GetValue()))
			}
		}
		return out
	}
	want := []string{"hanse_gateway_probe_seconds 192.0.2.0:1 0.25", "hanse_gateway_reachable 192.0.2.0:1 1", "hanse_gateway_reachable 192.0.2.1:1 0"}
	if got := samples(list); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for i := range 2 * maxGatewayMetrics {
		list = append(list, gatewayView{Cluster: "zug", Gateway: fmt.Sprint("gw", i), Reachable: "bad"})
	}
	if got := samples(list); len(got) > maxGatewayMetrics {
		t.Errorf("%d samples of gateways that another cluster named", len(got))
	}
}
