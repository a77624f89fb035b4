package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// digester writes a canonical encoding: strings and lists carry their length, so that no two contents share one. It keeps its buffer
// between parts, because a build digests thousands of them.
type digester struct{ buf []byte }

// begin starts a part; kind keeps parts of different kinds apart.
func (d *digester) begin(kind string) {
	d.buf = d.buf[:0]
	d.str(kind)
}

func (d *digester) num(n uint64) { d.buf = binary.AppendUvarint(d.buf, n) }

func (d *digester) str(s string) {
	d.num(uint64(len(s)))
	d.buf = append(d.buf, s...)
}

func (d *digester) flag(b bool) {
	if b {
		d.buf = append(d.buf, 1)
	} else {
		d.buf = append(d.buf, 0)
	}
}

func (d *digester) strs(list []string) {
	d.num(uint64(len(list)))
	for _, s := range list {
		d.str(s)
	}
}

// end returns the part's digest in hexadecimal.
func (d *digester) end() string {
	sum := sha256.Sum256(d.buf)
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

func (d *digester) locality(l model.Locality) {
	d.str(l.Region)
	d.str(l.Zone)
}

func (d *digester) service(k model.ServiceKey) {
	d.str(k.Namespace)
	d.str(k.Name)
}

func (d *digester) port(p model.Port) {
	d.str(p.Name)
	d.num(uint64(p.Number))
	d.str(string(p.Protocol))
	d.str(p.AppProtocol)
}

func (d *digester) endpoints(list []route.Endpoint) {
	d.num(uint64(len(list)))
	for i := range list {
		e := &list[i]
		d.str(e.Address)
		d.num(uint64(e.Port))
		d.num(uint64(e.Weight))
		d.flag(e.Healthy)
		d.flag(e.Gateway)
		d.str(string(e.Via))
	}
}

func (d *digester) assignment(a route.Assignment) {
	d.num(uint64(len(a.Priorities)))
	for _, p := range a.Priorities {
		d.num(uint64(len(p.Groups)))
		for i := range p.Groups {
			g := &p.Groups[i]
			d.str(string(g.Cluster))
			d.locality(g.Locality)
			d.num(uint64(g.Weight))
			d.endpoints(g.Endpoints)
		}
	}
}

func (d *digester) localAssignment(sni string, a LocalAssignment) string {
	d.begin("assignment")
	d.str(sni)
	d.locality(a.Locality)
	d.assignment(a.Assignment)
	return d.end()
}

func (d *digester) servicePort(s *ServicePort) (config, all string) {
	d.begin("service")
	d.service(s.Service)
	d.port(s.Port)
	d.str(s.SNI)
	d.strs(s.Identities)
	d.strs(s.Terminators)
	d.flag(s.Plain)
	d.flag(s.Affinity)
	d.num(uint64(s.EgressPort))
	d.flag(s.VIP.IsValid())
	if s.VIP.IsValid() {
		d.buf = s.VIP.AppendTo(d.buf)
	}
	config = d.end()
	d.begin("service with assignments")
	d.str(config)
	for _, a := range s.Assignments {
		d.str(a.Digest)
	}
	return config, d.end()
}

func (d *digester) workload(w *Workload) string {
	d.begin("workload")
	d.str(w.ID)
	d.service(w.Service)
	d.str(w.Namespace)
	d.str(w.ServiceAccount)
	d.locality(w.Locality)
	d.num(uint64(len(w.Ports)))
	for _, p := range w.Ports {
		d.port(p.Port)
		d.str(p.Target)
	}
	d.str(w.Address)
	d.num(uint64(w.InboundPort))
	d.str(w.InboundBind)
	d.flag(w.Export)
	d.upstreams(w)
	d.flag(w.Gateway != nil)
	if g := w.Gateway; g != nil {
		d.str(g.Bind)
		d.str(g.AdvertiseAddress)
		d.num(uint64(g.AdvertisePort))
	}
	d.flag(w.Egress != nil)
	if e := w.Egress; e != nil {
		d.str(e.Bind)
		d.str(e.Namespace)
	}
	d.flag(w.Plain)
	d.flag(w.Health.Ready)
	d.flag(w.Health.Draining)
	d.str(w.Health.Reason)
	d.strs(w.Callers)
	d.strs(w.Problems)
	return d.end()
}

func (d *digester) upstreams(w *Workload) {
	d.num(uint64(len(w.Upstreams)))
	for _, u := range w.Upstreams {
		d.service(u.Service)
		d.str(u.Port)
		d.str(u.Bind)
	}
	d.flag(w.Open != nil)
	if w.Open != nil {
		d.flag(w.Open.VIPs)
		d.str(w.Open.HTTPBind)
	}
	d.num(uint64(len(w.Calls)))
	for _, c := range w.Calls {
		d.str(c.Bind)
		d.str(c.SNI)
		d.str(string(c.Protocol))
	}
}

func (d *digester) passthrough(p *Passthrough) string {
	d.begin("passthrough")
	d.str(p.SNI)
	d.str(string(p.Protocol))
	d.endpoints(p.Endpoints)
	return d.end()
}

func (d *digester) terminated(t *Terminated) string {
	d.begin("terminated")
	d.str(t.SNI)
	d.str(string(t.Protocol))
	d.strs(t.Callers)
	d.endpoints(t.Endpoints)
	return d.end()
}

func (d *digester) trust(t *Trust) string {
	d.begin("trust")
	for _, b := range t.Bundles {
		d.bundle(b)
	}
	return d.end()
}

func (d *digester) bundle(b model.Bundle) {
	d.str(b.TrustDomain)
	d.num(b.Sequence)
	d.num(uint64(len(b.Roots)))
	for _, r := range b.Roots {
		d.str(string(r))
	}
}

func (d *digester) snapshot(s *Snapshot) string {
	d.begin("snapshot")
	d.str(s.Federation)
	d.str(string(s.Cluster))
	d.str(s.TrustDomain)
	d.num(uint64(len(s.Services)))
	for _, p := range s.Services {
		d.str(p.Digest)
	}
	d.num(uint64(len(s.Workloads)))
	for _, w := range s.Workloads {
		d.str(w.Digest)
	}
	d.num(uint64(len(s.Passthrough)))
	for _, p := range s.Passthrough {
		d.str(p.Digest)
	}
	d.num(uint64(len(s.Terminated)))
	for _, t := range s.Terminated {
		d.str(t.Digest)
	}
	d.str(s.Trust.Digest)
	d.strs(s.Problems)
	return d.end()
}
