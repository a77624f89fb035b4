package serve

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/tools/cache"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/dns"
	"github.com/hanse-mesh/hanse/internal/run"
)

// facts is what the API server has told, and which services it has told news of.
type facts struct {
	imports, slices cache.SharedIndexInformer
	logger          *slog.Logger

	mu sync.Mutex
	// dirty are the services that may have changed since the zone was last made.
	dirty map[model.ServiceKey]bool
	// failing are the kinds that cannot be read at the moment, with the reason.
	failing map[string]string
	// wake holds one signal.
	wake chan struct{}
}

// byService is the index of EndpointSlices by the service that they are labelled with.
const byService = "service"

func newFacts(cfg Config) *facts {
	f := &facts{
		logger: cfg.Logger, dirty: map[model.ServiceKey]bool{}, failing: map[string]string{}, wake: make(chan struct{}, 1),
	}
	f.imports = cache.NewSharedIndexInformer(f.watched("ServiceImports", importLister{cfg.MCS}, cfg.MCS), &mcsv1beta1.ServiceImport{}, 0, nil)
	f.slices = cache.NewSharedIndexInformer(f.watched("EndpointSlices", sliceLister{cfg.Client}, cfg.Client), &discoveryv1.EndpointSlice{}, 0,
		cache.Indexers{byService: func(object any) ([]string, error) { return []string{serviceOf(object).String()}, nil }})
	for _, informer := range []cache.SharedIndexInformer{f.imports, f.slices} {
		// Neither fails before the informer runs. Errors are told by those who list and watch.
		_ = informer.SetTransform(strip)
		_ = informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {})
		_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { f.touch(object) },
			UpdateFunc: func(before, after any) { f.touch(before, after) },
			DeleteFunc: func(object any) { f.touch(object) },
		})
	}
	return f
}

// run keeps both watches until ctx ends.
func (f *facts) run(ctx context.Context) error {
	return run.Group(ctx,
		func(ctx context.Context) error { f.imports.RunWithContext(ctx); return ctx.Err() },
		func(ctx context.Context) error { f.slices.RunWithContext(ctx); return ctx.Err() },
	)
}

// follow makes the zone once everything is known, and anew after each change. While it makes one, changes gather.
func (f *facts) follow(ctx context.Context, publish func(*dns.Zone)) error {
	for _, informer := range []cache.SharedIndexInformer{f.imports, f.slices} {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-informer.HasSyncedChecker().Done():
		}
	}
	// The handlers may lag behind the stores; what they bring later is made once more.
	for _, object := range f.imports.GetStore().List() {
		f.touch(object)
	}
	zone := (*dns.Zone)(nil).With(f.changes())
	f.logger.Info("names are known", "services", zone.Services())
	publish(zone)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.wake:
		}
		if changes := f.changes(); len(changes) > 0 {
			zone = zone.With(changes)
			publish(zone)
		}
	}
}

// changes are the services that may have changed, as they are now.
func (f *facts) changes() map[model.ServiceKey]*dns.Service {
	f.mu.Lock()
	dirty := f.dirty
	f.dirty = map[model.ServiceKey]bool{}
	f.mu.Unlock()
	out := make(map[model.ServiceKey]*dns.Service, len(dirty))
	for key := range dirty {
		out[key] = f.service(key)
	}
	return out
}

// service is nil when the cluster does not import it.
func (f *facts) service(key model.ServiceKey) *dns.Service {
	object, known, err := f.imports.GetIndexer().GetByKey(key.Namespace + "/" + key.Name)
	imported, ok := object.(*mcsv1beta1.ServiceImport)
	if err != nil || !known || !ok {
		return nil
	}
	// The only error would be that of an index which does not exist.
	objects, _ := f.slices.GetIndexer().ByIndex(byService, key.String())
	of := make([]*discoveryv1.EndpointSlice, 0, len(objects))
	for _, o := range objects {
		if slice, ok := o.(*discoveryv1.EndpointSlice); ok {
			of = append(of, slice)
		}
	}
	return dns.NewService(imported, of)
}

// touch marks the services that objects are about.
func (f *facts) touch(objects ...any) {
	f.mu.Lock()
	for _, object := range objects {
		f.dirty[serviceOf(object)] = true
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// serviceOf is the service that an object is about; zero for none.
func serviceOf(object any) model.ServiceKey {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	switch o := object.(type) {
	case *mcsv1beta1.ServiceImport:
		return model.ServiceKey{Namespace: o.Namespace, Name: o.Name}
	case *discoveryv1.EndpointSlice:
		return model.ServiceKey{Namespace: o.Namespace, Name: o.Labels[mcsv1beta1.LabelServiceName]}
	}
	return model.ServiceKey{}
}

// tell takes the result of reading a kind; what is new goes to the log.
func (f *facts) tell(kind string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, failed := f.failing[kind]
	switch {
	case err == nil && failed:
		delete(f.failing, kind)
		f.logger.Info("the API server answers again", "kind", kind)
	case err != nil && before != err.Error():
		f.failing[kind] = err.Error()
		f.logger.Warn("the API server does not tell what there is; the last answers stay", "kind", kind, "error", err)
	}
}

// troubles says of each kind that cannot be read why not.
func (f *facts) troubles() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(f.failing)) {
		out = append(out, kind+" cannot be read: "+f.failing[kind])
	}
	return out
}
