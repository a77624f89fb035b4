package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
)

// federationName is the demo's federation; each region's trust domain is REGION.federationName.
const federationName = "hanse.test"

// world is everything that the demo runs: three regions on one machine.
type world struct {
	hanse, self, envoy string
	dir                string
	procs              *fleet.Fleet
	ports              *portPool
	regions            map[string]*region
	order              []string

	mu        sync.Mutex
	workloads map[string]*workload
}

// region is one site: a federation node, an agent, a gateway and workloads.
type region struct {
	name                     string
	grpc, rest, raft, gossip string
	nodeHealth               string
	site, agentHealth        string
	gateway                  string
	gatewayHealth            string
}

// workload is one application with the proxy and Envoy beside it; a caller serves nothing.
type workload struct {
	name, region, zone string
	namespace, service string
	http, tcp          string
	inbound            int
	health             string
	export             bool
	upstreams          map[string]string
	openHTTP           string
	vips               bool
	tokenText          string
	serviceAccount     string
}

// servicePorts are the ports that the demo's services offer.
const (
	httpPort = 8080
	tcpPort  = 9000
)

func newWorld(hanse, envoy, dir string) (*world, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	procs, err := fleet.New()
	if err != nil {
		return nil, err
	}
	w := &world{
		hanse: hanse, self: self, envoy: envoy, dir: dir, procs: procs, ports: &portPool{},
		regions: map[string]*region{}, order: []string{"eu", "us", "ap"}, workloads: map[string]*workload{},
	}
	if err := os.MkdirAll(w.logs(), 0o755); err != nil {
		return nil, err
	}
	for _, name := range w.order {
		a := w.ports.addresses(9)
		w.regions[name] = &region{
			name: name, grpc: a[0], rest: a[1], raft: a[2], gossip: a[3], nodeHealth: a[4],
			site: a[5], agentHealth: a[6], gateway: a[7], gatewayHealth: a[8],
		}
	}
	return w, nil
}

func (w *world) logs() string              { return filepath.Join(w.dir, "logs") }
func (w *world) data(name string) string   { return filepath.Join(w.dir, name) }
func (w *world) operatorTokenFile() string { return filepath.Join(w.dir, "operator.token") }

// cli runs an operator's command and returns its standard output.
func (w *world) cli(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.hanse, args...)
	cmd.Env = append(os.Environ(), "HANSE_OPERATOR_TOKEN_FILE="+w.operatorTokenFile())
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("hanse %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

// start runs a program in the background under a name; its output goes to logs/NAME.log.
func (w *world) start(name string, argv ...string) error {
	return w.procs.Start(fleet.Program{Name: name, Argv: argv, Log: filepath.Join(w.logs(), name+".log")})
}

// cliJSON runs an operator's command with -o json and decodes what it prints.
func (w *world) cliJSON(ctx context.Context, into any, args ...string) error {
	text, err := w.cli(ctx, append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}

// ready asks a role's /readyz and returns what it says is missing.
func ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var body bytes.Buffer
	_, _ = body.ReadFrom(resp.Body)
	return errors.New(strings.TrimSpace(body.String()))
}

// portPool hands out loopback addresses whose ports nobody uses at the moment.
type portPool struct{ used map[int]bool }

func (p *portPool) addresses(n int) []string {
	out := make([]string, 0, n)
	for len(out) < n {
		out = append(out, "127.0.0.1:"+strconv.Itoa(p.port()))
	}
	return out
}

// port returns a free port below the range from which the kernel picks those of outgoing connections, so that no connection of
// the demo itself can take it meanwhile.
func (p *portPool) port() int {
	if p.used == nil {
		p.used = map[int]bool{}
	}
	for port := 20000; port < 32000; port++ {
		if p.used[port] {
			continue
		}
		p.used[port] = true
		if free(port) {
			return port
		}
	}
	panic("no free port between 20000 and 32000 on 127.0.0.1")
}

func free(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	_ = l.Close()
	u, err := net.ListenPacket("udp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	_ = u.Close()
	return true
}
