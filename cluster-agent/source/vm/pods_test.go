package vm

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// fakeCluster knows tokens, and which services have which pods. It is not changed while a site uses it.
type fakeCluster struct {
	tokens   map[string]model.Pod
	serving  map[model.ServiceKey][]string
	unknown  bool
	locality map[string]model.Locality
}

func (c *fakeCluster) Review(_ context.Context, token string) (model.Pod, error) {
	switch pod, ok := c.tokens[token]; {
	case token == "away":
		return model.Pod{}, status.Error(codes.Unavailable, "the API server does not say")
	case !ok:
		return model.Pod{}, status.Error(codes.Unauthenticated, "the API server does not accept the service-account token")
	default:
		return pod, nil
	}
}

func (c *fakeCluster) Serves(pod model.Pod, service model.ServiceKey) (bool, bool) {
	for _, name := range c.serving[service] {
		if service.Namespace == pod.Namespace && name == pod.Name {
			return true, true
		}
	}
	return false, !c.unknown
}

func (c *fakeCluster) Locality(podIP string) (model.Locality, bool) {
	l, ok := c.locality[podIP]
	return l, ok
}

func newCluster() *fakeCluster {
	pod := func(namespace, account, name string) model.Pod {
		return model.Pod{Namespace: namespace, ServiceAccount: account, Name: name, UID: "uid-of-" + name}
	}
	return &fakeCluster{
		tokens: map[string]model.Pod{
			"cart":    pod("shop", "till", "cart-1"),
			"again":   {Namespace: "shop", ServiceAccount: "till", Name: "cart-1", UID: "another"},
			"till":    {Namespace: "shop", ServiceAccount: "drawer", Name: "cart-1", UID: "a third"},
			"gateway": pod(model.SystemNamespace, model.GatewayServiceAccount, "gw-1"),
			"egress":  pod(model.SystemNamespace, model.EgressServiceAccount, "eg-1"),
			"own":     pod("shop", model.EgressServiceAccount, "eg-1"),
			"fake-gw": pod("shop", model.GatewayServiceAccount, "gw-1"),
			"agent":   pod(model.SystemNamespace, model.AgentServiceAccount, "agent-1"),
			"server":  pod(model.SystemNamespace, "server", "server-0"),
		},
		serving:  map[model.ServiceKey][]string{{Namespace: "shop", Name: "payments"}: {"cart-1"}},
		locality: map[string]model.Locality{"10.0.0.1": {Region: "eu", Zone: "eu-a"}},
	}
}

// enrollPod enrols a proxy under the name that its pod has here.
func (s *site) enrollPod(token string, pod model.Pod) (*machine, error) {
	s.t.Helper()
	m := newMachine(s.t, model.PodWorkloadID(pod.Namespace, pod.Name))
	return m, s.enrollAgain(m, token)
}

func (s *site) enrollAgain(m *machine, token string) error {
	r, err := s.client.Enroll(s.ctx, &hansev1.EnrollRequest{ServiceAccountToken: token, Workload: m.id, Csr: m.csr})
	m.spiffe = r.GetSpiffeId()
	return err
}

func TestAPodIsWhatItsServiceAccountSays(t *testing.T) {
	cluster := newCluster()
	s := newSiteOf(t, t.TempDir(), cluster)
	for token, c := range map[string]struct {
		spiffe string
		code   codes.Code
		says   string
	}{
		"cart":    {spiffe: "spiffe://hamburg.example/ns/shop/sa/till"},
		"gateway": {spiffe: "spiffe://hamburg.example/ns/hanse-system/sa/gateway"},
		"egress":  {spiffe: "spiffe://hamburg.example/ns/hanse-system/sa/egress"},
		"own":     {spiffe: "spiffe://hamburg.example/ns/shop/sa/egress"},
		"agent":   {code: codes.PermissionDenied, says: "not for proxies"},
		"server":  {code: codes.PermissionDenied, says: "not for proxies"},
		"unknown": {code: codes.Unauthenticated, says: "does not accept"},
		"away":    {code: codes.Unavailable, says: "does not say"},
	} {
		m, err := s.enrollPod(token, cluster.tokens[token])
		if c.code != codes.OK {
			wantStatus(t, err, c.code, c.says)
			continue
		}
		if err != nil || m.spiffe != c.spiffe {
			t.Errorf("%s: %q, %v", token, m.spiffe, err)
		}
	}
	_, err := s.enrollPod("cart", cluster.tokens["gateway"])
	wantStatus(t, err, codes.InvalidArgument, `"shop--cart-1"`)
	bad := newMachine(t, "shop--cart-1")
	bad.csr = bad.csr[:9]
	wantStatus(t, s.enrollAgain(bad, "cart"), codes.InvalidArgument, "csr")
}

func TestASiteWithoutPodsTakesNoServiceAccountTokens(t *testing.T) {
	s := newSite(t, t.TempDir())
	_, err := s.enrollPod("cart", newCluster().tokens["cart"])
	wantStatus(t, err, codes.FailedPrecondition, "no Kubernetes cluster")
}

func TestWhatAPodMayRegister(t *testing.T) {
	gateway := func(w *model.Workload) {
		w.Service, w.Ports, w.Namespace = model.ServiceKey{}, nil, model.SystemNamespace
		w.Gateway = &model.WorkloadGateway{Bind: "0.0.0.0:15443", AdvertiseAddress: "192.0.2.1", AdvertisePort: 15443}
	}
	egress := func(namespace, only string) func(*model.Workload) {
		return func(w *model.Workload) {
			w.Service, w.Ports, w.Namespace = model.ServiceKey{}, nil, namespace
			w.Egress = &model.WorkloadEgress{Bind: "::", Namespace: only}
		}
	}
	service := func(name string) func(*model.Workload) { return func(w *model.Workload) { w.Service.Name = name } }
	for name, c := range map[string]struct {
		token  string
		change func(*model.Workload)
		says   string
	}{
		"its service":                     {"cart", service("payments"), ""},
		"no service":                      {"cart", func(w *model.Workload) { w.Service, w.Ports = model.ServiceKey{}, nil }, ""},
		"another service":                 {"cart", service("ledger"), "not an endpoint of service ledger"},
		"another namespace":               {"cart", func(w *model.Workload) { w.Namespace = "bank" }, `certificate is for namespace "shop"`},
		"a gateway":                       {"gateway", gateway, ""},
		"a workload as gateway":           {"cart", func(w *model.Workload) { gateway(w); w.Namespace = "shop" }, "may not be a gateway"},
		"a gateway of another namespace":  {"fake-gw", func(w *model.Workload) { gateway(w); w.Namespace = "shop" }, "may not be a gateway"},
		"an egress":                       {"egress", egress(model.SystemNamespace, ""), ""},
		"a namespace's egress":            {"own", egress("shop", "shop"), ""},
		"a namespace's egress for all":    {"own", egress("shop", ""), `for namespace "shop"`},
		"a namespace's egress for others": {"own", egress("shop", "bank"), `for namespace "shop"`},
		"the egress for one namespace":    {"egress", egress(model.SystemNamespace, "bank"), "for all"},
		"a workload as egress":            {"cart", egress("shop", "shop"), "may not be an egress"},
		"an egress that serves":           {"own", service("payments"), "serves no service"},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := newCluster()
			s := newSiteOf(t, t.TempDir(), cluster)
			m, err := s.enrollPod(c.token, cluster.tokens[c.token])
			if err != nil {
				t.Fatal(err)
			}
			w := payments()
			c.change(&w)
			_, _, err = s.open(m, w)
			if c.says == "" && err != nil {
				t.Error(err)
			}
			if c.says != "" {
				wantStatus(t, err, codes.PermissionDenied, c.says)
			}
		})
	}
}

func TestAClusterThatCannotSayLeavesItToTheNamespace(t *testing.T) {
	cluster := newCluster()
	cluster.unknown = true
	s := newSiteOf(t, t.TempDir(), cluster)
	m, err := s.enrollPod("cart", cluster.tokens["cart"])
	if err != nil {
		t.Fatal(err)
	}
	w := payments()
	w.Service.Name = "ledger"
	s.attach(m, w)
}

func TestAWorkloadTokenMakesNoEgress(t *testing.T) {
	s := newSite(t, t.TempDir())
	m := s.enrolled("vm-1")
	w := payments()
	w.Service, w.Ports, w.Egress = model.ServiceKey{}, nil, &model.WorkloadEgress{Bind: "::", Namespace: "shop"}
	_, _, err := s.open(m, w)
	wantStatus(t, err, codes.PermissionDenied, "may not be an egress")
}

func TestALocalityIsFilledIn(t *testing.T) {
	for name, c := range map[string]struct{ says, want model.Locality }{
		"nothing said":       {model.Locality{}, model.Locality{Region: "eu", Zone: "eu-a"}},
		"the region is said": {model.Locality{Region: "eu"}, model.Locality{Region: "eu", Zone: "eu-a"}},
		"another region":     {model.Locality{Region: "us"}, model.Locality{Region: "us"}},
		"all is said":        {model.Locality{Region: "eu", Zone: "eu-b"}, model.Locality{Region: "eu", Zone: "eu-b"}},
	} {
		cluster := newCluster()
		s := newSiteOf(t, t.TempDir(), cluster)
		m, err := s.enrollPod("cart", cluster.tokens["cart"])
		if err != nil {
			t.Fatal(err)
		}
		w := payments()
		w.Locality = c.says
		s.attach(m, w)
		if got := s.Workloads()[0].Locality; got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	cluster := newCluster()
	s := newSiteOf(t, t.TempDir(), cluster)
	m, err := s.enrollPod("cart", cluster.tokens["cart"])
	if err != nil {
		t.Fatal(err)
	}
	w := payments()
	w.Locality, w.Address = model.Locality{}, "10.9.9.9"
	_, _, err = s.open(m, w)
	wantStatus(t, err, codes.InvalidArgument, "locality.region")
}

// TestAPodTakesItsNamesPlace enrols again with another key: the container lost its disk, or the pod was replaced by one of its name.
func TestAPodTakesItsNamesPlace(t *testing.T) {
	cluster := newCluster()
	s := newSiteOf(t, t.TempDir(), cluster)
	first, err := s.enrollPod("cart", cluster.tokens["cart"])
	if err != nil {
		t.Fatal(err)
	}
	l := s.attach(first, payments())
	for _, token := range []string{"again", "till"} {
		next, err := s.enrollPod(token, cluster.tokens[token])
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Recv()
		wantStatus(t, err, codes.Unavailable, "enrolled again")
		_, _, err = s.open(first, payments())
		wantStatus(t, err, codes.Unauthenticated, "another key")
		l = s.attach(next, payments())
		first = next
	}
	if got := s.Workloads(); len(got) != 1 || got[0].ServiceAccount != "drawer" {
		t.Errorf("%+v", got)
	}
}

func TestANameThatIsTakenByNoPodStays(t *testing.T) {
	cluster := newCluster()
	s := newSiteOf(t, t.TempDir(), cluster)
	s.enrolled("shop--cart-1")
	_, err := s.enrollPod("cart", cluster.tokens["cart"])
	wantStatus(t, err, codes.AlreadyExists, "belongs to shop/default already")
}

// TestPodsThatAreGoneAreForgotten withdraws one and leaves the other to its time; both may come back with their tokens.
func TestPodsThatAreGoneAreForgotten(t *testing.T) {
	cluster := newCluster()
	dir := t.TempDir()
	s := newSiteOf(t, dir, cluster)
	updates, stop := s.run()
	s.next(updates)
	cart, err := s.enrollPod("cart", cluster.tokens["cart"])
	if err != nil {
		t.Fatal(err)
	}
	l := s.attach(cart, payments())
	s.next(updates)
	if err := l.Send(&hansev1.AttachRequest{Message: &hansev1.AttachRequest_Withdraw{Withdraw: &hansev1.Withdraw{}}}); err != nil {
		t.Fatal(err)
	}
	if u := s.next(updates); len(u.Removals) != 1 || u.Removals[0] != "shop--cart-1" {
		t.Errorf("%+v", u)
	}
	_, _, err = s.open(cart, payments())
	wantStatus(t, err, codes.Unauthenticated, "not enrolled")

	if err := s.enrollAgain(cart, "cart"); err != nil {
		t.Fatal(err)
	}
	l = s.attach(cart, payments())
	s.next(updates)
	l.cancel()
	s.until("the stream is over", func() bool { return !s.Attached("shop--cart-1") })
	s.clock.Advance(11 * time.Second)
	if u := s.next(updates); len(u.Removals) != 1 {
		t.Errorf("%+v", u)
	}
	stop()
	// The agent's disk has forgotten it, too.
	again := newSiteOf(t, dir, cluster)
	_, _, err = again.open(cart, payments())
	wantStatus(t, err, codes.Unauthenticated, "not enrolled")
}

// TestAnEnrolledPodOutlivesARestart loads what the disk has of it.
func TestAnEnrolledPodOutlivesARestart(t *testing.T) {
	cluster := newCluster()
	dir := t.TempDir()
	s := newSiteOf(t, dir, cluster)
	m, err := s.enrollPod("cart", cluster.tokens["cart"])
	if err != nil {
		t.Fatal(err)
	}
	again := newSiteOf(t, dir, cluster)
	again.attach(m, payments())
	w := payments()
	w.Service.Name = "ledger"
	_, _, err = again.open(m, w)
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "not an endpoint") {
		t.Errorf("what it may be is forgotten: %v", err)
	}
}
