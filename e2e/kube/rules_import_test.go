//go:build e2ekube

package kube

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/e2e/kube/lab"
)

// importRules are those on what a ServiceImport says, and when there is one.
var importRules = []rule{
	{1, "a ServiceImport exists only while at least one cluster exports", existsWhileExported},
	{2, "only exported labels and annotations travel", labelsTravel},
	{4, "an exported ClusterIP service is a ClusterSetIP import in each cluster", clusterSetIP},
	{5, "session affinity and its configuration match", sessionAffinity},
	{6, "internalTrafficPolicy matches", internalTrafficPolicy},
	{7, "trafficDistribution matches", trafficDistribution},
	{8, "one IP per family, in the families' order", addressPerFamily},
	{9, "ports match", portsMatch},
	{12, "an exported headless service is a Headless import in each cluster", headlessImport},
	{13, "a Headless import has no IP", headlessNoAddress},
	{14, "an ExternalName service is not exported", externalName},
}

func existsWhileExported(s *stage) error {
	for _, m := range []*member{s.first, s.second} {
		if err := s.serve(m, nil); err != nil {
			return err
		}
		if err := s.export(m, nil); err != nil {
			return err
		}
		time.Sleep(between)
	}
	exists := func(*member, *mcsv1beta1.ServiceImport) error { return nil }
	if err := s.awaitImports(exists); err != nil {
		return err
	}
	if err := s.unexport(s.first); err != nil {
		return err
	}
	err := s.each(func(m *member) error {
		return lab.Always(s.ctx, stays, func(ctx context.Context) error {
			_, err := s.imported(ctx, m)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("after one of two exports is gone: %w", err)
	}
	s.saw("there for %v after %s stopped exporting", stays, s.first.Name)
	if err := s.unexport(s.second); err != nil {
		return err
	}
	if err := s.awaitNoImports(); err != nil {
		return fmt.Errorf("after both exports are gone: %w", err)
	}
	s.saw("gone after %s stopped too", s.second.Name)
	return nil
}

// offer serves and exports hello in the first cluster.
func (s *stage) offer(service func(*corev1.Service), export func(*mcsv1beta1.ServiceExport)) error {
	if err := s.serve(s.first, service); err != nil {
		return err
	}
	return s.export(s.first, export)
}

func labelsTravel(s *stage) error {
	labels, annotations := map[string]string{"team": "sea"}, map[string]string{"hanse.test/note": "by ship"}
	err := s.offer(nil, func(e *mcsv1beta1.ServiceExport) {
		e.Spec.ExportedLabels, e.Spec.ExportedAnnotations = labels, annotations
	})
	if err != nil {
		return err
	}
	return s.awaitImports(func(m *member, i *mcsv1beta1.ServiceImport) error {
		if i.Labels["team"] != "sea" || i.Annotations["hanse.test/note"] != "by ship" {
			return fmt.Errorf("labels %v, annotations %v lack the exported ones", i.Labels, i.Annotations)
		}
		for _, local := range []string{"of-the-service", "of-the-export"} {
			if i.Labels[local] != "" || i.Annotations[local] != "" {
				return fmt.Errorf("%s travelled", local)
			}
		}
		s.saw("%s: labels %v", m.Name, i.Labels)
		return nil
	})
}

// ofType checks an import's type.
func (s *stage) ofType(want mcsv1beta1.ServiceImportType) func(*member, *mcsv1beta1.ServiceImport) error {
	return func(m *member, i *mcsv1beta1.ServiceImport) error {
		if i.Spec.Type != want {
			return fmt.Errorf("type is %q, want %s", i.Spec.Type, want)
		}
		s.saw("%s: %s %v", m.Name, i.Spec.Type, i.Spec.IPs)
		return nil
	}
}

func clusterSetIP(s *stage) error {
	if err := s.offer(nil, nil); err != nil {
		return err
	}
	return s.comesAndGoes(mcsv1beta1.ClusterSetIP)
}

func (s *stage) comesAndGoes(kind mcsv1beta1.ServiceImportType) error {
	if err := s.awaitImports(s.ofType(kind)); err != nil {
		return err
	}
	if err := s.awaitCondition(s.first, mcsv1beta1.ServiceExportConditionValid, metav1.ConditionTrue); err != nil {
		return err
	}
	if err := s.unexport(s.first); err != nil {
		return err
	}
	if err := s.awaitNoImports(); err != nil {
		return fmt.Errorf("after the export is gone: %w", err)
	}
	s.saw("gone after the export")
	return nil
}

// same notes a value of the import, which must be the service's.
func (s *stage) same(m *member, field string, got, want any) error {
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s is %s, the service's is %s", field, brief(got), brief(want))
	}
	s.saw("%s: %s %s", m.Name, field, brief(got))
	return nil
}

func sessionAffinity(s *stage) error {
	if err := s.offer(nil, nil); err != nil {
		return err
	}
	want := s.service(nil).Spec
	return s.awaitImports(func(m *member, i *mcsv1beta1.ServiceImport) error {
		return errors.Join(s.same(m, "sessionAffinity", i.Spec.SessionAffinity, want.SessionAffinity),
			s.same(m, "sessionAffinityConfig", i.Spec.SessionAffinityConfig, want.SessionAffinityConfig))
	})
}

func internalTrafficPolicy(s *stage) error {
	local := ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
	if err := s.offer(func(service *corev1.Service) { service.Spec.InternalTrafficPolicy = local }, nil); err != nil {
		return err
	}
	return s.awaitImports(func(m *member, i *mcsv1beta1.ServiceImport) error {
		return s.same(m, "internalTrafficPolicy", i.Spec.InternalTrafficPolicy, local)
	})
}

func trafficDistribution(s *stage) error {
	near := ptr.To(corev1.ServiceTrafficDistributionPreferClose)
	if err := s.offer(func(service *corev1.Service) { service.Spec.TrafficDistribution = near }, nil); err != nil {
		return err
	}
	return s.awaitImports(func(m *member, i *mcsv1beta1.ServiceImport) error {
		return s.same(m, "trafficDistribution", i.Spec.TrafficDistribution, near)
	})
}

func addressPerFamily(s *stage) error {
	if err := s.offer(nil, nil); err != nil {
		return err
	}
	return s.awaitImports(func(m *member, i *mcsv1beta1.ServiceImport) error {
		families, err := familiesOf(i.Spec.IPs)
		if err != nil {
			return err
		}
		if len(families) == 0 || !slices.Equal(families, i.Spec.IPFamilies) {
			return fmt.Errorf("IPs %v do not stand for the families %v", i.Spec.IPs, i.Spec.IPFamilies)
		}
		if world.lab != nil && len(families) != 2 {
			return fmt.Errorf("IPs %v: the cluster has two families", i.Spec.IPs)
		}
		s.saw("%s: %v %v", m.Name, i.Spec.IPs, i.Spec.IPFamilies)
		return nil
	})
}

func portsMatch(s *stage) error {
	if err := s.offer(nil, nil); err != nil {
		return err
	}
	return s.awaitImports(func(m *member, i *mcsv1beta1.ServiceImport) error {
		return s.same(m, "ports", portTexts(i), serviceTexts(ports()))
	})
}

func headlessImport(s *stage) error {
	if err := s.offer(headless, nil); err != nil {
		return err
	}
	return s.comesAndGoes(mcsv1beta1.Headless)
}

func headlessNoAddress(s *stage) error {
	if err := s.offer(headless, nil); err != nil {
		return err
	}
	if err := s.awaitImports(s.ofType(mcsv1beta1.Headless)); err != nil {
		return err
	}
	return s.each(func(m *member) error {
		return lab.Always(s.ctx, stays, func(ctx context.Context) error {
			i, err := s.imported(ctx, m)
			if err == nil && len(i.Spec.IPs) > 0 {
				err = fmt.Errorf("headless, yet with IPs %v in %s", i.Spec.IPs, m.Name)
			}
			return err
		})
	})
}

func externalName(s *stage) error {
	err := s.offer(func(service *corev1.Service) {
		service.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"}
	}, nil)
	if err != nil {
		return err
	}
	if err := s.awaitCondition(s.first, mcsv1beta1.ServiceExportConditionValid, metav1.ConditionFalse, "InvalidServiceType"); err != nil {
		return err
	}
	return s.each(func(m *member) error {
		return lab.Always(s.ctx, stays, func(ctx context.Context) error { return s.absent(ctx, m) })
	})
}
