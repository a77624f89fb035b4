package vm

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
)

// enrolment is what a workload id may be, and the key that it belongs to.
type enrolment struct {
	Workload       string   `json:"workload"`
	Namespace      string   `json:"namespace"`
	ServiceAccount string   `json:"serviceAccount"`
	Services       []string `json:"services,omitempty"`
	Gateway        bool     `json:"gateway,omitempty"`
	Egress         bool     `json:"egress,omitempty"`
	// Pod is set for a pod of a Kubernetes cluster, which was enrolled with its service account's token.
	Pod *model.Pod `json:"pod,omitempty"`
	// KeyHash is the SHA-256 of the public key, PKIX DER.
	KeyHash []byte `json:"keyHash"`
	// TokenID is the workload token that it was enrolled with last; empty for a pod.
	TokenID string `json:"tokenId,omitempty"`
	// CertificateExpiry is the end of the newest SVID; with it the enrolment has lost its use.
	CertificateExpiry time.Time `json:"certificateExpiry"`
}

func enrolmentOf(t *storedToken, u Use) enrolment {
	return enrolment{
		Workload: u.Workload, Namespace: t.Namespace, ServiceAccount: t.ServiceAccount,
		Services: t.Services, Gateway: t.Gateway, KeyHash: u.KeyHash, TokenID: t.ID,
	}
}

func (e enrolment) spiffeID(trustDomain string) string {
	return model.WorkloadID(trustDomain, e.Namespace, e.ServiceAccount)
}

func (e enrolment) sameIdentity(o enrolment) bool {
	return e.Namespace == o.Namespace && e.ServiceAccount == o.ServiceAccount
}

func (e enrolment) sameScope(o enrolment) bool {
	return e.sameIdentity(o) && sameServices(e, o) && slices.Equal(e.KeyHash, o.KeyHash)
}

// mayReplace says why e cannot take over the id of held, as a status. Another key may do so only when nobody is there and the
// identity stays the same: a token for one namespace must not push a workload of another aside.
func (e enrolment) mayReplace(held enrolment, attached bool) error {
	if slices.Equal(e.KeyHash, held.KeyHash) {
		return nil
	}
	if attached {
		return status.Errorf(codes.AlreadyExists,
			"workload %q is enrolled with another key and its proxy is attached: choose another workload id, or stop that proxy first", e.Workload)
	}
	if !e.sameIdentity(held) {
		return status.Errorf(codes.AlreadyExists,
			"workload %q belongs to %s/%s, this token is for %s/%s: choose another workload id",
			e.Workload, held.Namespace, held.ServiceAccount, e.Namespace, e.ServiceAccount)
	}
	return nil
}

// admits says why a registration goes beyond what the enrolment allows, as a status; pods may be nil.
func (e enrolment) admits(w model.Workload, pods Pods) error {
	if w.Namespace != e.Namespace {
		return status.Errorf(codes.PermissionDenied,
			"namespace %q is not this workload's: its certificate is for namespace %q; register there, or enrol with a token for %q",
			w.Namespace, e.Namespace, w.Namespace)
	}
	if e.Pod != nil {
		return e.admitsPod(w, pods)
	}
	if w.Egress != nil {
		return status.Errorf(codes.PermissionDenied, "workload %q may not be an egress: those are for Kubernetes clusters, run it there as a pod", e.Workload)
	}
	if w.Serves() && !slices.Contains(e.Services, w.Service.Name) && !slices.Contains(e.Services, AnyService) {
		return status.Errorf(codes.PermissionDenied,
			"service %q may not be registered by workload %q: its token %s allows %s; mint a workload token of namespace %q that names service %q at the site's agent and enrol with it",
			w.Service.Name, e.Workload, e.TokenID, e.allowed(), e.Namespace, w.Service.Name)
	}
	if w.Gateway != nil && !e.Gateway {
		return status.Errorf(codes.PermissionDenied,
			"workload %q may not be a gateway: its token %s does not allow it; mint a gateway token at the site's agent and enrol with it",
			e.Workload, e.TokenID)
	}
	return nil
}

func (e enrolment) allowed() string {
	switch {
	case e.Gateway:
		return "a gateway and no service"
	case len(e.Services) == 0:
		return "no service (calls only)"
	default:
		return fmt.Sprintf("only %s", strings.Join(e.Services, ", "))
	}
}
