package gossip

import (
	"sync"

	"github.com/hanse-mesh/hanse/api/model"
)

// inbox keeps one value per origin, the newest, until its reader takes them all: a writer never waits, and what it holds is bounded by
// the number of origins. It is safe for concurrent use.
type inbox[V any] struct {
	// wake has a value when there may be something to take.
	wake chan struct{}

	mu     sync.Mutex
	values map[model.ClusterName]V
}

func newInbox[V any]() *inbox[V] {
	return &inbox[V]{wake: make(chan struct{}, 1), values: map[model.ClusterName]V{}}
}

func (i *inbox[V]) put(origin model.ClusterName, v V) {
	i.mu.Lock()
	i.values[origin] = v
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// take empties the inbox.
func (i *inbox[V]) take() map[model.ClusterName]V {
	i.mu.Lock()
	defer i.mu.Unlock()
	taken := i.values
	i.values = map[model.ClusterName]V{}
	return taken
}
