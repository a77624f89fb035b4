//go:build e2e

package matrix

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
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
	"github.com/hanse-mesh/hanse/e2e/load"
	"github.com/hanse-mesh/hanse/e2e/wan"
)

const federationName = "matrix.test"

// roleVariable makes the suite's program an application or a source of load.
const roleVariable = "HANSE_MATRIX_ROLE"

// order is the regions: callers stand in the first, and fall back from the second to the third.
var order = []string{"eu", "us", "ap"}

// roundTrips are how far the regions are from each other when nothing is wrong.
var roundTrips = map[[2]string]time.Duration{
	{"eu", "us"}: 80 * time.Millisecond,
	{"eu", "ap"}: 160 * time.Millisecond,
	{"us", "ap"}: 120 * time.Millisecond,
}

// jitter is added to each way by chance.
const jitter = 2 * time.Millisecond

// world is three regions with everything that runs in them.
type world struct {
	hanse, self, envoy, dir string
	net                     *wan.Network
	fleet                   *fleet.Fleet
	sites                   map[string]*site
	// protocols are those whose calls are made at the moment.
	protocols []string
	records   map[string]*load.Record
	http      map[string]*http.Client
}

// site is what runs in a region beside its node and its agent.
type site struct {
	region *wan.Region
	// proxies are gateways and workloads.
	proxies []*proxy
}

// proxy is a workload or a gateway: the proxy, its Envoy, and the application behind it.
type proxy struct {
	name, region  string
	service, sa   string
	gateway       bool
	index         int
	token, health string
}

func newWorld(dir string) (*world, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	network, err := wan.New(order...)
	if err != nil {
		return nil, err
	}
	processes, err := fleet.New()
	if err != nil {
		return nil, err
	}
	w := &world{
		self: self, envoy: os.Getenv("HANSE_ENVOY"), dir: dir, net: network, fleet: processes,
		sites: map[string]*site{}, records: map[string]*load.Record{}, http: map[string]*http.Client{},
	}
	if w.hanse, err = binary(); err != nil {
		return nil, err
	}
	if w.envoy == "" {
		return nil, errors.New("HANSE_ENVOY names no Envoy: run this by `make e2e`")
	}
	for _, name := range order {
		r := network.Region(name)
		w.sites[name] = &site{region: r}
		w.http[name] = &http.Client{Timeout: time.Second, Transport: &http.Transport{
			DialContext: r.Dial, DisableKeepAlives: true,
		}}
	}
	w.restoreNetwork()
	return w, os.MkdirAll(w.logs(), 0o755)
}

func binary() (string, error) {
	path := os.Getenv("HANSE_BINARY")
	if path == "" {
		path = filepath.Join("..", "..", "bin", "hanse")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("there is no binary: run `make build`, or name one in HANSE_BINARY: %w", err)
	}
	return path, nil
}

// restoreNetwork sets the distances between the regions as they are when nothing is wrong.
func (w *world) restoreNetwork() {
	for pair, rtt := range roundTrips {
		w.between(pair[0], pair[1], wan.Conditions{Delay: rtt / 2, Jitter: jitter})
	}
}

// between sets both ways between two regions.
func (w *world) between(a, b string, c wan.Conditions) {
	w.net.Set(a, b, c)
	w.net.Set(b, a, c)
}

func (w *world) logs() string              { return filepath.Join(w.dir, "logs") }
func (w *world) data(name string) string   { return filepath.Join(w.dir, "data", name) }
func (w *world) log(name string) string    { return filepath.Join(w.logs(), name+".log") }
func (w *world) operatorTokenFile() string { return filepath.Join(w.dir, "operator.token") }

// at is an address of a region.
func (w *world) at(region string, port int) string {
	return net.JoinHostPort(w.sites[region].region.Address.String(), strconv.Itoa(port))
}

// start runs a program in a region.
func (w *world) start(region, name string, env []string, argv ...string) error {
	return w.fleet.Start(fleet.Program{Name: name, Argv: argv, Env: env, Log: w.log(name), Within: w.sites[region].region.Do})
}

// cli runs an operator's command in a region and returns its standard output.
func (w *world) cli(ctx context.Context, region string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.hanse, args...)
	cmd.Env = append(os.Environ(), "HANSE_OPERATOR_TOKEN_FILE="+w.operatorTokenFile())
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := w.sites[region].region.Do(cmd.Start); err != nil {
		return "", err
	}
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("hanse %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

// cliJSON runs an operator's command with -o json and decodes what it prints.
func (w *world) cliJSON(ctx context.Context, region string, into any, args ...string) error {
	text, err := w.cli(ctx, region, append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}

// ready asks a role's /readyz and returns what it says is missing.
func (w *world) ready(ctx context.Context, region, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := w.http[region].Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var body bytes.Buffer
	_, _ = body.ReadFrom(resp.Body)
	return fmt.Errorf("%s in %s: %s", address, region, strings.TrimSpace(body.String()))
}
