package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/policy"
)

// kind is something that the federation holds and that is read by name.
type kind struct {
	// name is the kind as documents, the log and the audit log spell it.
	name string
	// plural and short are what operators type, beside name and the plural without its s.
	plural string
	short  []string
	// list asks for all objects; get and remove for one or for its end, nil where the API has no such call.
	list        listCall
	get, remove objectCall
	// ending is the word for what remove does.
	ending string
	// document is true for policies: what is read can be written back.
	document bool
	// logged kinds are in the replicated log and followed there, the others by asking again. A live kind's log holds only a part of what
	// is shown: the rest is asked for.
	logged, live bool
	// after is set for kinds that only grow: it is what the parameter "after" must be to get what came later than an object.
	after func(json.RawMessage) (string, error)
	// namespaced kinds have names NAMESPACE/NAME and can be filtered by namespace. Other kinds' names have so many parts, one when it is 0.
	namespaced bool
	parts      int
	// filters are further parameters of the list.
	filters []string
	// none is said where there are no objects, and how they come about.
	none string
	view layout
}

// layout is how objects of a kind are shown.
type layout struct {
	// titles are those of all columns; the last wide ones are shown by -o wide only.
	titles []string
	wide   int
	// name is the object's name; rows are its rows, mostly one.
	name func(json.RawMessage) (string, error)
	rows func(json.RawMessage) ([][]any, error)
}

// typedLayout is a layout of objects that are decoded already.
type typedLayout[T any] struct {
	layout
	cells func(T) [][]any
}

// layoutOf shows objects of type T.
func layoutOf[T any](titles, wide []string, name func(T) string, rows func(T) [][]any) typedLayout[T] {
	v := layout{titles: slices.Concat(titles, wide), wide: len(wide)}
	v.name = func(raw json.RawMessage) (string, error) {
		object, err := decodeObject[T](raw)
		if err != nil {
			return "", err
		}
		return name(object), nil
	}
	v.rows = func(raw json.RawMessage) ([][]any, error) {
		object, err := decodeObject[T](raw)
		if err != nil {
			return nil, err
		}
		return rows(object), nil
	}
	return typedLayout[T]{v, rows}
}

func decodeObject[T any](raw json.RawMessage) (object T, err error) {
	if err = json.Unmarshal(raw, &object); err != nil {
		err = fmt.Errorf("the answer is not what this version expects: %w", err)
	}
	return object, err
}

// oneRow is for kinds whose objects have a row each.
func oneRow[T any](cells func(T) []any) func(T) [][]any {
	return func(v T) [][]any { return [][]any{cells(v)} }
}

// columns is how many columns are shown.
func (v layout) columns(wide bool) int {
	if wide {
		return len(v.titles)
	}
	return len(v.titles) - v.wide
}

// head writes the titles, with before in front of them.
func (v layout) head(w io.Writer, wide bool, before ...any) {
	for _, t := range v.titles[:v.columns(wide)] {
		before = append(before, t)
	}
	row(w, before...)
}

// object writes an object's rows, with before in front of each.
func (v layout) object(w io.Writer, wide bool, raw json.RawMessage, before ...any) error {
	rows, err := v.rows(raw)
	for _, cells := range rows {
		row(w, slices.Concat(before, cells[:v.columns(wide)])...)
	}
	return err
}

// kinds lists all kinds, in the order of the help.
func kinds() []kind {
	return slices.Concat(policyKinds(), memberKinds(), serviceKinds(), logKinds())
}

// allPolicies is the word for every kind of document.
const allPolicies = "policies"

// findKinds returns what the operator's word means: one kind, or all policies.
func findKinds(word string) ([]kind, error) {
	given := strings.ReplaceAll(strings.ToLower(word), "-", "")
	if given == allPolicies || given == "policy" {
		return policyKinds(), nil
	}
	for _, k := range kinds() {
		if slices.Contains(k.words(), given) {
			return []kind{k}, nil
		}
	}
	hint := ""
	if near, ok := policy.Nearest(given, kindWords()); ok {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return nil, usageError("%q is not a kind%s\nkinds are:\n  %s", word, hint, kindList())
}

// words are all spellings of a kind in lower case.
func (k kind) words() []string {
	return append([]string{k.plural, k.singular(), strings.ToLower(k.name)}, k.short...)
}

// singular is the plural without its ending; verdicts, policies and audit have one each.
func (k kind) singular() string {
	if stem, ok := strings.CutSuffix(k.plural, "ies"); ok {
		return stem + "y"
	}
	return strings.TrimSuffix(k.plural, "s")
}

func kindWords() []string {
	words := []string{allPolicies}
	for _, k := range kinds() {
		words = append(words, k.plural, k.singular())
	}
	return words
}

// kindList names the kinds for a person, with their short forms, in lines that fit a terminal.
func kindList() string {
	const width = 100
	line, lines := allPolicies+" (all documents)", []string(nil)
	for _, k := range kinds() {
		text := k.plural
		if len(k.short) > 0 {
			text += " (" + strings.Join(k.short, ", ") + ")"
		}
		if len(line)+len(text) > width {
			lines, line = append(lines, line+","), text
			continue
		}
		line += ", " + text
	}
	return strings.Join(append(lines, line), "\n  ")
}

// checkName refuses what cannot be a name of the kind.
func (k kind) checkName(name string) error {
	parts := strings.Split(name, "/")
	switch {
	case slices.Contains(parts, "") || slices.Contains(parts, "..") || slices.Contains(parts, "."):
		return usageError("%q is not a name of %s", name, k.plural)
	case k.namespaced && len(parts) != 2:
		return usageError("%q is not a %s: write NAMESPACE/NAME, or give the namespace with -n", name, k.singular())
	case !k.namespaced && len(parts) != max(1, k.parts):
		return usageError("%q is not a name of %s, which has %d parts between slashes", name, k.plural, max(1, k.parts))
	}
	return nil
}
