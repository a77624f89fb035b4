// Package archtest owns the rules of the tree: which package may import which, what pure packages must not do, and that every
// package says what it owns. Its tests read the sources with go/parser, so that a cached result can not be stale.
package archtest

// module is the import path of the repository's root.
const module = "github.com/hanse-mesh/hanse/"

// rule is what one package, or every package under a folder when the path ends in "/...", may import of ours.
type rule struct {
	path string
	// pure packages have no goroutine, lock, clock, random source, file, socket, log or environment.
	pure bool
	// ours are import paths within the module; a trailing "/..." admits the folder.
	ours []string
}

// rules is the table of ARCHITECTURE.md. The first matching row counts; a package without a row fails the test.
var rules = []rule{
	{path: "api/gen/..."},
	{path: "api/client"},
	{path: "api/model", pure: true},
	{path: "api/policy", pure: true, ours: []string{"api/model"}},
	{path: "api/codec", pure: true, ours: []string{"api/model", "api/policy", "api/gen/..."}},

	{path: "trust/bundle", pure: true, ours: []string{"api/..."}},
	{path: "trust/records", pure: true, ours: []string{"api/..."}},
	{path: "trust/token", pure: true, ours: []string{"api/model"}},
	{path: "trust/jwt", pure: true, ours: []string{"api/model", "api/policy"}},
	{path: "trust/oidc", ours: []string{"api/model", "api/policy", "trust/jwt", "internal/..."}},
	{path: "trust/authz", pure: true, ours: []string{"api/model", "api/policy"}},
	{path: "trust/ca", ours: []string{"api/...", "trust/bundle", "trust/token", "trust/records", "internal/..."}},
	{path: "trust/identity", ours: []string{"api/...", "trust/bundle", "trust/token", "trust/records", "internal/..."}},

	{path: "federation/access", pure: true, ours: []string{"api/model", "api/policy"}},
	{path: "federation/catalog", pure: true, ours: []string{"api/...", "trust/bundle", "trust/authz", "trust/records"}},
	{path: "federation/diagnose", pure: true, ours: []string{"api/model", "api/policy"}},
	{path: "federation/feed", pure: true, ours: []string{"api/model", "api/policy", "federation/catalog"}},
	{path: "federation/overlay", pure: true},
	{path: "federation/spread", pure: true, ours: []string{"api/model", "federation/catalog"}},
	{path: "federation/state", pure: true, ours: []string{"api/...", "trust/bundle", "trust/authz"}},
	{path: "federation/gossip", ours: []string{"api/...", "federation/catalog", "federation/overlay", "federation/spread", "internal/..."}},
	{path: "federation/consensus", ours: []string{"api/...", "federation/state", "internal/..."}},
	{path: "federation/server", ours: []string{"api/...", "federation/catalog", "federation/feed", "federation/state", "trust/bundle", "trust/authz", "trust/records", "trust/token", "internal/..."}},
	{path: "federation/rest", ours: []string{"api/...", "federation/access", "federation/catalog", "federation/state", "trust/bundle", "trust/authz", "trust/jwt", "trust/token", "gateway/explain", "internal/..."}},

	{path: "gateway/route", pure: true, ours: []string{"api/...", "federation/catalog", "trust/authz"}},
	{path: "gateway/snapshot", pure: true, ours: []string{"api/...", "federation/catalog", "trust/authz", "gateway/route"}},
	{path: "gateway/explain", pure: true, ours: []string{"api/...", "trust/authz", "gateway/route", "gateway/snapshot"}},
	{path: "gateway/xds", pure: true, ours: []string{"api/...", "gateway/snapshot", "gateway/route"}},
	{path: "gateway/bootstrap", pure: true, ours: []string{"api/...", "gateway/snapshot"}},
	{path: "gateway/publish", ours: []string{"api/...", "gateway/snapshot", "gateway/xds", "internal/..."}},
	{path: "gateway/serve", ours: []string{"api/...", "gateway/snapshot", "gateway/xds", "internal/..."}},
	{path: "gateway/relay", ours: []string{"api/...", "gateway/xds", "internal/..."}},
	{path: "gateway/enroll", ours: []string{"api/...", "internal/..."}},
	{path: "gateway/health", ours: []string{"internal/..."}},
	{path: "gateway/envoy", ours: []string{"internal/..."}},

	{path: "cluster-agent/source", ours: []string{"api/..."}},
	{path: "cluster-agent/anchors", ours: []string{"api/model", "internal/..."}},
	{path: "cluster-agent/attest", ours: []string{"api/model"}},
	{path: "cluster-agent/source/vm", ours: []string{"api/...", "cluster-agent/source", "internal/..."}},
	{path: "cluster-agent/mcs", pure: true, ours: []string{"api/model"}},
	{path: "cluster-agent/mcs/apply", ours: []string{"api/model", "cluster-agent/mcs", "internal/..."}},
	{path: "cluster-agent/source/kube", ours: []string{"api/...", "cluster-agent/source", "cluster-agent/mcs", "internal/..."}},
	{path: "cluster-agent/export", pure: true, ours: []string{"api/..."}},
	{path: "cluster-agent/tenure", pure: true, ours: []string{"api/model"}},
	{path: "cluster-agent/uplink", ours: []string{"api/...", "cluster-agent/source", "cluster-agent/tenure", "internal/..."}},
	{path: "cluster-agent/probe", ours: []string{"api/model", "cluster-agent/verdict", "internal/..."}},
	{path: "cluster-agent/verdict", pure: true, ours: []string{"api/..."}},
	{path: "cluster-agent/vip", pure: true, ours: []string{"api/model"}},
	{path: "cluster-agent/dns", pure: true, ours: []string{"api/model"}},
	{path: "cluster-agent/dns/serve", ours: []string{"api/model", "cluster-agent/dns", "internal/..."}},

	// internal is leaf code without domain words.
	{path: "internal/..."},
	// cmd alone knows everything; the demo and the suites use the binary as its users do.
	{path: "cmd/...", ours: []string{"..."}},
	{path: "deploy/helm"},
	{path: "deploy/install", ours: []string{"deploy/helm"}},
	{path: "deploy/...", ours: []string{"..."}},
	{path: "e2e/...", ours: []string{"..."}},
}

// exclusive names the only folders whose code may import a third-party module.
var exclusive = map[string][]string{
	"github.com/hashicorp/raft":       {"federation/consensus"},
	"github.com/hashicorp/raft-wal":   {"federation/consensus"},
	"github.com/hashicorp/memberlist": {"federation/gossip"},
	"github.com/danielgtaylor/huma":   {"federation/rest"},
	"github.com/go-jose/go-jose":      {"trust/jwt"},
	"github.com/spf13/cobra":          {"cmd/hanse"},
	"github.com/vishvananda/netlink":  {"e2e/wan"},
	"helm.sh/helm":                    {"deploy/helm"},
	// Kubernetes' client is heavy, and what it does is a shell's work.
	"k8s.io/client-go":               {"cluster-agent/source/kube", "deploy/install", "cluster-agent/mcs/apply", "cluster-agent/dns/serve", "cluster-agent/anchors", "cmd/hanse", "e2e/kube"},
	"sigs.k8s.io/mcs-api/pkg/client": {"cluster-agent/source/kube", "cluster-agent/mcs/apply", "cluster-agent/dns/serve", "cmd/hanse", "e2e/kube"},
	"github.com/miekg/dns":           {"cluster-agent/dns", "cmd/hanse", "e2e"},
	"github.com/vishvananda/netns":   {"e2e/wan"},
	"github.com/envoyproxy/go-control-plane/envoy": {
		"gateway/xds", "gateway/bootstrap", "gateway/serve", "gateway/publish", "gateway/relay", "cmd/hanse", "e2e", "deploy",
	},
	"github.com/envoyproxy/go-control-plane/pkg": {"gateway/serve", "gateway/publish"},
}

// impure are the standard packages that a pure package must not import.
var impure = map[string]string{
	"os":           "it reads the environment or files",
	"net":          "it opens sockets",
	"net/http":     "it opens sockets",
	"log":          "it logs",
	"log/slog":     "it logs",
	"sync":         "it locks",
	"sync/atomic":  "it shares memory",
	"math/rand":    "it is random",
	"math/rand/v2": "it is random",
	"crypto/rand":  "it is random",
	"context":      "it waits",
}

// impureCalls are functions of otherwise harmless packages that a pure package must not call.
var impureCalls = map[string]bool{
	"time.Now": true, "time.Since": true, "time.Until": true, "time.After": true, "time.Sleep": true,
	"time.NewTimer": true, "time.NewTicker": true, "time.AfterFunc": true, "time.Tick": true,
}
