// Package apply owns what the agent writes to its own cluster's API server: it makes it say what a plan of the Multi-Cluster Services API
// says, and touches nothing else.
//
// It writes by server-side apply as field manager mcs.Manager, so that fields which are not the agent's stay with whoever set them, and only
// where what is there differs. What is there it knows from watching its own objects, which it knows by their labels.
package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/flowcontrol"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

// The bound on writes when Config.Limiter is nil: a full plan of a thousand services takes half a minute, and an API server hardly feels it.
const (
	writesPerSecond = 150
	writesAtOnce    = 300
)

// Limiter bounds writes.
type Limiter interface {
	// Wait returns when the next write may be sent, or ctx's error.
	Wait(ctx context.Context) error
}

// Config is what an Applier needs. The clients' own limits on queries count, too: they should be above those on writes.
type Config struct {
	Client kubernetes.Interface
	MCS    mcsclient.Interface
	// Limiter may be nil.
	Limiter Limiter
	Logger  *slog.Logger
}

// Applier writes plans. It is safe for concurrent use; plans are written one after the other.
type Applier struct {
	cfg     Config
	changed chan struct{}
	// writing is held by who writes a plan.
	writing sync.Mutex

	services, slices, imports, exports *kind
}

// New makes an Applier, which knows nothing until Run runs.
func New(cfg Config) *Applier {
	if cfg.Limiter == nil {
		cfg.Limiter = flowcontrol.NewTokenBucketRateLimiter(writesPerSecond, writesAtOnce)
	}
	a := &Applier{cfg: cfg, changed: make(chan struct{}, 1)}
	a.services, a.slices = a.serviceKind(), a.sliceKind()
	a.imports, a.exports = a.importKind(), a.exportKind()
	return a
}

// kinds are all kinds, in the order in which they are written; what is gone is deleted in the opposite order, so that names end before what
// they lead to.
func (a *Applier) kinds() []*kind { return []*kind{a.services, a.slices, a.imports, a.exports} }

// Changed gives a signal when Apply may have something to do although the plan is the same: the agent's objects are known now, or somebody
// else changed or deleted one. The channel holds one signal.
func (a *Applier) Changed() <-chan struct{} { return a.changed }

func (a *Applier) notify() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// Run follows the agent's own objects until ctx ends, which is no error. It is called once.
func (a *Applier) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, k := range a.kinds() {
		wg.Go(func() { a.follow(ctx, k) })
	}
	return nil
}

// Apply makes the API server say what the plan says: it writes what differs and deletes objects of the agent's that the plan does not name.
// The plan must follow from whole facts. One object that is refused does not keep the others out; the error names what was refused, and
// the caller calls again later. Before Run knows the agent's objects Apply writes nothing, and the error says what is waited for.
func (a *Applier) Apply(ctx context.Context, p mcs.Plan) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	for _, k := range a.kinds() {
		if err := k.ready(); err != nil {
			return fmt.Errorf("the plan is not written: %w", err)
		}
	}
	changes, err := a.changes(p)
	if err != nil {
		return fmt.Errorf("the plan is not written: %w", err)
	}
	return a.write(ctx, changes)
}

// Ports returns the egress ports that the agent's derived Services say, for an agent that has just started. It does not need Run.
func (a *Applier) Ports(ctx context.Context) (map[mcs.PortKey]uint16, error) {
	out := map[mcs.PortKey]uint16{}
	next := ""
	for {
		page, err := a.cfg.Client.CoreV1().Services(corev1.NamespaceAll).List(ctx,
			metav1.ListOptions{LabelSelector: ownServices, Limit: 500, Continue: next})
		if err != nil {
			return nil, fmt.Errorf("egress ports are read from the Services with labels %s: %w", ownServices, err)
		}
		for i := range page.Items {
			for k, p := range mcs.EgressPorts(&page.Items[i]) {
				out[k] = p
			}
		}
		if next = page.Continue; next == "" {
			return out, nil
		}
	}
}

// errUnread is why a kind is not ready before anything is known.
var errUnread = errors.New("the API server was not read yet")
