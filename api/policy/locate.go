package policy

import (
	"regexp"
	"strings"
)

// keyPattern finds a line's first key: its indentation, list dashes included, is the first group.
var keyPattern = regexp.MustCompile(`^([\s{\-]*)["']?([^\s"'{}:,#]+)["']?\s*:`)

// locate returns the line of a field. The YAML reader keeps no positions; so the line is found by its key and by the keys that it is
// indented under. Fields of one path have one type: the first line that fits is a right one. Within a line of braces the key alone
// decides.
func (p part) locate(path []string) int {
	var names []string
	for _, n := range path {
		if !strings.HasPrefix(n, "[") {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return p.first()
	}
	last := names[len(names)-1]
	for i := range p.lines {
		if k, ok := p.key(i); ok && k.name == last && p.under(i, k.column, names[:len(names)-1]) {
			return i
		}
	}
	inline := regexp.MustCompile(`["'\s{,]` + regexp.QuoteMeta(last) + `["']?\s*:`)
	for i, l := range p.lines {
		if inline.MatchString(l) {
			return i
		}
	}
	return p.first()
}

type lineKey struct {
	column int
	name   string
}

func (p part) key(i int) (lineKey, bool) {
	m := keyPattern.FindStringSubmatch(p.lines[i])
	if m == nil {
		return lineKey{}, false
	}
	return lineKey{len(m[1]), m[2]}, true
}

// under reports whether line i, whose key stands at column, is indented under exactly these keys.
func (p part) under(i, column int, names []string) bool {
	for i--; i >= 0; i-- {
		k, ok := p.key(i)
		if !ok || k.column >= column {
			continue
		}
		if len(names) == 0 || k.name != names[len(names)-1] {
			return false
		}
		column, names = k.column, names[:len(names)-1]
	}
	return len(names) == 0
}
