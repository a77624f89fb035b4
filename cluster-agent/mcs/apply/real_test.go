package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/mcs-api/config/crd"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

// bothFamilies has an SCTP port, a nameless one, and a conflict in everything.
func bothFamilies() mcs.Facts {
	f := facts()
	f.Families = []string{"IPv4", "IPv6"}
	f.Egress = append(f.Egress, mcs.Egress{Address: "fd09::1", Ready: true})
	e := export()
	e.CreatedAt, e.IPFamilies = e.CreatedAt.Add(time.Second), []model.IPFamily{model.IPv6, model.IPv4}
	e.SessionAffinity, e.InternalTrafficPolicy, e.TrafficDistribution, e.Headless = "None", "Local", "PreferClose", true
	e.Labels, e.Annotations = map[string]string{"tier": "iron"}, map[string]string{"a": "b"}
	e.Ports = []model.Port{{Number: 80, Protocol: model.ProtocolTCP}, {Name: "stcp", Number: 142, Protocol: model.ProtocolSCTP, AppProtocol: "kubernetes.io/h2c"}}
	f.Remotes = []mcs.Remote{{Cluster: "west", Export: e}}
	f.Ports, _ = mcs.AllotPorts(nil, mcs.WantedPorts(f), mcs.FirstEgressPort, mcs.LastEgressPort)
	return f
}

func TestRealAPIServer(t *testing.T) {
	r := newReal(t)
	r.define(crd.ServiceImportCRD, "v1alpha1", "v1beta1")
	r.define(crd.ServiceExportCRD, "v1alpha1", "v1beta1")
	r.exports()
	a, limit := r.running(t.Context())
	for _, f := range []mcs.Facts{facts(), bothFamilies()} {
		for round := 0; r.writes(a, limit, f) > 0; round++ {
			if round == 3 {
				t.Fatal("the API server's answers never please")
			}
		}
	}
	i := r.imported()
	if len(i.Spec.IPs) != 2 || len(i.Spec.Ports) != 4 || i.Status.EndpointSliceObjects != "Present" || i.Status.Conditions[0].Status != "True" {
		t.Errorf("import %+v", i)
	}
	e, err := r.multi.MulticlusterV1beta1().ServiceExports("demo").Get(t.Context(), "hello", metav1.GetOptions{})
	must(t, err)
	if n := len(e.Status.Conditions); n != 3 || strings.Count(e.Status.Conditions[2].Reason, ",") < 5 {
		t.Errorf("conditions %+v", e.Status.Conditions)
	}
	again, recount := r.running(t.Context())
	if n := r.writes(again, recount, bothFamilies()); n > 0 {
		t.Errorf("a restarted agent wrote %d times", n)
	}
	ports, err := again.Ports(t.Context())
	must(t, err)
	if want := bothFamilies().Ports; len(ports) != len(want) {
		t.Errorf("ports %v, want %v", ports, want)
	}
	r.editAndMend(a, limit)
	r.unexport(a)
}

// editAndMend lets a user change an import.
func (r *real) editAndMend(a *Applier, limit *counter) {
	r.t.Helper()
	i := r.imported()
	ips := i.Spec.IPs
	i.Spec.IPs, i.Spec.Ports, i.Annotations["mine"] = []string{"192.0.2.1"}, i.Spec.Ports[:1], "stays"
	_, err := r.multi.MulticlusterV1beta1().ServiceImports("demo").Update(r.t.Context(), i, metav1.UpdateOptions{FieldManager: "user"})
	must(r.t, err)
	for !slices.Equal(r.imported().Spec.IPs, ips) {
		<-a.Changed()
		r.writes(a, limit, bothFamilies())
	}
	if i := r.imported(); i.Annotations["mine"] != "stays" || len(i.Spec.Ports) != 4 {
		r.t.Errorf("import %+v", i)
	}
	if n := r.writes(a, limit, bothFamilies()); n > 0 {
		r.t.Errorf("what was put back is written %d times again", n)
	}
}

// unexport finds nothing left but what was there.
func (r *real) unexport(a *Applier) {
	r.t.Helper()
	own := metav1.ObjectMeta{Name: "own", Labels: map[string]string{mcs.LabelManagedBy: mcs.Manager}}
	_, err := r.core.CoreV1().Services("demo").Create(r.t.Context(), &corev1.Service{ObjectMeta: own, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
	must(r.t, err)
	f := bothFamilies()
	f.Exports, f.Remotes = nil, nil
	must(r.t, a.Apply(r.t.Context(), r.plan(f)))
	if _, err := r.multi.MulticlusterV1beta1().ServiceImports("demo").Get(r.t.Context(), "hello", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		r.t.Errorf("the import is still there: %v", err)
	}
	services, err := r.core.CoreV1().Services("demo").List(r.t.Context(), metav1.ListOptions{})
	must(r.t, err)
	endpoints, err := r.core.DiscoveryV1().EndpointSlices("demo").List(r.t.Context(), metav1.ListOptions{})
	must(r.t, err)
	if len(services.Items) != 1 || len(endpoints.Items) != 0 {
		r.t.Errorf("left are %d Services, %d EndpointSlices", len(services.Items), len(endpoints.Items))
	}
}

func TestRealAPIServerOfTheOldVersion(t *testing.T) {
	r := newReal(t)
	a := New(Config{Client: r.core, MCS: r.multi, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
	})
	r.await("the definitions are missed", func() error {
		if err := a.Apply(t.Context(), mcs.Plan{}); err == nil || !errors.Is(err, errNotServed) {
			return fmt.Errorf("it says: %w", err)
		}
		return nil
	})
	_, err := r.core.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "demo"}}, metav1.CreateOptions{})
	must(t, err)
	r.define(crd.ServiceImportCRD, "v1alpha1")
	r.define(crd.ServiceExportCRD, "v1alpha1")
	r.await("the definitions are found", func() error { return a.Apply(t.Context(), r.plan(facts())) })
	must(t, a.Apply(t.Context(), r.plan(facts())))
	i, err := r.multi.MulticlusterV1alpha1().ServiceImports("demo").Get(t.Context(), "hello", metav1.GetOptions{})
	if err != nil || len(i.Spec.IPs) != 1 || len(i.Status.Clusters) != 2 {
		t.Errorf("import %+v: %v", i, err)
	}
}
