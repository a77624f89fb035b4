package dns

import (
	"bytes"
	"testing"

	wire "github.com/miekg/dns"
)

func TestRepliesFitTheirTransport(t *testing.T) {
	z, name := crowd(1000), key("shop", "crowd").Host()+"."
	for _, c := range []struct {
		what      string
		qtype     uint16
		by        Transport
		edns      uint16
		most      int
		truncated bool
		records   int
	}{
		{"A without EDNS", wire.TypeA, UDP, 0, 512, true, 28},
		{"A with little EDNS", wire.TypeA, UDP, 100, 512, true, 28},
		{"A with EDNS", wire.TypeA, UDP, 1000, 1000, true, 58},
		{"A with too much EDNS", wire.TypeA, UDP, 65535, MaxUDPReply, true, 73},
		{"A over TCP", wire.TypeA, TCP, 0, wire.MaxMsgSize, false, 1000},
		{"SRV over UDP", wire.TypeSRV, UDP, 1232, MaxUDPReply, true, 17},
		{"SRV over TCP", wire.TypeSRV, TCP, 1232, wire.MaxMsgSize, false, 968},
	} {
		r := Respond(z, query(name, c.qtype, c.edns), c.by, 0)
		var m wire.Msg
		if err := m.Unpack(r.Message); err != nil {
			t.Fatal(err)
		}
		if len(r.Message) > c.most || m.Truncated != c.truncated || r.Truncated != c.truncated || len(m.Answer) != c.records {
			t.Errorf("%s: %d bytes of %d, truncated %v, %d records, want %d", c.what, len(r.Message), c.most, m.Truncated, len(m.Answer), c.records)
		}
		if (m.IsEdns0() != nil) != (c.edns > 0) || m.IsEdns0() != nil && m.IsEdns0().UDPSize() != MaxUDPReply {
			t.Errorf("%s: EDNS %v", c.what, m.IsEdns0())
		}
	}
}

// TestWhatWasNotAskedForIsLeftOutWithoutASign cuts the additional section alone: the answer is whole, and nobody needs TCP for it.
func TestWhatWasNotAskedForIsLeftOutWithoutASign(t *testing.T) {
	z, name := crowd(6), key("shop", "crowd").Host()+"."
	r := Respond(z, query(name, wire.TypeSRV, 0), UDP, 0)
	var m wire.Msg
	if err := m.Unpack(r.Message); err != nil {
		t.Fatal(err)
	}
	if m.Truncated || len(m.Answer) != 6 || len(m.Extra) != 0 {
		t.Errorf("%s", &m)
	}
}

func TestTurnsBringEverything(t *testing.T) {
	const n = 300
	z, name := crowd(n), key("shop", "crowd").Host()+"."
	seen, first := map[string]bool{}, map[string]bool{}
	for turn := range uint32(n) {
		m := ask(t, z, name, wire.TypeA, UDP, turn)
		for _, s := range texts(m.Answer) {
			seen[s] = true
		}
		first[m.Answer[0].String()] = true
	}
	if len(seen) != n || len(first) != n {
		t.Errorf("%d addresses were seen, %d stood first, of %d", len(seen), len(first), n)
	}
	if m := ask(t, z, name, wire.TypeA, UDP, ^uint32(0)); len(m.Answer) == 0 {
		t.Error("the last turn has no answer")
	}
}

func TestAnUnknownZoneIsNotAnEmptyOne(t *testing.T) {
	if m := ask(t, nil, "cart.shop.svc.clusterset.local.", wire.TypeA, UDP, 0); m.Rcode != wire.RcodeServerFailure || m.Authoritative {
		t.Errorf("before anything is known: %s", m)
	}
	if m := ask(t, (*Zone)(nil).With(nil), "cart.shop.svc.clusterset.local.", wire.TypeA, UDP, 0); m.Rcode != wire.RcodeNameError {
		t.Errorf("in an empty zone: %s", m)
	}
	if m := ask(t, nil, "example.org.", wire.TypeA, UDP, 0); m.Rcode != wire.RcodeRefused {
		t.Errorf("elsewhere: %s", m)
	}
}

func TestWhatIsNoQuery(t *testing.T) {
	good := query("cart.shop.svc.clusterset.local.", wire.TypeA, 1232)
	change := func(f func(q []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for name, c := range map[string]struct {
		query []byte
		code  int
	}{
		"nothing":         {nil, -1},
		"half a header":   {good[:11], -1},
		"a response":      {change(func(q []byte) []byte { q[2] |= 0x80; return q }), -1},
		"an update":       {change(func(q []byte) []byte { q[2] |= 5 << 3; return q }), wire.RcodeNotImplemented},
		"no question":     {change(func(q []byte) []byte { q[5] = 0; return q[:12] }), wire.RcodeFormatError},
		"two questions":   {change(func(q []byte) []byte { q[5] = 2; return q }), wire.RcodeFormatError},
		"with an answer":  {change(func(q []byte) []byte { q[7] = 1; return q }), wire.RcodeFormatError},
		"many additional": {change(func(q []byte) []byte { q[10] = 255; return q }), wire.RcodeFormatError},
		"cut short":       {good[:20], wire.RcodeFormatError},
		"a name in itself": {append(bytes.Clone(query(".", wire.TypeA, 0)[:12]), 0xC0, 12, 0, 1, 0, 1),
			wire.RcodeFormatError},
		"too long":          {append(bytes.Clone(good), make([]byte, MaxQuery)...), wire.RcodeFormatError},
		"EDNS of a version": {change(func(q []byte) []byte { q[len(q)-5] = 1; return q }), wire.RcodeBadVers},
		"another class":     {change(func(q []byte) []byte { q[len(q)-12] = 3; return q }), wire.RcodeRefused},
		"well":              {good, wire.RcodeSuccess},
	} {
		r := Respond(shop(), c.query, UDP, 0)
		if c.code < 0 {
			if r.Message != nil {
				t.Errorf("%s: answered with %x", name, r.Message)
			}
			continue
		}
		var m wire.Msg
		if err := m.Unpack(r.Message); err != nil || m.Rcode != c.code || r.Code != c.code || !m.Response || m.Id != 4711 || !m.RecursionDesired {
			t.Errorf("%s: %v\n%s", name, err, &m)
		}
	}
}

// FuzzRespond holds the promise that no bytes bring the server down, or make it say more than a caller can take.
func FuzzRespond(f *testing.F) {
	f.Add(query("cart.shop.svc.clusterset.local.", wire.TypeA, 1232), false)
	f.Add(query("_http._tcp.web.shop.svc.clusterset.local.", wire.TypeSRV, 0), true)
	f.Add(query("dns-version.clusterset.local.", wire.TypeTXT, 512), false)
	f.Add(query("web-0.east.web.shop.svc.clusterset.local.", wire.TypeAAAA, 65535), true)
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1}, false)
	z := shop()
	f.Fuzz(func(t *testing.T, q []byte, tcp bool) {
		by, most := UDP, MaxUDPReply
		if tcp {
			by, most = TCP, wire.MaxMsgSize
		}
		r := Respond(z, q, by, 7)
		if len(r.Message) > most {
			t.Fatalf("%d bytes", len(r.Message))
		}
		if r.Message == nil {
			return
		}
		if r.Message[2]&0x80 == 0 || !bytes.Equal(r.Message[:2], q[:2]) {
			t.Fatalf("%x is no reply to %x", r.Message, q)
		}
		var m wire.Msg
		if err := m.Unpack(r.Message); err != nil {
			t.Fatalf("the reply %x cannot be read: %v", r.Message, err)
		}
	})
}
