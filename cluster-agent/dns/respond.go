package dns

import (
	"encoding/binary"

	wire "github.com/miekg/dns"
)

// Transport is what a query came by; it bounds the reply.
type Transport int

// The transports.
const (
	UDP Transport = iota
	TCP
)

const (
	// MaxQuery is the longest query that is looked at, in bytes. A name has at most 255, and nothing else in a query matters here.
	MaxQuery = 4096
	// MaxUDPReply is the longest reply over UDP, in bytes: what passes any path of today without fragments.
	MaxUDPReply = 1232
	headerSize  = 12
)

// Reply is the answer to one query.
type Reply struct {
	// Message is what is sent; nil when nothing must be, because the query is no query at all.
	Message []byte
	// Type and Code are the question's type, zero when it could not be read, and the reply's code (RCODE).
	Type uint16
	Code int
	// Truncated says that the caller must ask again over TCP.
	Truncated bool
}

// Respond turns the bytes of a query into the reply. It never fails: what cannot be understood is answered with FORMERR, or not at all.
// turn is any number that grows from query to query.
func Respond(z *Zone, query []byte, by Transport, turn uint32) Reply {
	// A response to a response would never end.
	if len(query) < headerSize || query[2]&0x80 != 0 {
		return Reply{}
	}
	if opcode := int(query[2]>>3) & 0xF; opcode != wire.OpcodeQuery {
		return refusal(query, wire.RcodeNotImplemented)
	}
	var q wire.Msg
	// Counts are looked at first, so that a query which claims thousands of records costs nothing.
	if len(query) > MaxQuery || !plausible(query) || q.Unpack(query) != nil || len(q.Question) != 1 {
		return refusal(query, wire.RcodeFormatError)
	}
	m := new(wire.Msg)
	m.SetReply(&q)
	limit := sizeOf(by, q.IsEdns0())
	if opt := q.IsEdns0(); opt != nil && opt.Version() != 0 {
		m.Rcode = wire.RcodeBadVers
	} else {
		z.answer(m, limit, turn)
	}
	fit(m, &q, limit, by)
	out, err := m.Pack()
	if err != nil {
		return refusal(query, wire.RcodeServerFailure)
	}
	return Reply{Message: out, Type: m.Question[0].Qtype, Code: m.Rcode, Truncated: m.Truncated}
}

// plausible reports whether the header's counts are those of a query: one question, no answers, and at most OPT and a signature.
func plausible(query []byte) bool {
	count := func(i int) uint16 { return binary.BigEndian.Uint16(query[i:]) }
	return count(4) == 1 && count(6) == 0 && count(8) == 0 && count(10) <= 2
}

// sizeOf is how long the reply may be, in bytes (RFC 1035, RFC 6891).
func sizeOf(by Transport, opt *wire.OPT) int {
	switch {
	case by == TCP:
		return wire.MaxMsgSize
	case opt == nil:
		return wire.MinMsgSize
	}
	return min(max(int(opt.UDPSize()), wire.MinMsgSize), MaxUDPReply)
}

// fit adds what EDNS asks for, and cuts the message to its limit: first what was not asked for, and then, with a sign over UDP, the rest.
func fit(m, q *wire.Msg, limit int, by Transport) {
	additional := m.Extra
	m.Compress = true
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(MaxUDPReply, opt.Do())
	}
	if m.Len() > limit {
		m.Extra = m.Extra[len(additional):]
		m.Truncate(limit)
	}
	if by == TCP {
		// There is nothing greater to ask by: the answer is a part of what there is, and turns bring the others.
		m.Truncated = false
	}
}

// refusal is a reply without a body, made of the query's header alone.
func refusal(query []byte, code int) Reply {
	out := make([]byte, headerSize)
	copy(out, query[:2])
	// QR, the opcode and RD as asked.
	out[2] = 0x80 | query[2]&0x79
	out[3] = byte(code)
	return Reply{Message: out, Code: code}
}
