//go:build e2ekube

package kube

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/e2e/kube/lab"
)

const (
	// appears is how long what must come may take, and goes what must go.
	appears = 20 * time.Second
	// stays is how long what must not change is watched.
	stays = 5 * time.Second
	// seconds between exports make their creation timestamps differ, which count whole seconds.
	between = 1100 * time.Millisecond
)

// stage is one rule's namespace, the same in all clusters.
type stage struct {
	ctx       context.Context
	namespace string
	members   []*member
	// first exports; second is another cluster.
	first, second *member

	mu       sync.Mutex
	evidence []string
	denied   error
}

// newStage makes the namespace with a client pod in every cluster and waits until the pods run.
func newStage(ctx context.Context, members []*member) (*stage, error) {
	s := &stage{ctx: ctx, namespace: fmt.Sprintf("rule-%08x", rand.Uint32()), members: members, first: members[0], second: members[1]}
	return s, s.each(func(m *member) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
		if _, err := m.Kube.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create a namespace in %s: %w", m.Name, err)
		}
		if err := m.Apply(ctx, strings.ReplaceAll(clientPod, "NAMESPACE", s.namespace)); err != nil {
			return err
		}
		return lab.Eventually(ctx, time.Minute, func(ctx context.Context) error {
			pod, err := m.Kube.CoreV1().Pods(s.namespace).Get(ctx, "request", metav1.GetOptions{})
			if err == nil && pod.Status.Phase != corev1.PodRunning {
				err = fmt.Errorf("pod request in %s is %s", m.Name, pod.Status.Phase)
			}
			return err
		})
	})
}

// close removes the namespaces; nobody waits for that.
func (s *stage) close() {
	now := int64(0)
	for _, m := range s.members {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_ = m.Kube.CoreV1().Pods(s.namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{})
		_ = m.Kube.CoreV1().Namespaces().Delete(ctx, s.namespace, metav1.DeleteOptions{})
		cancel()
	}
}

// each does the same in every cluster at once.
func (s *stage) each(do func(m *member) error) error {
	var all errgroup.Group
	for _, m := range s.members {
		all.Go(func() error { return do(m) })
	}
	return all.Wait()
}

// saw notes what shows that the rule holds.
func (s *stage) saw(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evidence = append(s.evidence, fmt.Sprintf(format, args...))
}

// deny notes what shows that the rule does not hold, whatever comes later.
func (s *stage) deny(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied = errors.Join(s.denied, err)
}

// eventually waits for what must come.
func (s *stage) eventually(check func(ctx context.Context) error) error {
	return lab.Eventually(s.ctx, appears, check)
}

// export creates the ServiceExport of the service hello, which change may alter first.
func (s *stage) export(m *member, change func(*mcsv1beta1.ServiceExport)) error {
	export := &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{
		Name: "hello", Namespace: s.namespace, Labels: map[string]string{"of-the-export": "stays"}, Annotations: map[string]string{"of-the-export": "stays"},
	}}
	if change != nil {
		change(export)
	}
	_, err := m.mcs.MulticlusterV1beta1().ServiceExports(s.namespace).Create(s.ctx, export, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create a ServiceExport in %s: %w", m.Name, err)
	}
	return nil
}

func (s *stage) unexport(m *member) error {
	return m.mcs.MulticlusterV1beta1().ServiceExports(s.namespace).Delete(s.ctx, "hello", metav1.DeleteOptions{})
}

// imported returns the ServiceImport in a cluster.
func (s *stage) imported(ctx context.Context, m *member) (*mcsv1beta1.ServiceImport, error) {
	i, err := m.mcs.MulticlusterV1beta1().ServiceImports(s.namespace).Get(ctx, "hello", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("in %s: %w", m.Name, err)
	}
	return i, nil
}

// awaitImports waits until check is content with the ServiceImport of every cluster.
func (s *stage) awaitImports(check func(m *member, i *mcsv1beta1.ServiceImport) error) error {
	return s.each(func(m *member) error {
		return s.eventually(func(ctx context.Context) error {
			i, err := s.imported(ctx, m)
			if err != nil {
				return err
			}
			if err := check(m, i); err != nil {
				return fmt.Errorf("ServiceImport in %s: %w", m.Name, err)
			}
			return nil
		})
	})
}

// absent is nil when a cluster has no ServiceImport.
func (s *stage) absent(ctx context.Context, m *member) error {
	_, err := s.imported(ctx, m)
	if err == nil {
		return fmt.Errorf("there is a ServiceImport in %s", m.Name)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// awaitNoImports waits until no cluster has a ServiceImport.
func (s *stage) awaitNoImports() error {
	return s.each(func(m *member) error {
		return s.eventually(func(ctx context.Context) error { return s.absent(ctx, m) })
	})
}

// awaitCondition waits until a ServiceExport has the condition with a status, and its reason has all the words.
func (s *stage) awaitCondition(m *member, kind mcsv1beta1.ServiceExportConditionType, status metav1.ConditionStatus, words ...string) error {
	return s.eventually(func(ctx context.Context) error {
		export, err := m.mcs.MulticlusterV1beta1().ServiceExports(s.namespace).Get(ctx, "hello", metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("in %s: %w", m.Name, err)
		}
		for _, c := range export.Status.Conditions {
			if c.Type != string(kind) {
				continue
			}
			for _, word := range words {
				if !strings.Contains(c.Reason, word) {
					return fmt.Errorf("ServiceExport in %s: %s has the reason %s, want %s", m.Name, kind, c.Reason, word)
				}
			}
			if c.Status != status {
				return fmt.Errorf("ServiceExport in %s: %s is %s (%s: %s), want %s", m.Name, kind, c.Status, c.Reason, c.Message, status)
			}
			s.saw("%s: %s=%s %s", m.Name, kind, c.Status, c.Reason)
			return nil
		}
		return fmt.Errorf("ServiceExport in %s has no condition %s", m.Name, kind)
	})
}
