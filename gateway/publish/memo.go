package publish

import "github.com/hanse-mesh/hanse/gateway/xds"

// memo keeps marshalled resources for as long as the last generation of some class used them. Only Run's goroutine uses it.
type memo struct {
	entries map[string]*memoEntry
	// used are the keys that each class's last generation asked for, and now those of the one under way.
	used map[string][]string
	now  []string
}

type memoEntry struct {
	resource *xds.Resource
	// users counts how often the key stands in used.
	users int
}

var _ xds.Memo = (*memo)(nil)

func newMemo() memo { return memo{entries: map[string]*memoEntry{}, used: map[string][]string{}} }

// Get returns what Put stored.
func (m *memo) Get(key string) (*xds.Resource, bool) {
	e, ok := m.entries[key]
	if !ok {
		return nil, false
	}
	m.use(key, e)
	return e.resource, true
}

// Put stores a resource for as long as a class uses it.
func (m *memo) Put(key string, r *xds.Resource) {
	e := &memoEntry{resource: r}
	m.entries[key] = e
	m.use(key, e)
}

func (m *memo) use(key string, e *memoEntry) {
	e.users++
	m.now = append(m.now, key)
}

// generated takes what was used since the last call as the class's, and drops what was only its before.
func (m *memo) generated(class string) {
	m.release(class)
	if len(m.now) > 0 {
		m.used[class] = m.now
	}
	m.now = nil
}

// retain forgets the classes that are not watched any more.
func (m *memo) retain(watched func(class string) bool) {
	for class := range m.used {
		if !watched(class) {
			m.release(class)
		}
	}
}

func (m *memo) release(class string) {
	for _, key := range m.used[class] {
		if e := m.entries[key]; e != nil {
			if e.users--; e.users == 0 {
				delete(m.entries, key)
			}
		}
	}
	delete(m.used, class)
}
