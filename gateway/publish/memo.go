package publish

import "github.com/hanse-mesh/hanse/gateway/xds"

// memo keeps marshalled resources from one pass to the next. Only Run's goroutine uses it.
type memo struct {
	pass    uint64
	entries map[string]*memoEntry
}

type memoEntry struct {
	resource *xds.Resource
	// used is the last pass that asked for the entry.
	used uint64
}

var _ xds.Memo = (*memo)(nil)

// Get returns what Put stored.
func (m *memo) Get(key string) (*xds.Resource, bool) {
	e, ok := m.entries[key]
	if !ok {
		return nil, false
	}
	e.used = m.pass
	return e.resource, true
}

// Put stores a resource until a pass goes by that does not ask for it.
func (m *memo) Put(key string, r *xds.Resource) {
	m.entries[key] = &memoEntry{resource: r, used: m.pass}
}

// evict drops what the present pass did not use. It is right only after a pass over every class.
func (m *memo) evict() {
	for k, e := range m.entries {
		if e.used != m.pass {
			delete(m.entries, k)
		}
	}
}
