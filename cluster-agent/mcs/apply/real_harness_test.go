package apply

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
	"sigs.k8s.io/yaml"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

// real is a real API server with its etcd. The test that uses it is skipped without HANSE_KUBE_APISERVER, which names the program.
type real struct {
	t     *testing.T
	core  kubernetes.Interface
	multi mcsclient.Interface
}

// patience is how long the API server may take to come up.
const patience = 2 * time.Minute

func newReal(t *testing.T) *real {
	t.Helper()
	program := os.Getenv("HANSE_KUBE_APISERVER")
	if program == "" {
		t.Skip("no API server: set HANSE_KUBE_APISERVER to the program, with etcd on the PATH")
	}
	dir, ports := t.TempDir(), freePorts(t, 3)
	key := filepath.Join(dir, "service-accounts.pem")
	writeKey(t, key)
	tokens := filepath.Join(dir, "tokens")
	if err := os.WriteFile(tokens, []byte("secret,test,1,system:masters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	launch(t, "etcd", "--data-dir", filepath.Join(dir, "etcd"), "--listen-client-urls", store, "--advertise-client-urls", store,
		"--listen-peer-urls", fmt.Sprintf("http://127.0.0.1:%d", ports[1]), "--unsafe-no-fsync")
	launch(t, program, "--etcd-servers", store, "--secure-port", fmt.Sprint(ports[2]), "--bind-address", "127.0.0.1", "--cert-dir", dir,
		"--service-cluster-ip-range", "10.96.0.0/16,fd96::/112", "--service-account-issuer", "https://test", "--service-account-key-file", key,
		"--service-account-signing-key-file", key, "--token-auth-file", tokens, "--disable-admission-plugins", "ServiceAccount")
	cfg := &rest.Config{Host: fmt.Sprintf("https://127.0.0.1:%d", ports[2]), BearerToken: "secret", QPS: -1, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	r := &real{t: t}
	if r.core, err = kubernetes.NewForConfigAndClient(cfg, client); err != nil {
		t.Fatal(err)
	}
	if r.multi, err = mcsclient.NewForConfigAndClient(cfg, client); err != nil {
		t.Fatal(err)
	}
	r.await("the API server is ready", func() error {
		_, err := r.core.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		return err
	})
	return r
}

// launch starts a program that is killed at the end of the test.
func launch(t *testing.T, name string, args ...string) {
	t.Helper()
	var log bytes.Buffer
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = &log, &log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			text := log.String()
			t.Logf("the end of what %s said:\n%s", filepath.Base(name), text[max(0, len(text)-2000):])
		}
	})
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var out []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out
}

func writeKey(t *testing.T, path string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// await tries until there is no error, or patience ends.
func (r *real) await(what string, try func() error) {
	r.t.Helper()
	for end := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// define installs a definition, in which served versions may be changed, and waits until it is there.
func (r *real) define(definition []byte, versions ...string) {
	r.t.Helper()
	var d map[string]any
	if err := yaml.Unmarshal(definition, &d); err != nil {
		r.t.Fatal(err)
	}
	for _, v := range d["spec"].(map[string]any)["versions"].([]any) {
		v.(map[string]any)["served"] = slices.Contains(versions, v.(map[string]any)["name"].(string))
	}
	body, err := yaml.Marshal(d)
	if err != nil {
		r.t.Fatal(err)
	}
	name := d["metadata"].(map[string]any)["name"].(string)
	_, err = r.core.Discovery().RESTClient().Patch(types.ApplyPatchType).AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"+name).
		Param("fieldManager", "test").Body(body).DoRaw(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	resource, _, _ := strings.Cut(name, ".")
	for _, v := range []string{"v1alpha1", "v1beta1"} {
		r.await(name+" is served as it should be", func() error {
			_, err := r.core.Discovery().RESTClient().Get().AbsPath("/apis/multicluster.x-k8s.io/" + v + "/" + resource).DoRaw(r.t.Context())
			if slices.Contains(versions, v) == (err == nil) {
				return nil
			}
			return fmt.Errorf("%s: %w", v, errors.Join(err, errors.New("not as it should be")))
		})
	}
}

// plan is of the facts and of the derived Services as the API server has them.
func (r *real) plan(f mcs.Facts) mcs.Plan {
	r.t.Helper()
	all, err := r.core.CoreV1().Services("").List(r.t.Context(), metav1.ListOptions{})
	must(r.t, err)
	f.Derived = map[model.ServiceKey]mcs.Derived{}
	for _, s := range all.Items {
		if k, ours := mcs.DerivedFor(&s); ours {
			d := mcs.Derived{ClusterIPs: s.Spec.ClusterIPs}
			for _, family := range s.Spec.IPFamilies {
				d.IPFamilies = append(d.IPFamilies, string(family))
			}
			f.Derived[k] = d
		}
	}
	return mcs.Make(f, time.Now())
}

func (r *real) running(ctx context.Context) (*Applier, *counter) {
	r.t.Helper()
	limit := &counter{}
	a := New(Config{Client: r.core, MCS: r.multi, Limiter: limit, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	r.t.Cleanup(func() {
		stop()
		<-done
	})
	for slices.ContainsFunc(a.kinds(), func(k *kind) bool { return k.ready() != nil }) {
		<-a.Changed()
	}
	return a, limit
}

// writes applies the plan of the facts and returns how many requests that took.
func (r *real) writes(a *Applier, limit *counter, f mcs.Facts) int64 {
	r.t.Helper()
	before := limit.n.Load()
	must(r.t, a.Apply(r.t.Context(), r.plan(f)))
	return limit.n.Load() - before
}

func (r *real) imported() *mcsv1beta1.ServiceImport {
	r.t.Helper()
	i, err := r.multi.MulticlusterV1beta1().ServiceImports("demo").Get(r.t.Context(), "hello", metav1.GetOptions{})
	must(r.t, err)
	return i
}

func (r *real) exports() {
	r.t.Helper()
	_, err := r.core.CoreV1().Namespaces().Create(r.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "demo"}}, metav1.CreateOptions{})
	must(r.t, err)
	_, err = r.multi.MulticlusterV1beta1().ServiceExports("demo").Create(r.t.Context(), &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Name: "hello"}}, metav1.CreateOptions{})
	must(r.t, err)
}
