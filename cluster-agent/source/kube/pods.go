package kube

import (
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
)

// Serves reports whether a pod is an endpoint of a service, ready or not; known is false until everything was seen once.
func (s *Source) Serves(pod model.Pod, service model.ServiceKey) (serves, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.serves(pod, service), len(s.unseen) == 0
}

func (x *index) serves(pod model.Pod, service model.ServiceKey) bool {
	if pod.Namespace != service.Namespace {
		return false
	}
	return slices.ContainsFunc(x.sliceNames[service], func(name string) bool {
		of := x.slices.held[objectKey{service.Namespace, name}]
		return slices.ContainsFunc(of.endpoints, func(e endpoint) bool { return e.pod == pod.Name })
	})
}
