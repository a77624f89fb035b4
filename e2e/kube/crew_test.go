//go:build e2ekube

package kube

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/e2e/kube/image"
	"github.com/hanse-mesh/hanse/e2e/kube/lab"
)

// crewManifest is a service of the sample application, whose pods have no Envoy.
const crewManifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: crew, namespace: NAMESPACE}
spec:
  replicas: 2
  selector: {matchLabels: {app: crew}}
  template:
    metadata: {labels: {app: crew}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: crew
        image: ` + image.Sample + `
        args: [app, --service=crew, --instance=$(POD_NAME), --region=CLUSTER, "--http=:8080"]
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: crew, namespace: NAMESPACE}
spec:
  selector: {app: crew}
  ports: [{name: http, port: 80, targetPort: 8080}]
`

// apply writes objects whose manifest names the stage's namespace and the cluster by NAMESPACE and CLUSTER.
func (s *stage) apply(m *member, manifest string) error {
	return m.Apply(s.ctx, strings.NewReplacer("NAMESPACE", s.namespace, "CLUSTER", m.Name).Replace(manifest))
}

// exportNamed creates a ServiceExport of a service.
func (s *stage) exportNamed(m *member, name string) error {
	_, err := m.mcs.MulticlusterV1beta1().ServiceExports(s.namespace).Create(s.ctx,
		&mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create a ServiceExport in %s: %w", m.Name, err)
	}
	return nil
}

// crew brings the service crew up in a cluster, and exports it.
func (s *stage) crew(m *member) error {
	if err := s.apply(m, crewManifest); err != nil {
		return err
	}
	if err := m.AwaitDeployments(s.ctx, time.Minute, s.namespace, "crew"); err != nil {
		return err
	}
	return s.exportNamed(m, "crew")
}

// awaitReady waits until a pod is ready.
func (s *stage) awaitReady(m *member, name string) error {
	return lab.Eventually(s.ctx, time.Minute, func(ctx context.Context) error {
		pod, err := m.Kube.CoreV1().Pods(s.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("pod %s in %s is %s and not ready", name, m.Name, pod.Status.Phase)
	})
}
