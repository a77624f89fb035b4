package codec

import (
	"encoding/json"
	"hash/fnv"

	"github.com/hanse-mesh/hanse/api/model"
)

// WorkloadOfRegistration is the workload that an operator registers, held to the same rules as a proxy's registration. It is ready: nobody
// checks it. The result has no ID.
func WorkloadOfRegistration(r model.Registration) (model.Workload, error) {
	w := model.Workload{
		Namespace: r.Namespace, Service: model.ServiceKey{Namespace: r.Namespace, Name: r.Service},
		Locality: model.Locality{Region: r.Region, Zone: r.Zone}, Address: r.Address, InboundPort: r.InboundPort, Export: r.Export,
		Health: model.WorkloadHealth{Ready: true, Draining: r.Draining},
	}
	for _, p := range r.Ports {
		w.Ports = append(w.Ports, model.WorkloadPort{Port: model.Port{Name: p.Name, Number: p.Number, Protocol: p.Protocol}, Target: p.Target})
	}
	if err := model.ValidateLabel("service", r.Service); err != nil {
		return model.Workload{}, err
	}
	if err := model.ValidateLabel("serviceAccount", r.ServiceAccount); err != nil {
		return model.Workload{}, err
	}
	w, err := WorkloadFromRegistration(RegistrationToProto(w))
	w.ServiceAccount = r.ServiceAccount
	return w, err
}

// RegistrationOf is what of a workload an operator could register; nil for one that is no part of a service.
func RegistrationOf(w model.Workload) *model.Registration {
	if !w.Serves() || w.Plain {
		return nil
	}
	r := &model.Registration{
		Namespace: w.Namespace, ServiceAccount: w.ServiceAccount, Service: w.Service.Name, Address: w.Address, InboundPort: w.InboundPort,
		Region: w.Locality.Region, Zone: w.Locality.Zone, Export: w.Export, Draining: w.Health.Draining, Ports: []model.RegistrationPort{},
	}
	for _, p := range w.Ports {
		r.Ports = append(r.Ports, model.RegistrationPort{Name: p.Name, Number: p.Number, Protocol: p.Protocol, Target: p.Target})
	}
	return r
}

// RegistrationVersion is a digest of what is registered, never 0 and never model.AnyVersion: who holds it knows whether that has changed.
// Whether the workload is ready does not count: that may change at any time.
func RegistrationVersion(w model.Workload) uint64 {
	w.Health = model.WorkloadHealth{Draining: w.Health.Draining}
	text, _ := json.Marshal(w) // A workload is strings, numbers and truth values.
	h := fnv.New64a()
	_, _ = h.Write(text)
	return h.Sum64()>>1 | 1
}
