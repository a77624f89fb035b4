//go:build e2ekube

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/e2e/kube/image"
	"github.com/hanse-mesh/hanse/e2e/kube/lab"
	"github.com/hanse-mesh/hanse/e2e/sample"
)

// proxyContainer is what an operator adds to a pod by hand, with proxyVolumes; the flags that follow are the pod's own.
const proxyContainer = `
  - name: proxy
    image: ` + lab.HanseImage + `
    env:
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    readinessProbe: {httpGet: {path: /readyz, port: 7720}, periodSeconds: 1}
    volumeMounts:
    - {name: data, mountPath: /var/lib/hanse}
    - {name: identity, mountPath: /var/run/hanse/identity, readOnly: true}
    args:
    - proxy
    - --service-account-token=/var/run/hanse/identity/token
    - --site-roots=/var/run/hanse/identity/roots.pem
    - --health-listen=[$(POD_IP)]:7720
    - --concurrency=1
`

const proxyVolumes = `
  volumes:
  - {name: data, emptyDir: {}}
  - name: identity
    projected:
      defaultMode: 0440
      sources:
      - serviceAccountToken: {audience: hanse, expirationSeconds: 3600, path: token}
      - configMap: {name: hanse-roots, items: [{key: roots.pem, path: roots.pem}]}
`

// sailorPod calls two services through its own Envoy.
const sailorPod = `apiVersion: v1
kind: ServiceAccount
metadata: {name: sailor, namespace: NAMESPACE}
---
apiVersion: v1
kind: Pod
metadata: {name: sailor, namespace: NAMESPACE}
spec:
  serviceAccountName: sailor
  enableServiceLinks: false
  terminationGracePeriodSeconds: 1
  securityContext: {fsGroup: 65532}
  containers:
  - {name: sailor, image: "` + image.Client + `", command: [sh, -c, "sleep 3600"]}` + proxyContainer +
	`    - --upstream=service=crew,port=http,bind=127.0.0.1:9001
    - --upstream=service=escort,port=http,bind=127.0.0.1:9002` + proxyVolumes

// escortPod serves through its own Envoy alone: the application listens on loopback.
const escortPod = `apiVersion: v1
kind: ServiceAccount
metadata: {name: escort, namespace: NAMESPACE}
---
apiVersion: v1
kind: Service
metadata: {name: escort, namespace: NAMESPACE}
spec:
  selector: {app: escort}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: escort, namespace: NAMESPACE, labels: {app: escort}}
spec:
  serviceAccountName: escort
  enableServiceLinks: false
  terminationGracePeriodSeconds: 1
  securityContext: {fsGroup: 65532}
  containers:
  - {name: escort, image: "` + image.Sample + `", args: [app, --service=escort, --instance=escort, --region=CLUSTER, "--http=127.0.0.1:8080"]}` + proxyContainer +
	`    - --service=escort
    - --port=name=http,number=80,protocol=http,target=127.0.0.1:8080` + proxyVolumes

// A pod with a proxy of its own is seen by whom it calls as itself, one without as its cluster.
func TestPodWithProxy(t *testing.T) {
	if world.lab == nil {
		t.Skip("the clusters are not of this suite's making")
	}
	ctx, cancel := context.WithTimeout(world.ctx, 4*time.Minute)
	defer cancel()
	s, err := newStage(ctx, world.members)
	defer s.close()
	if err == nil {
		err = s.seaworthy()
	}
	if err != nil {
		t.Fatal(err)
	}
	calls := []struct{ name, pod, url, service, peer string }{
		{"without a proxy", "request", "http://crew." + s.namespace + ".svc.clusterset.local/", "crew", "hanse-system/sa/egress"},
		{"with one, to a pod without", "sailor", "http://127.0.0.1:9001/", "crew", s.namespace + "/sa/sailor"},
		{"with one, to a pod with one", "sailor", "http://127.0.0.1:9002/", "escort", s.namespace + "/sa/sailor"},
	}
	for _, c := range calls {
		want := sample.Answer{Service: c.service, Region: s.second.Name, Peer: "spiffe://" + s.first.TrustDomain() + "/ns/" + c.peer}
		err := lab.Eventually(ctx, 30*time.Second, func(ctx context.Context) error {
			got, err := s.ask(ctx, c.pod, c.url)
			if got.Instance = ""; err == nil && got != want {
				err = fmt.Errorf("answer %+v, want %+v", got, want)
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		t.Logf("%s: %s of %s sees %s", c.name, want.Service, want.Region, want.Peer)
	}
}

// seaworthy brings up the services in the second cluster, and the pod that calls them in the first.
func (s *stage) seaworthy() error {
	return s.each(func(m *member) error {
		if m != s.first && m != s.second {
			return nil
		}
		// The agent keeps the roots in its own namespace; a pod can only use what is in its own.
		roots, err := m.Kube.CoreV1().ConfigMaps(systemNamespace).Get(s.ctx, "hanse-roots", metav1.GetOptions{})
		if err != nil {
			return err
		}
		roots = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: roots.Name, Namespace: s.namespace}, Data: roots.Data}
		if _, err := m.Kube.CoreV1().ConfigMaps(s.namespace).Create(s.ctx, roots, metav1.CreateOptions{}); err != nil {
			return err
		}
		if m == s.first {
			if err := s.apply(m, sailorPod); err != nil {
				return err
			}
			return s.awaitReady(m, "sailor")
		}
		if err := s.crew(m); err != nil {
			return err
		}
		if err := s.apply(m, escortPod); err != nil {
			return err
		}
		if err := s.exportNamed(m, "escort"); err != nil {
			return err
		}
		return s.awaitReady(m, "escort")
	})
}

// ask makes one call from the container of a pod of the first cluster that has the pod's name.
func (s *stage) ask(ctx context.Context, pod, url string) (sample.Answer, error) {
	var a sample.Answer
	text, err := s.first.ExecIn(ctx, s.namespace, pod, pod, "curl", "-sS", "-m", "5", url)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, fmt.Errorf("the answer to a call from pod %s is %q: %w", pod, text, err)
	}
	return a, nil
}
