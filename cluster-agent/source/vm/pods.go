package vm

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// Pods is what a Kubernetes cluster tells of the pods whose proxies enrol.
type Pods interface {
	// Review returns the pod that a service-account token was issued to. Its errors are statuses for the proxy.
	Review(ctx context.Context, token string) (model.Pod, error)
	// Serves reports whether the pod is an endpoint of the service, ready or not; known is false when the cluster cannot say. It must not
	// block.
	Serves(pod model.Pod, service model.ServiceKey) (serves, known bool)
	// Locality is where the node of a pod stands; false when that is not known. It must not block.
	Locality(podIP string) (model.Locality, bool)
}

// enrollPod gives a pod's proxy its certificate. The token may be used again and again, for as long as its pod lives: whoever can show it
// is in the pod.
func (s *Site) enrollPod(ctx context.Context, req *hansev1.EnrollRequest) (*hansev1.EnrollResponse, error) {
	if s.cfg.Pods == nil {
		return nil, status.Errorf(codes.FailedPrecondition, "cluster %s takes no service-account tokens, because it is no Kubernetes cluster: enrol with a workload token", s.cfg.Cluster)
	}
	keyHash, err := readCSR(req.GetCsr())
	if err != nil {
		return nil, err
	}
	pod, err := s.cfg.Pods.Review(ctx, req.GetServiceAccountToken())
	if err != nil {
		return nil, err
	}
	e, err := enrolmentOfPod(pod, keyHash)
	if err != nil {
		return nil, err
	}
	if e.Workload != req.GetWorkload() {
		return nil, status.Errorf(codes.InvalidArgument, "workload %.80q is not the pod's name here, which is %q: is the token another pod's?", req.GetWorkload(), e.Workload)
	}
	if err := s.admitPod(e); err != nil {
		return nil, err
	}
	if err := s.saveEnrolments(); err != nil {
		return nil, s.diskError(err)
	}
	chain, err := s.issue(req.GetCsr(), e)
	if err != nil {
		return nil, err
	}
	id := e.spiffeID(s.cfg.TrustDomain)
	s.cfg.Logger.Info("pod enrolled", "workload", e.Workload, "namespace", pod.Namespace, "pod", pod.Name, "spiffe_id", id)
	return &hansev1.EnrollResponse{Certificates: chain, Roots: s.cfg.Signer.Roots(), SpiffeId: id}, nil
}

// enrolmentOfPod decides by the service account what a pod may be: two are the site's own gateways, and nobody has the agent's identity.
func enrolmentOfPod(pod model.Pod, keyHash []byte) (enrolment, error) {
	e := enrolment{
		Workload: model.PodWorkloadID(pod.Namespace, pod.Name), Namespace: pod.Namespace, ServiceAccount: pod.ServiceAccount,
		Pod: &pod, KeyHash: keyHash,
	}
	switch {
	case pod.Namespace == model.SystemNamespace && pod.ServiceAccount == model.GatewayServiceAccount:
		e.Gateway = true
	case pod.ServiceAccount == model.EgressServiceAccount:
		e.Egress = true
	case pod.Namespace == model.SystemNamespace:
		return enrolment{}, status.Errorf(codes.PermissionDenied,
			"service account %s of namespace %s is not for proxies: run gateways as %s, the egress as %s, and everything else in another namespace",
			pod.ServiceAccount, pod.Namespace, model.GatewayServiceAccount, model.EgressServiceAccount)
	}
	return e, nil
}

// admitPod writes the enrolment down. A pod's name is unique in its namespace while the pod lives, so whoever has a token of that name now
// takes the place of who had one before, its key and its stream too.
func (s *Site) admitPod(e enrolment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock.Now()
	if err := s.mayTakeOver(e); err != nil {
		return err
	}
	held, known := s.enrolments[e.Workload]
	if known && !held.samePod(e) {
		return status.Errorf(codes.AlreadyExists, "workload %q belongs to %s/%s already: rename this pod, or have that workload ended", e.Workload, held.Namespace, held.ServiceAccount)
	}
	if !known {
		if err := s.makeRoom(now); err != nil {
			return err
		}
	}
	e.CertificateExpiry = now.Add(s.cfg.SVIDTTL)
	s.enrolments[e.Workload] = e
	s.versions.enrolments++
	if known && !e.sameScope(held) && s.attached(e.Workload) {
		s.entries[e.Workload].stream.stop(status.Error(codes.Unavailable, "the pod was enrolled again: attach with the new certificate"))
	}
	return nil
}

// samePod reports whether both are enrolments of pods of one name, which need not be one pod.
func (e enrolment) samePod(o enrolment) bool {
	return e.Pod != nil && o.Pod != nil && e.Pod.Namespace == o.Pod.Namespace && e.Pod.Name == o.Pod.Name
}

// locate fills in where a pod runs, as far as its proxy does not say.
func (s *Site) locate(r *hansev1.Registration) {
	if s.cfg.Pods == nil || r.GetLocality().GetZone() != "" {
		return
	}
	at, known := s.cfg.Pods.Locality(r.GetAddress())
	if said := r.GetLocality().GetRegion(); !known || said != "" && said != at.Region {
		return
	}
	r.Locality = &hansev1.Locality{Region: at.Region, Zone: at.Zone}
}

// admitsPod says why a registration goes beyond what a pod may be, as a status.
func (e enrolment) admitsPod(w model.Workload, pods Pods) error {
	account := e.Namespace + "/" + e.ServiceAccount
	switch {
	case w.Gateway != nil && !e.Gateway:
		return status.Errorf(codes.PermissionDenied, "a pod with service account %s may not be a gateway: run gateways as %s/%s",
			account, model.SystemNamespace, model.GatewayServiceAccount)
	case w.Egress != nil && !e.Egress:
		return status.Errorf(codes.PermissionDenied, "a pod with service account %s may not be an egress: run it as service account %s",
			account, model.EgressServiceAccount)
	case w.Egress != nil && w.Egress.Namespace != e.egressFor():
		return status.Errorf(codes.PermissionDenied, "an egress with service account %s is for namespace %q, not for %q: the one of %s is for all",
			account, e.egressFor(), w.Egress.Namespace, model.SystemNamespace)
	case w.Serves() && (e.Gateway || e.Egress):
		return status.Errorf(codes.PermissionDenied, "a pod with service account %s serves no service of its own: use another service account", account)
	case !w.Serves() || pods == nil:
		return nil
	}
	if serves, known := pods.Serves(*e.Pod, w.Service); known && !serves {
		return status.Errorf(codes.PermissionDenied,
			"pod %s/%s is not an endpoint of service %s: have the Service select the pod's labels, or name the service that does", e.Pod.Namespace, e.Pod.Name, w.Service.Name)
	}
	return nil
}

// egressFor is the namespace for which the enrolled may be an egress; empty for all.
func (e enrolment) egressFor() string {
	if e.Namespace == model.SystemNamespace {
		return ""
	}
	return e.Namespace
}

// forgetPod ends the enrolment of a pod that is not registered any more: pods come and go, and one that comes back has its token. s.mu is
// held.
func (s *Site) forgetPod(id string) {
	if e, ok := s.enrolments[id]; ok && e.Pod != nil {
		delete(s.enrolments, id)
		s.versions.enrolments++
		wake(s.unsaved)
	}
}

// sameServices reports whether two enrolments may register the same.
func sameServices(a, b enrolment) bool {
	return a.Gateway == b.Gateway && a.Egress == b.Egress && slices.Equal(a.Services, b.Services)
}
