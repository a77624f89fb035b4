package codec

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// MaxVerdicts is how many addresses of one cluster's gateways a prober may judge: a gateway's name may have several.
const MaxVerdicts = 16 * MaxGateways

func verdictsToProto(s model.VerdictSet) *hansev1.VerdictSet {
	out := &hansev1.VerdictSet{Cluster: string(s.Cluster)}
	for _, v := range s.Verdicts {
		out.Verdicts = append(out.Verdicts, &hansev1.Verdict{
			Gateway: v.Gateway, Address: v.Address, Port: uint32(v.Port), Bad: v.Bad, Since: timestamppb.New(v.Since),
		})
	}
	return out
}

// verdictsFromProto makes sure that each address is judged once.
func verdictsFromProto(p *hansev1.VerdictSet) (model.VerdictSet, error) {
	cluster, err := model.ParseClusterName(p.GetCluster())
	switch {
	case err != nil:
		return model.VerdictSet{}, err
	case len(p.GetVerdicts()) > MaxVerdicts:
		return model.VerdictSet{}, fmt.Errorf("more than %d verdicts", MaxVerdicts)
	}
	s := model.VerdictSet{Cluster: cluster}
	for _, v := range p.GetVerdicts() {
		if err := model.ValidateLabel("gateway", v.GetGateway()); err != nil {
			return model.VerdictSet{}, err
		}
		if _, err := netip.ParseAddr(v.GetAddress()); err != nil || v.GetPort() == 0 || v.GetPort() > 65535 {
			return model.VerdictSet{}, fmt.Errorf("gateway %s: %q and port %d are not an IP address and a port", v.GetGateway(), clip(v.GetAddress()), v.GetPort())
		}
		s.Verdicts = append(s.Verdicts, model.Verdict{
			Gateway: v.GetGateway(), Address: v.GetAddress(), Port: uint16(v.GetPort()), Bad: v.GetBad(), Since: lenientTime(v.GetSince()),
		})
	}
	slices.SortFunc(s.Verdicts, CompareVerdicts)
	for i := 1; i < len(s.Verdicts); i++ {
		if CompareVerdicts(s.Verdicts[i-1], s.Verdicts[i]) == 0 {
			return model.VerdictSet{}, fmt.Errorf("gateway %s: %s is judged twice", s.Verdicts[i].Gateway, s.Verdicts[i].Address)
		}
	}
	return s, nil
}

// CompareVerdicts orders verdicts by gateway, address and port.
func CompareVerdicts(a, b model.Verdict) int {
	return cmp.Or(strings.Compare(a.Gateway, b.Gateway), strings.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
}
