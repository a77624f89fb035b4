package xds

import (
	"regexp"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
)

func TestCountUnderWay(t *testing.T) {
	stats := map[string]uint64{
		"http.from_p_8080_payments_shop.downstream_rq_active":            2,
		"http.to_p_8080_payments_shop.downstream_rq_active":              100,
		"cluster.in|8080.upstream_rq_active":                             200,
		"cluster.in|5432.upstream_rq_active":                             3,
		"http.from_t_8080_payments_shop.downstream_rq_active":            6,
		"http.from_t_53-udp_payments_shop.downstream_rq_active":          300,
		"cluster.p_8080_payments_shop.upstream_rq_active":                7,
		"cluster.t_8080_payments_shop.upstream_rq_active":                8,
		"cluster.t_53-udp_payments_shop.upstream_rq_active":              400,
		"cluster.xds.upstream_rq_active":                                 500,
		"connection_limit.term_t_8080_payments_shop.active_connections":  600,
		"connection_limit.pass_p_8080_payments_shop.active_connections":  4,
		"connection_limit.pass_p_5432_payments_shop.active_connections":  5,
		"connection_limit.probe.active_connections":                      1000,
		"connection_limit.pass_p_8080_payments_shop.limited_connections": 2000,
	}
	filter, read := regexp.MustCompile(UnderWayFilter), map[string]uint64{}
	for name, n := range stats {
		if filter.MatchString(name) {
			read[name] = n
		}
	}
	server := model.Workload{Service: payments, Ports: []model.WorkloadPort{{Port: httpPort(8080)}, {Port: tcpPort(5432)}}}
	if got := CountUnderWay(server, read); got != (UnderWay{Requests: 2, Sessions: 3}) || got.None() {
		t.Errorf("server: %+v", got)
	}
	if got := CountUnderWay(model.Workload{Gateway: &model.WorkloadGateway{}}, read); got != (UnderWay{Requests: 8, Sessions: 9}) {
		t.Errorf("gateway: %+v", got)
	}
	if got := CountUnderWay(model.Workload{Egress: &model.WorkloadEgress{}}, read); got != (UnderWay{Requests: 15}) {
		t.Errorf("egress gateway: %+v", got)
	}
	if got := CountUnderWay(model.Workload{}, read); !got.None() {
		t.Errorf("a workload that only calls: %+v", got)
	}
}
