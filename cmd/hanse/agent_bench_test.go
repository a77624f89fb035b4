package main

import (
	"fmt"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/trust/records"
)

// BenchmarkSite is what one change costs the agent's core, from its arrival to the snapshot, at a site with 100 workloads of its own
// that imports 1,000 services from each of two clusters.
func BenchmarkSite(b *testing.B) {
	own, us, ap := newPeer(b, "eu", 1), newPeer(b, "us", 2), newPeer(b, "ap", 3)
	s := newSite(b, b.TempDir(), own)
	out := &s.siteCore.out
	out.kick, out.complete, out.publish = func() {}, func() {}, func([]model.Record, []string) {}
	out.targets, out.status = func([]probe.Target) {}, func() model.SiteStatus { return model.SiteStatus{} }
	s.State(opened(view(b, own, us, ap)).Proto(false))
	var locals []model.Workload
	for i := range 100 {
		locals = append(locals, workload(fmt.Sprint("local-", i), fmt.Sprint("local-", i)))
	}
	s.source(fromProxies, all(locals...))
	var services []string
	for i := range 1000 {
		services = append(services, fmt.Sprint("service-", i))
	}
	s.Import(us.offers(b, 1, services...))
	s.Import(ap.offers(b, 1, services...))
	var l loop
	follow := func() {
		s.pass(&l, true, start)
		if s.build() == nil {
			b.Fatal("no snapshot")
		}
	}
	follow()
	b.Run("import", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Import(us.another(b, s.siteCore))
			follow()
		}
	})
	b.Run("own workload", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			locals[7].Health.Ready = !locals[7].Health.Ready
			s.source(fromProxies, source.Update{Upserts: locals[7:8]})
			follow()
		}
	})
}

// BenchmarkCluster is what one change costs the core of a Kubernetes cluster's agent, from its arrival to the snapshot, with 1,000 exported
// services of ten pods, and as many services of another cluster.
func BenchmarkCluster(b *testing.B) {
	own, us := newPeer(b, "eu", 1), newPeer(b, "us", 2)
	s := siteOf(b, b.TempDir(), own, fromProxies, fromKubernetes)
	out := &s.siteCore.out
	out.kick, out.complete, out.publish = func() {}, func() {}, func([]model.Record, []string) {}
	out.targets, out.status = func([]probe.Target) {}, func() model.SiteStatus { return model.SiteStatus{} }
	s.State(opened(view(b, own, us)).Proto(false))
	full := source.Update{Full: true}
	var services []string
	for i := range 1000 {
		name := fmt.Sprint("service-", i)
		services = append(services, name)
		e := exportOf(name)
		e.Ports = []model.Port{{Name: "http", Number: 8080, Protocol: model.ProtocolHTTP}}
		full.Exports = append(full.Exports, e)
		for j := range 10 {
			w := pod(fmt.Sprintf("shop/%s/%d", name, j), fmt.Sprintf("10.%d.%d.%d", j, i/250, i%250+1))
			w.Service.Name = name
			full.Upserts = append(full.Upserts, w)
		}
	}
	s.source(fromProxies, all())
	s.source(fromKubernetes, full)
	s.Import(us.offers(b, 1, services...))
	var l loop
	s.pass(&l, true, start)
	changed := full.Upserts[7:8]
	b.Run("pass", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			changed[0].Health.Ready = !changed[0].Health.Ready
			s.source(fromKubernetes, source.Update{Upserts: changed})
			s.pass(&l, true, start)
		}
	})
	b.Run("snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			changed[0].Health.Ready = !changed[0].Health.Ready
			s.source(fromKubernetes, source.Update{Upserts: changed})
			if s.build() == nil {
				b.Fatal("no snapshot")
			}
		}
	})
}

// another is a change of the peer that leads on from what the core holds.
func (p peer) another(t testing.TB, c *siteCore) model.Batch {
	var from model.Version
	var r model.Record
	for _, o := range c.imports.All() {
		if o.Origin == p.Name {
			from, r = o.Version, o.Records[len(o.Records)/2]
		}
	}
	service := *r.Service
	service.Capacity = []model.Capacity{{Locality: model.Locality{Region: p.Region}, Ready: 1 - service.Capacity[0].Ready, Total: 1}}
	to := from
	to.Seq++
	signed, err := records.Sign(p.agent, model.Record{Cluster: p.Name, Version: to, Service: &service})
	if err != nil {
		t.Fatal(err)
	}
	return model.Batch{Origin: p.Name, From: from, To: to, ProducedAt: start, Instance: "i", Upserts: []model.SignedRecord{signed}}
}
