package dns

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	wire "github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

// drawService is a service of few names, addresses and clusters, so that they meet.
func drawService(t *rapid.T) *Service {
	port := rapid.SampledFrom([]string{"http", "dns", "web", ""})
	protocol := rapid.SampledFrom([]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, ""})
	number := rapid.Int32Range(-1, 4)
	address := rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2", "fd00::1", "fd00::", "::ffff:10.0.0.3", "fe80::1%eth0", "none"})
	if rapid.Bool().Draw(t, "clusterSetIP") {
		imported := clusterSetIP(rapid.SliceOfN(address, 0, 2).Draw(t, "ips"))
		for range rapid.IntRange(0, 3).Draw(t, "ports") {
			imported.Spec.Ports = append(imported.Spec.Ports, importPort(port.Draw(t, "port"), protocol.Draw(t, "protocol"), number.Draw(t, "number")))
		}
		return NewService(imported, nil)
	}
	var of []*discoveryv1.EndpointSlice
	for range rapid.IntRange(0, 3).Draw(t, "slices") {
		s := slice(rapid.SampledFrom([]string{"east", "West", "", "a.b"}).Draw(t, "cluster"), nil)
		for range rapid.IntRange(0, 2).Draw(t, "ports") {
			s.Ports = append(s.Ports, slicePort(port.Draw(t, "port"), protocol.Draw(t, "protocol"), number.Draw(t, "number")))
		}
		for range rapid.IntRange(0, 3).Draw(t, "endpoints") {
			hostname := rapid.SampledFrom([]string{"", "web-0", "WEB-1", "a.b"}).Draw(t, "hostname")
			s.Endpoints = append(s.Endpoints, pod(hostname, rapid.Bool().Draw(t, "ready"), rapid.SliceOfN(address, 0, 2).Draw(t, "addresses")...))
		}
		of = append(of, s)
	}
	return NewService(headless(), of)
}

func drawKey(t *rapid.T) model.ServiceKey {
	label := rapid.SampledFrom([]string{"shop", "bank", "svc", "east"})
	return key(label.Draw(t, "namespace"), label.Draw(t, "name"))
}

func drawZone(t *rapid.T) *Zone {
	return (*Zone)(nil).With(rapid.MapOfN(rapid.Custom(drawKey), rapid.Custom(drawService), 0, 6).Draw(t, "zone"))
}

// drawName is a name that is likely to exist, or almost.
func drawName(t *rapid.T) string {
	label := rapid.SampledFrom([]string{"shop", "bank", "svc", "east", "west", "web-0", "10-0-0-1", "fd00--1", "_http", "_tcp", "_udp", "dns-version"})
	labels := rapid.SliceOfN(label, 0, 5).Draw(t, "labels")
	if len(labels) > 0 && rapid.Bool().Draw(t, "proper") {
		labels[len(labels)-1] = "svc"
	}
	return strings.Join(append(labels, model.ClusterSetDomain), ".") + "."
}

var types = rapid.SampledFrom([]uint16{wire.TypeA, wire.TypeAAAA, wire.TypeSRV, wire.TypeTXT, wire.TypeSOA, wire.TypeANY, wire.TypeNS, wire.TypePTR, wire.TypeHTTPS})

// ask fails the test when the reply is none.
func ask(t interface{ Fatal(...any) }, z *Zone, name string, qtype uint16, by Transport, turn uint32) *wire.Msg {
	m := new(wire.Msg)
	if err := m.Unpack(Respond(z, query(name, qtype, 0), by, turn).Message); err != nil {
		t.Fatal(err)
	}
	return m
}

// texts are records as a set, without their owners' case.
func texts(records []wire.RR) []string {
	out := make([]string, len(records))
	for i, rr := range records {
		out[i] = strings.ToLower(rr.String())
	}
	slices.Sort(out)
	return out
}

func TestRepliesAreWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z, name, qtype := drawZone(t), drawName(t), types.Draw(t, "type")
		m := ask(t, z, name, qtype, UDP, rapid.Uint32().Draw(t, "turn"))
		negative := len(m.Answer) == 0
		switch {
		case m.Id != 4711 || !m.Response || !m.Authoritative || m.RecursionAvailable || m.Question[0].Name != name:
			t.Fatalf("not a reply to the query: %s", m)
		case m.Rcode != wire.RcodeSuccess && (m.Rcode != wire.RcodeNameError || !negative):
			t.Fatalf("the code does not fit: %s", m)
		case negative != (len(m.Ns) == 1 && m.Ns[0].Header().Rrtype == wire.TypeSOA):
			t.Fatalf("a negative answer, and no other, has the SOA: %s", m)
		}
		if all := texts(m.Answer); len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Fatalf("a record stands twice: %s", m)
		}
		for _, rr := range m.Answer {
			if h := rr.Header(); h.Name != name || h.Ttl != TTL && h.Rrtype != wire.TypeTXT {
				t.Fatalf("%s", rr)
			}
		}
	})
}

func TestCaseDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z, name, qtype := drawZone(t), drawName(t), types.Draw(t, "type")
		mixed := []byte(name)
		for i := range mixed {
			if rapid.Bool().Draw(t, "upper") {
				mixed[i] = strings.ToUpper(string(mixed[i]))[0]
			}
		}
		a, b := ask(t, z, name, qtype, UDP, 0), ask(t, z, string(mixed), qtype, UDP, 0)
		if a.Rcode != b.Rcode || !slices.Equal(texts(a.Answer), texts(b.Answer)) {
			t.Fatalf("%s\n%s", a, b)
		}
	})
}

// TestNothingStandsBeneathWhatDoesNotExist is RFC 8020, with the one exception that KEP-1645 makes.
func TestNothingStandsBeneathWhatDoesNotExist(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z, name := drawZone(t), drawName(t)
		if ask(t, z, name, wire.TypeA, UDP, 0).Rcode != wire.RcodeSuccess {
			return
		}
		for n := wire.CountLabel(name) - 1; n >= 2; n-- {
			above := name[wire.Split(name)[wire.CountLabel(name)-n]:]
			cluster := n == 6 && !strings.HasPrefix(above, "_")
			if m := ask(t, z, above, wire.TypeA, UDP, 0); (m.Rcode == wire.RcodeNameError) != cluster {
				t.Fatalf("%s exists, of %s it is said: %s", name, above, m)
			}
		}
	})
}

func TestEveryTargetLeadsSomewhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z, k := drawZone(t), drawKey(t)
		m := ask(t, z, k.Host()+".", wire.TypeSRV, TCP, 0)
		var led []wire.RR
		for _, rr := range m.Answer {
			target := rr.(*wire.SRV).Target
			for _, family := range []uint16{wire.TypeA, wire.TypeAAAA} {
				a := ask(t, z, target, family, TCP, 0)
				if a.Rcode != wire.RcodeSuccess {
					t.Fatalf("%s leads nowhere: %s", rr, a)
				}
				led = append(led, a.Answer...)
			}
		}
		if want := slices.Compact(texts(led)); !slices.Equal(texts(m.Extra), want) {
			t.Fatalf("beside the records stand %v, and their targets' addresses are %v", texts(m.Extra), want)
		}
	})
}

// TestChangesLeadToTheSameZone makes one zone at once and the other by detours.
func TestChangesLeadToTheSameZone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := rapid.MapOfN(rapid.Custom(drawKey), rapid.Ptr(rapid.Just(Service{}), true), 0, 6)
		var z *Zone
		held := map[model.ServiceKey]*Service{}
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			change := changes.Draw(t, "changes")
			for k, s := range change {
				if s == nil {
					delete(held, k)
				} else {
					change[k] = NewService(clusterSetIP([]string{"10.0.0.1"}), nil)
					held[k] = change[k]
				}
			}
			before, services := z, z.Services()
			if z = z.With(change); before.Services() != services {
				t.Fatal("the zone before has changed")
			}
		}
		direct := (*Zone)(nil).With(held)
		same := maps.EqualFunc(z.namespaces, direct.namespaces, func(a, b map[string]*Service) bool { return maps.Equal(a, b) })
		if !same || z.Services() != len(held) || direct.Services() != len(held) {
			t.Fatalf("by steps %v, at once %v", z, direct)
		}
	})
}

// TestOrderDoesNotMatter gives the same slices in another order: informers have none.
func TestOrderDoesNotMatter(t *testing.T) {
	of := []*discoveryv1.EndpointSlice{
		slice("east", []discoveryv1.EndpointPort{slicePort("b", corev1.ProtocolTCP, 2), slicePort("a", corev1.ProtocolTCP, 1)}, pod("web-0", true, "10.0.0.2")),
		slice("east", []discoveryv1.EndpointPort{slicePort("a", corev1.ProtocolTCP, 1), slicePort("c", corev1.ProtocolTCP, 3)}, pod("web-0", true, "10.0.0.1")),
		slice("west", []discoveryv1.EndpointPort{slicePort("a", corev1.ProtocolTCP, 1)}, pod("", true, "10.0.0.1"), pod("", true, "10.0.0.1")),
	}
	rapid.Check(t, func(t *rapid.T) {
		mixed := rapid.Permutation(of).Draw(t, "order")
		a, b := fmt.Sprint(*NewService(headless(), of)), fmt.Sprint(*NewService(headless(), mixed))
		if a != b {
			t.Fatalf("%s\n%s", a, b)
		}
	})
}
