package codec

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hanse-mesh/hanse/api/model"
)

// sent is a status after its way in the largest record around one.
func sent(t *testing.T, s model.SiteStatus) model.SiteStatus {
	t.Helper()
	data, err := MarshalRecord(model.Record{
		Cluster: model.ClusterName(strings.Repeat("c", 63)), Status: &s,
		Version: model.Version{Incarnation: math.MaxUint64, Epoch: math.MaxUint64, Seq: math.MaxUint64},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := UnmarshalRecord(data)
	if err != nil {
		t.Fatal(err)
	}
	return *r.Status
}

// TestAStatusFitsToTheByte tries every size around the limit.
func TestAStatusFitsToTheByte(t *testing.T) {
	var s model.SiteStatus
	for range maxStatusList {
		s.Proxies = append(s.Proxies, model.ProxyStatus{Workload: strings.Repeat("w", 318)})
	}
	whole, cut := 0, 0
	for range maxStatusList {
		s.AgentVersion += "v"
		for i := range s.Proxies[:3] {
			s.Proxies[i].Workload += "w"
		}
		if got := sent(t, s); len(got.Proxies[0].Workload) == len(s.Proxies[0].Workload) {
			whole++
		} else {
			cut++
		}
	}
	if whole == 0 || cut == 0 {
		t.Errorf("%d fit whole and %d were cut: the limit was not crossed", whole, cut)
	}
}

func TestAStatusAlwaysFits(t *testing.T) {
	long := strings.Repeat("é", 5000)
	var s model.SiteStatus
	s.AgentVersion = long
	for i := range 3000 {
		p := model.ProxyStatus{Workload: fmt.Sprint("w", i, long), EnvoyVersion: long}
		for range 20 {
			p.Nacks = append(p.Nacks, model.Nack{TypeURL: long, Reason: "\xff" + long})
		}
		s.Proxies, s.Dropped, s.Introduced = append(s.Proxies, p), append(s.Dropped, long), append(s.Introduced, long)
		s.Held = append(s.Held, long)
	}
	check := func(what string, s model.SiteStatus, proxies int) {
		t.Helper()
		if n := len(sent(t, s).Proxies); n < proxies {
			t.Errorf("%s: %d proxies are left, want %d", what, n, proxies)
		}
	}
	check("everything at once", s, 1)
	s.Dropped, s.Introduced, s.Held = nil, nil, nil
	check("proxies with refusals", s, 12)
	for i := range s.Proxies {
		s.Proxies[i] = model.ProxyStatus{Workload: fmt.Sprint("w", i), Ready: true}
	}
	check("proxies that fare well", s, maxStatusList)
}

func TestANackIsCutToValidText(t *testing.T) {
	for _, reason := range []string{strings.Repeat("é", maxStatusText), "x" + strings.Repeat("é", maxStatusText), "a\xffb", "\xc3"} {
		p := NackToProto(model.Nack{Reason: reason})
		if n := len(p.GetReason()); n > maxStatusText || !utf8.ValidString(p.GetReason()) || len(reason) > maxStatusText && n < maxStatusText-1 {
			t.Errorf("%.20q: %d bytes, valid: %v", reason, n, utf8.ValidString(p.GetReason()))
		}
	}
}
