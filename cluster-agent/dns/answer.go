package dns

import (
	"net/netip"

	wire "github.com/miekg/dns"
)

const (
	// TTL is how long answers may be kept, also negative ones, in seconds: as long as CoreDNS keeps a cluster's own.
	TTL = 5
	// versionTTL is that of the schema's version, which changes with the program.
	versionTTL = 28800
	// smallestRecord is the size of the shortest record that an answer has many of: an A record with a compressed name, in bytes.
	smallestRecord = 16
)

// answer fills in what the zone says to a question. turn moves what there is several of, so that callers who take the first one meet all of
// them, and so that an answer which cannot hold all holds others the next time. No more records are made than limit bytes can hold, and one.
func (z *Zone) answer(m *wire.Msg, limit int, turn uint32) {
	q := m.Question[0]
	name := wire.CanonicalName(q.Name)
	switch {
	case q.Qclass != wire.ClassINET || !inZone(name) || q.Qtype == wire.TypeAXFR || q.Qtype == wire.TypeIXFR:
		m.Rcode = wire.RcodeRefused
		return
	case z == nil:
		m.Rcode = wire.RcodeServerFailure
		return
	}
	m.Authoritative = true
	at, known := z.find(name)
	if !known {
		m.Rcode = wire.RcodeNameError
	} else {
		r := records{owner: q.Name, most: limit/smallestRecord + 1, turn: turn}
		m.Answer, m.Extra = z.records(at, q.Qtype, &r)
	}
	if len(m.Answer) == 0 {
		m.Ns = []wire.RR{z.soa(apex)}
	}
}

// records are the records of a type at a name, and what callers will ask for next.
func (z *Zone) records(at node, qtype uint16, r *records) (answer, extra []wire.RR) {
	switch {
	case qtype == wire.TypeA || qtype == wire.TypeAAAA:
		return r.ofAddresses(at.addresses, qtype), nil
	case qtype == wire.TypeSRV:
		return r.ofEndpoints(at)
	case qtype == wire.TypeSOA && at.soa:
		return []wire.RR{z.soa(r.owner)}, nil
	case qtype == wire.TypeTXT && at.text != "":
		return []wire.RR{&wire.TXT{Hdr: header(r.owner, wire.TypeTXT, versionTTL), Txt: []string{at.text}}}, nil
	case qtype == wire.TypeANY:
		// RFC 8482: nobody who asks for everything needs it, and it would be the longest answer.
		return []wire.RR{&wire.HINFO{Hdr: header(r.owner, wire.TypeHINFO, TTL), Cpu: "RFC8482"}}, nil
	}
	return nil, nil
}

// records makes records with one owner.
type records struct {
	owner string
	most  int
	turn  uint32
}

// ofAddresses are the addresses of one family.
func (r *records) ofAddresses(addresses []netip.Addr, qtype uint16) []wire.RR {
	var out []wire.RR
	for i := range addresses {
		if len(out) == r.most {
			break
		}
		if a := addresses[turned(i, r.turn, len(addresses))]; a.Is4() == (qtype == wire.TypeA) {
			out = append(out, addressRecord(r.owner, a))
		}
	}
	return out
}

// ofEndpoints are SRV records, each pair of target and port once: one number for TCP and UDP is one record at the service's own name. Behind
// them are the targets' addresses.
func (r *records) ofEndpoints(at node) (answer, extra []wire.RR) {
	for i := range at.endpoints {
		e := at.endpoints[turned(i, r.turn, len(at.endpoints))]
		target := at.base
		if e.target != "" {
			target = e.target + "." + at.base
		}
		seen := map[uint16]bool{}
		for _, p := range e.ports {
			if len(answer) == r.most {
				return answer, extra
			}
			if at.wants(p) && !seen[p.number] {
				seen[p.number] = true
				answer = append(answer, &wire.SRV{
					Hdr: header(r.owner, wire.TypeSRV, TTL), Weight: srvWeight, Port: p.number, Target: target,
				})
			}
		}
		for _, a := range e.addresses {
			if len(seen) > 0 && len(extra) < r.most {
				extra = append(extra, addressRecord(target, a))
			}
		}
	}
	return answer, extra
}

// srvWeight is everybody's: they share evenly (RFC 2782).
const srvWeight = 100

// turned is the place that stands at i after a turn.
func turned(i int, turn uint32, n int) int { return int((uint64(turn) + uint64(i)) % uint64(n)) }

func addressRecord(owner string, a netip.Addr) wire.RR {
	if a.Is4() {
		return &wire.A{Hdr: header(owner, wire.TypeA, TTL), A: a.AsSlice()}
	}
	return &wire.AAAA{Hdr: header(owner, wire.TypeAAAA, TTL), AAAA: a.AsSlice()}
}

func header(owner string, rrtype uint16, ttl uint32) wire.RR_Header {
	return wire.RR_Header{Name: owner, Rrtype: rrtype, Class: wire.ClassINET, Ttl: ttl}
}

// soa tells how long a negative answer may be kept (RFC 2308). Nobody transfers the zone, so that its other times mean nothing.
func (z *Zone) soa(owner string) wire.RR {
	return &wire.SOA{
		Hdr: header(owner, wire.TypeSOA, TTL), Ns: "ns.dns." + apex, Mbox: "hostmaster." + apex,
		Serial: z.serial, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: TTL,
	}
}
