package codec

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// Bounds on a status record, which serves people only: what is too much is cut, from the end, and is no error.
const (
	maxStatusList = 200
	// maxNacks is how many refused configurations one proxy has: one per resource type at most.
	maxNacks = 8
	// maxStatusText is the longest text, in bytes.
	maxStatusText = 512
	// maxStatus leaves the record around a status its room within MaxRecord.
	maxStatus = MaxRecord - 512
)

// NackToProto encodes a refused configuration. Envoy's reasons quote configuration, so they are cut and made valid UTF-8.
func NackToProto(n model.Nack) *hansev1.Nack { return nackToProto(n, maxStatusText) }

func nackToProto(n model.Nack, text int) *hansev1.Nack {
	return &hansev1.Nack{TypeUrl: atMostText(n.TypeURL, text), Reason: atMostText(n.Reason, text), At: timestamppb.New(n.At)}
}

// NackFromProto decodes a refused configuration.
func NackFromProto(p *hansev1.Nack) model.Nack {
	return model.Nack{
		TypeURL: atMostText(p.GetTypeUrl(), maxStatusText), Reason: atMostText(p.GetReason(), maxStatusText), At: lenientTime(p.GetAt()),
	}
}

// statusToProto encodes a status so that it always fits into a record: first texts are cut, then the ends of lists.
func statusToProto(s model.SiteStatus) *hansev1.SiteStatus {
	out := statusWithin(s, maxStatusList, maxStatusText)
	for list := maxStatusList; proto.Size(out) > maxStatus; list /= 2 {
		out = statusWithin(s, list, maxStatusText/4)
	}
	return out
}

func statusWithin(s model.SiteStatus, list, text int) *hansev1.SiteStatus {
	out := &hansev1.SiteStatus{
		AgentVersion: atMostText(s.AgentVersion, text),
		Dropped:      atMostTexts(s.Dropped, list, text), Introduced: atMostTexts(s.Introduced, list, text),
		Held: atMostTexts(s.Held, list, text),
	}
	if !s.EarliestExpiry.IsZero() {
		out.EarliestExpiry = timestamppb.New(s.EarliestExpiry)
	}
	for _, p := range atMost(s.Proxies, list) {
		proxy := &hansev1.ProxyStatus{
			Workload: atMostText(p.Workload, text), Connected: p.Connected, Ready: p.Ready, Draining: p.Draining, EnvoyVersion: atMostText(p.EnvoyVersion, text),
			Declared: p.Declared,
		}
		for _, n := range atMost(p.Nacks, maxNacks) {
			proxy.Nacks = append(proxy.Nacks, nackToProto(n, text))
		}
		out.Proxies = append(out.Proxies, proxy)
	}
	return out
}

func statusFromProto(p *hansev1.SiteStatus) model.SiteStatus {
	s := model.SiteStatus{
		AgentVersion: atMostText(p.GetAgentVersion(), maxStatusText), EarliestExpiry: lenientTime(p.GetEarliestExpiry()),
		Dropped:    atMostTexts(p.GetDropped(), maxStatusList, maxStatusText),
		Introduced: atMostTexts(p.GetIntroduced(), maxStatusList, maxStatusText),
		Held:       atMostTexts(p.GetHeld(), maxStatusList, maxStatusText),
	}
	for _, proxy := range atMost(p.GetProxies(), maxStatusList) {
		out := model.ProxyStatus{
			Workload: atMostText(proxy.GetWorkload(), maxStatusText), Connected: proxy.GetConnected(), Ready: proxy.GetReady(), Draining: proxy.GetDraining(),
			EnvoyVersion: atMostText(proxy.GetEnvoyVersion(), maxStatusText), Declared: proxy.GetDeclared(),
		}
		for _, n := range atMost(proxy.GetNacks(), maxNacks) {
			out.Nacks = append(out.Nacks, NackFromProto(n))
		}
		s.Proxies = append(s.Proxies, out)
	}
	return s
}

func atMost[T any](list []T, n int) []T { return list[:min(len(list), n)] }

func atMostTexts(list []string, n, text int) []string {
	var out []string
	for _, s := range atMost(list, n) {
		out = append(out, atMostText(s, text))
	}
	return out
}

// atMostText cuts a text, never within a character, and replaces nothing that is valid: protobuf refuses strings that are not UTF-8.
func atMostText(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }
