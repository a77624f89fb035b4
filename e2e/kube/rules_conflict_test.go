//go:build e2ekube

package kube

import (
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// conflictRules are those on two clusters that export one name and do not agree.
var conflictRules = []rule{
	{3, "labels and annotations conflict: the oldest wins, both exports say so", labelsConflict},
	{10, "ports differ: their union is imported, both exports say so", portsUnite},
	{11, "one port's name, two numbers: the oldest wins, both exports say so", portsConflict},
	{15, "ClusterIP and headless: the oldest wins, both exports say so", typesConflict},
}

// party is how a cluster's service and its export differ from the usual.
type party struct {
	service func(*corev1.Service)
	export  func(*mcsv1beta1.ServiceExport)
}

// offerBoth exports from the first cluster and later, by the clock of the API, from the second.
func (s *stage) offerBoth(older, newer party) error {
	if err := s.serve(s.first, older.service); err != nil {
		return err
	}
	if err := s.serve(s.second, newer.service); err != nil {
		return err
	}
	if err := s.export(s.first, older.export); err != nil {
		return err
	}
	time.Sleep(between)
	return s.export(s.second, newer.export)
}

// bothConflict waits until both exports say why they do not agree.
func (s *stage) bothConflict(reasons ...string) error {
	return errors.Join(s.awaitCondition(s.first, mcsv1beta1.ServiceExportConditionConflict, metav1.ConditionTrue, reasons...),
		s.awaitCondition(s.second, mcsv1beta1.ServiceExportConditionConflict, metav1.ConditionTrue, reasons...))
}

// withPorts gives a service other ports; the servers listen at 42 whatever a service's ports are.
func withPorts(ports ...corev1.ServicePort) func(*corev1.Service) {
	return func(service *corev1.Service) {
		service.Spec.Ports = nil
		for _, p := range ports {
			p.TargetPort.IntVal = 42
			service.Spec.Ports = append(service.Spec.Ports, p)
		}
	}
}

func tcp(name string, number int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: number, Protocol: corev1.ProtocolTCP}
}

func labelsConflict(s *stage) error {
	carries := func(value string) party {
		return party{export: func(e *mcsv1beta1.ServiceExport) {
			e.Spec.ExportedLabels, e.Spec.ExportedAnnotations = map[string]string{"team": value}, map[string]string{"hanse.test/note": value}
		}}
	}
	if err := s.offerBoth(carries("older"), carries("newer")); err != nil {
		return err
	}
	if err := s.bothConflict("LabelsConflict", "AnnotationsConflict"); err != nil {
		return err
	}
	return s.awaitImports(func(m *member, i *mcsv1beta1.ServiceImport) error {
		if i.Labels["team"] != "older" || i.Annotations["hanse.test/note"] != "older" {
			return fmt.Errorf("labels %v, annotations %v are not the older export's", i.Labels, i.Annotations)
		}
		s.saw("%s: labels %v", m.Name, i.Labels)
		return nil
	})
}

func (s *stage) importsHavePorts(ports ...corev1.ServicePort) error {
	want := serviceTexts(ports)
	return s.awaitImports(func(m *member, i *mcsv1beta1.ServiceImport) error {
		if got := portTexts(i); !slices.Equal(got, want) {
			return fmt.Errorf("ports are %q, want %q", got, want)
		}
		s.saw("%s: ports %q", m.Name, want)
		return nil
	})
}

func portsUnite(s *stage) error {
	shared, older, newer := tcp("shared", 42), tcp("older", 43), tcp("newer", 44)
	if err := s.offerBoth(party{service: withPorts(shared, older)}, party{service: withPorts(shared, newer)}); err != nil {
		return err
	}
	return errors.Join(s.importsHavePorts(shared, older, newer), s.bothConflict("PortConflict"))
}

func portsConflict(s *stage) error {
	older, newer := tcp("tcp", 42), tcp("tcp", 4242)
	if err := s.offerBoth(party{service: withPorts(older)}, party{service: withPorts(newer)}); err != nil {
		return err
	}
	return errors.Join(s.bothConflict("PortConflict"), s.importsHavePorts(older))
}

func typesConflict(s *stage) error {
	if err := s.offerBoth(party{}, party{service: headless}); err != nil {
		return err
	}
	return errors.Join(s.bothConflict("TypeConflict"), s.awaitImports(s.ofType(mcsv1beta1.ClusterSetIP)))
}
