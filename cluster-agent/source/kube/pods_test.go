package kube

import (
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
)

func TestWhichPodsServe(t *testing.T) {
	c := newCluster(t, shop()...)
	one := model.Pod{Namespace: "shop", Name: "pod-" + addressLabel("10.1.0.1")}
	if _, known := c.Serves(one, payments); known {
		t.Error("known before anything was seen")
	}
	c.start()
	for _, x := range []struct {
		what    string
		pod     model.Pod
		service model.ServiceKey
		serves  bool
	}{
		{"an endpoint", one, payments, true},
		{"another pod", model.Pod{Namespace: "shop", Name: "pod-9"}, payments, false},
		{"a pod of its name elsewhere", model.Pod{Namespace: "bank", Name: one.Name}, payments, false},
		{"another service", one, model.ServiceKey{Namespace: "shop", Name: "ledger"}, false},
	} {
		if serves, known := c.Serves(x.pod, x.service); serves != x.serves || !known {
			t.Errorf("%s: %v, %v", x.what, serves, known)
		}
	}
}
