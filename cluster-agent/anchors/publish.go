package anchors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/hanse-mesh/hanse/internal/backoff"
	"github.com/hanse-mesh/hanse/internal/clock"
)

const (
	// manager is the agent's name as field manager and in the managed-by label.
	manager        = "hanse"
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelComponent = "app.kubernetes.io/component"
	component      = "trust-bundle"

	// lookAgain is how often the objects are compared although nothing has changed here: somebody else may have changed or deleted one, or the
	// API server may have learnt of ClusterTrustBundles.
	lookAgain = 5 * time.Minute
	// passTimeout bounds one comparison with its writes.
	passTimeout = time.Minute
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// clusterTrustBundles are the versions that are understood, the newest first.
var clusterTrustBundles = []schema.GroupVersionResource{
	{Group: "certificates.k8s.io", Version: "v1", Resource: "clustertrustbundles"},
	{Group: "certificates.k8s.io", Version: "v1beta1", Resource: "clustertrustbundles"},
}

// Config is what a Publisher needs. All fields are required.
type Config struct {
	Client dynamic.Interface
	// Namespace is that of the site's own parts.
	Namespace string
	Clock     clock.Clock
	Logger    *slog.Logger
}

// Publisher keeps the objects as they are desired. It is safe for concurrent use.
type Publisher struct {
	cfg  Config
	wake chan struct{}

	mu      sync.Mutex
	desired *Desired
	trouble string
}

// New returns a Publisher that writes nothing before Set and Run.
func New(cfg Config) *Publisher { return &Publisher{cfg: cfg, wake: make(chan struct{}, 1)} }

// Set says what the API server should say from now on. It never blocks.
func (p *Publisher) Set(d Desired) {
	p.mu.Lock()
	same := p.desired != nil && reflect.DeepEqual(*p.desired, d)
	p.desired = &d
	p.mu.Unlock()
	if same {
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Problems says what could not be written, and why; empty when all is well.
func (p *Publisher) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trouble == "" {
		return nil
	}
	return []string{p.trouble}
}

// Run writes what differs, until ctx ends. What cannot be written is tried again.
func (p *Publisher) Run(ctx context.Context) error {
	pauses := backoff.Backoff{Min: time.Second, Max: time.Minute}
	for {
		// What was set before this pass is known to it.
		select {
		case <-p.wake:
		default:
		}
		next := lookAgain
		if err := p.pass(ctx); ctx.Err() != nil {
			return ctx.Err()
		} else if p.told(err); err != nil {
			next = pauses.Next()
		} else {
			pauses.Reset()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.wake:
		case <-p.cfg.Clock.After(next):
		}
	}
}

// told keeps the result of a pass; what is new goes to the log.
func (p *Publisher) told(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.trouble
	p.trouble = ""
	switch {
	case err != nil:
		p.trouble = "not all trust bundles are in the cluster: " + err.Error()
		if p.trouble != before {
			p.cfg.Logger.Warn("not all trust bundles are in the cluster", "error", err)
		}
	case before != "":
		p.cfg.Logger.Info("all trust bundles are in the cluster again")
	}
}

// pass compares everything once. One object that is refused does not keep the others out.
func (p *Publisher) pass(ctx context.Context) error {
	p.mu.Lock()
	desired := p.desired
	p.mu.Unlock()
	if desired == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	roots := p.configMap(ctx, RootsName, map[string]string{RootsKey: desired.Roots}, true)
	resource, held, err := p.served(ctx)
	switch {
	case err != nil:
		return errors.Join(roots, err)
	case resource == nil:
		data, omitted := desired.texts()
		if len(omitted) > 0 {
			err = fmt.Errorf("ConfigMap %s has no room for %d trust domains, the first of them %s", BundlesName, len(omitted), omitted[0])
		}
		return errors.Join(roots, p.configMap(ctx, BundlesName, data, true), err)
	}
	// A ConfigMap of a time before is emptied, so that nobody goes by it.
	return errors.Join(roots, p.configMap(ctx, BundlesName, map[string]string{}, false), p.bundles(ctx, *resource, *desired, held))
}

// served returns the newest version of ClusterTrustBundles that the API server has, nil for none, and the agent's own objects in it.
func (p *Publisher) served(ctx context.Context) (*schema.GroupVersionResource, map[string]bool, error) {
	for _, r := range clusterTrustBundles {
		list, err := p.cfg.Client.Resource(r).List(ctx, metav1.ListOptions{
			LabelSelector: labelManagedBy + "=" + manager + "," + labelComponent + "=" + component,
		})
		if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("list ClusterTrustBundles: %w", err)
		}
		held := map[string]bool{}
		for i := range list.Items {
			held[list.Items[i].GetName()] = true
		}
		return &r, held, nil
	}
	return nil, nil, nil
}

func (p *Publisher) bundles(ctx context.Context, r schema.GroupVersionResource, d Desired, held map[string]bool) error {
	api := p.cfg.Client.Resource(r)
	var failed []error
	for _, b := range d.Bundles {
		failed = append(failed, p.write(ctx, api, object{
			kind: "ClusterTrustBundle", version: r.GroupVersion().String(), name: b.Name, create: true,
			annotations: map[string]any{AnnotationTrustDomain: b.TrustDomain},
			field:       "spec", content: map[string]any{"trustBundle": b.PEM},
		}))
	}
	for _, name := range d.stale(held) {
		if err := api.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("delete ClusterTrustBundle %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

func (p *Publisher) configMap(ctx context.Context, name string, data map[string]string, create bool) error {
	content := map[string]any{}
	for k, v := range data {
		content[k] = v
	}
	return p.write(ctx, p.cfg.Client.Resource(configMaps).Namespace(p.cfg.Namespace), object{
		kind: "ConfigMap", version: "v1", name: name, create: create, field: "data", content: content,
	})
}

// object is one that the agent writes: its labels and annotations, and one field, which is the agent's as a whole.
type object struct {
	kind, version, name string
	create              bool
	annotations         map[string]any
	field               string
	content             map[string]any
}

// write makes the object, or changes what differs. An object of that name that is not the agent's is somebody else's business.
func (p *Publisher) write(ctx context.Context, api dynamic.ResourceInterface, o object) error {
	is, err := api.Get(ctx, o.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && !o.create:
		return nil
	case apierrors.IsNotFound(err):
		if _, err := api.Create(ctx, o.whole(), metav1.CreateOptions{FieldManager: manager}); err != nil {
			return fmt.Errorf("create %s %s: %w", o.kind, o.name, err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("read %s %s: %w", o.kind, o.name, err)
	case is.GetLabels()[labelManagedBy] != manager:
		if !o.create {
			return nil
		}
		return fmt.Errorf("%s %s exists and is not Hanse's: delete it, or label it %s=%s if Hanse may have it", o.kind, o.name, labelManagedBy, manager)
	}
	patch, differs := o.patch(is)
	if !differs {
		return nil
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", o.kind, o.name, err)
	}
	if _, err := api.Patch(ctx, o.name, types.MergePatchType, text, metav1.PatchOptions{FieldManager: manager}); err != nil {
		return fmt.Errorf("change %s %s: %w", o.kind, o.name, err)
	}
	return nil
}

func (o object) whole() *unstructured.Unstructured {
	meta := map[string]any{"name": o.name, "labels": map[string]any{labelManagedBy: manager, labelComponent: component}}
	if len(o.annotations) > 0 {
		meta["annotations"] = o.annotations
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": o.version, "kind": o.kind, "metadata": meta, o.field: o.content,
	}}
}

// patch is a merge patch that makes is the object. Of the field, null takes away what is not desired.
func (o object) patch(is *unstructured.Unstructured) (patch map[string]any, differs bool) {
	held, _, _ := unstructured.NestedMap(is.Object, o.field)
	content := map[string]any{}
	for k := range held {
		if _, wanted := o.content[k]; !wanted {
			content[k] = nil
		}
	}
	for k, v := range o.content {
		if held[k] != v {
			content[k] = v
		}
	}
	meta := map[string]any{}
	if is.GetLabels()[labelComponent] != component {
		meta["labels"] = map[string]any{labelComponent: component}
	}
	for k, v := range o.annotations {
		if is.GetAnnotations()[k] != v {
			meta["annotations"] = o.annotations
		}
	}
	patch = map[string]any{}
	if len(content) > 0 {
		patch[o.field] = content
	}
	if len(meta) > 0 {
		patch["metadata"] = meta
	}
	return patch, len(patch) > 0
}
