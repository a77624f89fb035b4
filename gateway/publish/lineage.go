package publish

// maxSets is how many of its last sets a class is known by: what a client acknowledges is that recent.
const maxSets = 64

// lineage remembers which sets a class was given, and of which state each is. It is a value: none of its methods changes what it was
// called on.
type lineage struct {
	// sets are the class's, the newest last.
	sets []given
}

// given is a set with the newest index of the federation's state from which it is known to follow.
type given struct {
	digest string
	index  uint64
}

// give notes a new set that follows from the state of an index.
func (l lineage) give(digest string, index uint64) lineage {
	if n := len(l.sets); n > 0 && l.sets[n-1].digest == digest {
		return l.confirm(index)
	}
	from := max(0, len(l.sets)-maxSets+1)
	return lineage{append(append([]given(nil), l.sets[from:]...), given{digest, index})}
}

// confirm notes that the newest set follows from a newer state, too: what has changed does not concern the class.
func (l lineage) confirm(index uint64) lineage {
	n := len(l.sets)
	if n == 0 || l.sets[n-1].index >= index {
		return l
	}
	next := append([]given(nil), l.sets...)
	next[n-1].index = index
	return lineage{next}
}

// newest reports whether a digest is the newest set's.
func (l lineage) newest(digest string) bool {
	n := len(l.sets)
	return n > 0 && l.sets[n-1].digest == digest
}

// restart forgets all but the newest set, which follows from the state of an index: the federation's log has begun anew.
func (l lineage) restart(index uint64) lineage {
	n := len(l.sets)
	if n == 0 {
		return l
	}
	return lineage{[]given{{l.sets[n-1].digest, index}}}
}

// index is the newest state from which a set is known to follow; a set that came back counts as its last time.
func (l lineage) index(digest string) (uint64, bool) {
	for i := len(l.sets) - 1; i >= 0; i-- {
		if l.sets[i].digest == digest {
			return l.sets[i].index, true
		}
	}
	return 0, false
}
