package export

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

// gatewaySet lists the site's gateways, sorted by name, from workloads that are sorted by ID.
//
// A gateway that is not ready is listed as draining rather than left out: importers send it nothing while another one is good, and
// when all of a site's gateways look unready at once, which is more often a fault of the checks, traffic has somewhere to go.
// Gateways behind one shared address stand once, draining when all of them are.
//
// Addresses that are published in place of the advertised ones lead to any of the gateways, and drain when all of those do.
func gatewaySet(workloads []model.Workload, published []model.Gateway) (gateways []model.Gateway, reasons []string) {
	advertised, available := []model.Gateway{}, false
	for _, w := range workloads {
		if w.Gateway == nil {
			continue
		}
		available = available || w.Available()
		advertised = append(advertised, model.Gateway{
			Name: w.ID, Address: w.Gateway.AdvertiseAddress, Port: w.Gateway.AdvertisePort,
			Locality: w.Locality, Draining: !w.Available(),
		})
	}
	if published == nil {
		return distinctGateways(advertised)
	}
	published = slices.Clone(published)
	for i := range published {
		published[i].Draining = published[i].Draining || !available && len(advertised) > 0
	}
	slices.SortFunc(published, func(a, b model.Gateway) int { return strings.Compare(a.Name, b.Name) })
	return distinctGateways(published)
}

func distinctGateways(list []model.Gateway) (gateways []model.Gateway, reasons []string) {
	byAddress := map[string]int{}
	for _, g := range list {
		if why := unreachable(g); why != "" {
			reasons = append(reasons, fmt.Sprintf("gateway %s is not published: %s", g.Name, why))
			continue
		}
		address := g.Address + " " + strconv.Itoa(int(g.Port))
		if i, shared := byAddress[address]; shared {
			gateways[i].Draining = gateways[i].Draining && g.Draining
			continue
		}
		if len(gateways) == codec.MaxGateways {
			reasons = append(reasons, fmt.Sprintf("gateway %s is not published: a cluster may have %d", g.Name, codec.MaxGateways))
			continue
		}
		byAddress[address] = len(gateways)
		gateways = append(gateways, g)
	}
	return gateways, reasons
}

// unreachable says why no other cluster could use the gateway.
func unreachable(g model.Gateway) string {
	switch {
	case g.Address == "" || g.Port == 0:
		return "it advertises no address or no port"
	case len(g.Address) > codec.MaxAddress:
		return fmt.Sprintf("its advertised address is longer than %d bytes", codec.MaxAddress)
	}
	if err := model.ValidateLabel("gateway", g.Name); err != nil {
		return err.Error()
	}
	if ip, err := netip.ParseAddr(g.Address); err == nil && ip.IsUnspecified() {
		return fmt.Sprintf("it advertises %s, which no other host can reach: set its advertised address", g.Address)
	}
	if _, err := model.ParseLocality(g.Locality.String()); err != nil {
		return err.Error()
	}
	return ""
}
