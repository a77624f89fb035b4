package identity

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestRoots(t *testing.T) {
	site, other, c := newIssuer(t, "acme"), newIssuer(t, "acme"), clock.NewFake(start)
	agent := model.WorkloadID("acme", model.SystemNamespace, model.AgentServiceAccount)
	serve := func(id string) *tls.Config { return newSource(t, c, site, id, start).ServerTLS(ServerOptions{}) }
	are := func(roots ...[]byte) func() ([][]byte, error) { return func() ([][]byte, error) { return roots, nil } }
	for name, x := range map[string]struct {
		load   func() ([][]byte, error)
		server *tls.Config
		option []PinOption
		says   string
	}{
		"site's agent":         {are(site.Root()), serve(agent), nil, ""},
		"one of several roots": {are(other.Root(), site.Root()), serve(agent), nil, ""},
		"a workload poses":     {are(site.Root()), serve("spiffe://acme/ns/shop/sa/agent"), nil, "neither a federation node nor a site's agent"},
		"another root":         {are(other.Root()), serve(agent), nil, "unknown authority"},
		"no roots":             {are(), serve(agent), nil, "root"},
		"junk":                 {are([]byte("junk")), serve(agent), nil, "trusted roots"},
		"no file":              {func() ([][]byte, error) { return nil, errors.New("no such file") }, serve(agent), nil, "no such file"},
		"clock is behind":      {are(site.Root()), serve(agent), []PinOption{PinClock(clock.NewFake(start.Add(-time.Hour)))}, "clock"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err, _ := handshake(t, RootedClientTLS(x.load, append([]PinOption{PinClock(c)}, x.option...)...), x.server)
			if (err == nil) != (x.says == "") || err != nil && !strings.Contains(err.Error(), x.says) {
				t.Fatalf("it says %v", err)
			}
		})
	}
}
