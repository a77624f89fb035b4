package authz

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// The bounds on one record: no cluster may make importers carry more.
const (
	MaxGateways   = 64
	MaxIdentities = 256
	// MaxVerdicts leaves room for several addresses behind each gateway's name.
	MaxVerdicts   = 16 * MaxGateways
	MaxPorts      = 64
	MaxLocalities = 256
)

// CheckRecord reports why a record of origin does not count, or nil when it does. It does not look at signatures.
//
// A service record must lie in a namespace that origin's join token and some export rule open, and every server identity must be
// of origin's own trust domain and of that namespace: a cluster can speak for nobody else's workloads. Verdicts must be on another
// cluster's gateways: whom nobody reaches would be the last to say so.
func CheckRecord(origin model.Cluster, rules []policy.ExportRule, rec model.Record) error {
	if rec.Cluster != origin.Name {
		return fmt.Errorf("record speaks for cluster %q but was published by %q", rec.Cluster, origin.Name)
	}
	switch {
	case contents(rec) > 1:
		return errors.New("record has more than one content: give exactly one of service, gateways, status and verdicts")
	case rec.Service != nil:
		return checkService(origin, rules, rec.Service)
	case rec.Verdicts != nil:
		return checkVerdicts(origin, rec.Verdicts)
	default:
		return checkGateways(rec.Gateways)
	}
}

func contents(rec model.Record) int {
	n := 0
	for _, set := range [...]bool{rec.Service != nil, rec.Status != nil, rec.Verdicts != nil, len(rec.Gateways) > 0} {
		if set {
			n++
		}
	}
	return n
}

func checkService(origin model.Cluster, rules []policy.ExportRule, s *model.ServiceRecord) error {
	if err := s.Service.Validate(); err != nil {
		return fmt.Errorf("record of cluster %q: %w", origin.Name, err)
	}
	if err := checkExport(origin, rules, s.Service); err != nil {
		return err
	}
	if err := checkShape(s); err != nil {
		return fmt.Errorf("service %s of cluster %q: %w", s.Service, origin.Name, err)
	}
	return checkIdentities(origin, s)
}

// checkShape holds a record to its bounds, and its export to the record.
func checkShape(s *model.ServiceRecord) error {
	switch {
	case len(s.Ports) > MaxPorts:
		return fmt.Errorf("it has %d ports: at most %d are allowed", len(s.Ports), MaxPorts)
	case len(s.Capacity) > MaxLocalities || len(s.Terminated) > MaxLocalities:
		return fmt.Errorf("it is in more than %d localities", MaxLocalities)
	}
	if err := model.ValidatePorts(s.Ports); err != nil || s.Export == nil {
		return err
	}
	if s.Export.Service != s.Service {
		return fmt.Errorf("its export is of service %s", s.Export.Service)
	}
	if err := s.Export.Validate(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// checkExport tells the two owners of the answer apart: the join token is the federation's grant, the rule its use.
func checkExport(origin model.Cluster, rules []policy.ExportRule, service model.ServiceKey) error {
	if !policy.NamespaceAllowed(origin, service.Namespace) {
		return fmt.Errorf("cluster's join token does not allow exporting namespace %q: cluster %q may export %s",
			service.Namespace, origin.Name, list(origin.ExportNamespaces))
	}
	if policy.Exported(rules, origin, service) {
		return nil
	}
	for _, r := range rules {
		r.Spec.Services = nil
		if r.Spec.Opens(origin.Name, service) && len(r.Spec.To) > 0 {
			return fmt.Errorf("no export rule opens service %q of namespace %q of cluster %q: add it to the services of ExportRule %q",
				service.Name, service.Namespace, origin.Name, r.Name)
		}
	}
	return fmt.Errorf("no export rule opens namespace %q of cluster %q: add an ExportRule", service.Namespace, origin.Name)
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// checkIdentities refuses an empty list where the passthrough SNI leads anywhere: a caller that is told of no identity could not tell the
// right server from a wrong one. Behind the terminated SNI stands the cluster's gateway, whose identity follows from the cluster.
func checkIdentities(origin model.Cluster, s *model.ServiceRecord) error {
	if len(s.Identities) == 0 && (len(s.Capacity) > 0 || len(s.Terminated) == 0 && s.Export == nil) {
		return fmt.Errorf("service %s of cluster %q names no server identity", s.Service, origin.Name)
	}
	if len(s.Identities) > MaxIdentities {
		return fmt.Errorf("service %s of cluster %q names %d server identities: at most %d are allowed",
			s.Service, origin.Name, len(s.Identities), MaxIdentities)
	}
	for _, id := range s.Identities {
		if !ownIdentity(id, origin.TrustDomain, s.Service.Namespace) {
			return fmt.Errorf("identity %.200q of service %s is not the cluster's to claim: it must be %s",
				id, s.Service, model.WorkloadID(origin.TrustDomain, s.Service.Namespace, "…"))
		}
	}
	return nil
}

// ownIdentity reports whether id is spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/X with X one path segment. It allocates nothing: a node
// asks it for every identity of every record.
func ownIdentity(id, trustDomain, namespace string) bool {
	if trustDomain == "" {
		return false
	}
	rest := id
	for _, part := range [...]string{"spiffe://", trustDomain, "/ns/", namespace, "/sa/"} {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, part); !ok {
			return false
		}
	}
	return spiffeid.ValidatePathSegment(rest) == nil
}

func checkGateways(gateways []model.Gateway) error {
	if len(gateways) > MaxGateways {
		return fmt.Errorf("record has %d gateways: at most %d are allowed", len(gateways), MaxGateways)
	}
	seen := make(map[string]bool, len(gateways))
	for _, g := range gateways {
		if err := checkGateway(g); err != nil {
			return fmt.Errorf("gateway %.64q: %w", g.Name, err)
		}
		if seen[g.Name] {
			return fmt.Errorf("gateway %q stands twice: give each its own name", g.Name)
		}
		seen[g.Name] = true
	}
	return nil
}

func checkGateway(g model.Gateway) error {
	if g.Name == "" || len(g.Name) > 253 {
		return errors.New("name must have 1 to 253 characters")
	}
	if g.Port == 0 {
		return errors.New("port is 0: give one from 1 to 65535")
	}
	if err := model.ValidateLabel("region", g.Locality.Region); err != nil {
		return err
	}
	if g.Locality.Zone != "" {
		if err := model.ValidateLabel("zone", g.Locality.Zone); err != nil {
			return err
		}
	}
	return checkAddress(g.Address)
}

func checkVerdicts(origin model.Cluster, set *model.VerdictSet) error {
	if set.Cluster == origin.Name {
		return fmt.Errorf("cluster %q judges its own gateways: only others can say whether they are reached", origin.Name)
	}
	if _, err := model.ParseClusterName(string(set.Cluster)); err != nil {
		return fmt.Errorf("verdicts: %w", err)
	}
	if len(set.Verdicts) > MaxVerdicts {
		return fmt.Errorf("record has %d verdicts on cluster %q: at most %d are allowed", len(set.Verdicts), set.Cluster, MaxVerdicts)
	}
	for _, v := range set.Verdicts {
		if err := checkVerdict(v); err != nil {
			return fmt.Errorf("verdict on gateway %.64q of cluster %q: %w", v.Gateway, set.Cluster, err)
		}
	}
	return nil
}

func checkVerdict(v model.Verdict) error {
	if err := model.ValidateLabel("gateway", v.Gateway); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(v.Address); err != nil {
		return fmt.Errorf("address %.64q is not an IP address: judge what the name resolves to", v.Address)
	}
	if v.Port == 0 {
		return errors.New("port is 0: give one from 1 to 65535")
	}
	return checkAddress(v.Address)
}

// checkAddress accepts a unicast IP address without a zone, or a host name. Loopback is allowed: sites on one machine use it.
func checkAddress(address string) error {
	if ip, err := netip.ParseAddr(address); err == nil {
		if ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "" {
			return fmt.Errorf("address %s can not be dialled: give a unicast IP address or a host name", ip)
		}
		return nil
	}
	if !hostName(address) {
		return fmt.Errorf("address %.253q is neither an IP address nor a host name", address)
	}
	return nil
}

// hostName accepts RFC 1123 names with or without a final dot. A last label of digits would be a misspelt IP address.
func hostName(s string) bool {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if model.ValidateLabel("label", l) != nil {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
