package main

import (
	"github.com/prometheus/client_golang/prometheus"

	wire "github.com/miekg/dns"

	"github.com/hanse-mesh/hanse/cluster-agent/dns"
)

// countAnswers registers the counters of replies, and returns who counts. Callers choose the types of their questions: the rare ones are one.
func countAnswers(r *prometheus.Registry) func(dns.Transport, dns.Reply) {
	replies := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "hanse", Name: "dns_replies_total", Help: "replies to queries, by transport, type of question and code",
	}, []string{"transport", "type", "code"})
	truncated := prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "hanse", Name: "dns_truncated_total", Help: "replies over UDP that did not hold everything, so that callers ask again over TCP",
	})
	r.MustRegister(replies, truncated)
	return func(by dns.Transport, reply dns.Reply) {
		transport, kind := "udp", "other"
		if by == dns.TCP {
			transport = "tcp"
		}
		switch reply.Type {
		case wire.TypeA, wire.TypeAAAA, wire.TypeSRV, wire.TypeTXT, wire.TypeSOA:
			kind = wire.TypeToString[reply.Type]
		}
		replies.WithLabelValues(transport, kind, wire.RcodeToString[reply.Code]).Inc()
		if reply.Truncated {
			truncated.Inc()
		}
	}
}
