package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Labels are names with values by which documents are selected. Their form is that of Kubernetes labels.
type Labels map[string]string

// SetLabel names the set that a document was applied with: what carries it and is not applied any more can be pruned.
const SetLabel = "hanse.dev/set"

const (
	maxLabels     = 64
	maxLabelName  = 317
	maxLabelValue = 63
	maxSelector   = 1024
	labelNameForm = `([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?`
	labelForm     = `([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?`
)

var labelName, labelValue = regexp.MustCompile("^" + labelNameForm + "$"), regexp.MustCompile("^" + labelForm + "$")

func (l Labels) validate() error {
	if len(l) > maxLabels {
		return fmt.Errorf("labels: there are %d, at most %d are allowed", len(l), maxLabels)
	}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		switch value := l[name]; {
		case len(name) > maxLabelName || !labelName.MatchString(name):
			return fmt.Errorf("labels: %.80q is not a label's name: use letters, digits, '-', '_' and '.', with a prefix of a domain and '/' if you like", name)
		case len(value) > maxLabelValue || !labelValue.MatchString(value):
			return fmt.Errorf("labels.%s: %.80q is not a label's value: use up to %d letters, digits, '-', '_' and '.'", name, value, maxLabelValue)
		}
	}
	return nil
}

// Selector chooses by labels; the zero value chooses everything.
type Selector struct{ terms []term }

type term struct {
	name, value string
	// not is for "!=" and "!name", exists for terms without a value.
	not, exists bool
}

// ParseSelector reads "a=b,c!=d,e,!f": all terms must hold. A label that is absent satisfies "!=".
func ParseSelector(text string) (Selector, error) {
	if len(text) > maxSelector {
		return Selector{}, fmt.Errorf("the selector is longer than %d characters", maxSelector)
	}
	var s Selector
	if strings.TrimSpace(text) == "" {
		return s, nil
	}
	for _, part := range strings.Split(text, ",") {
		t := parseTerm(strings.TrimSpace(part))
		if !labelName.MatchString(t.name) || !labelValue.MatchString(t.value) {
			return Selector{}, fmt.Errorf("%.80q is not a term of a selector: write name=value, name!=value, name or !name", part)
		}
		s.terms = append(s.terms, t)
	}
	return s, nil
}

func parseTerm(text string) term {
	if name, value, ok := strings.Cut(text, "!="); ok {
		return term{name: strings.TrimSpace(name), value: strings.TrimSpace(value), not: true}
	}
	if name, value, ok := strings.Cut(text, "="); ok {
		return term{name: strings.TrimSpace(name), value: strings.TrimSpace(strings.TrimPrefix(value, "="))}
	}
	if name, not := strings.CutPrefix(text, "!"); not {
		return term{name: strings.TrimSpace(name), not: true, exists: true}
	}
	return term{name: text, exists: true}
}

// Matches reports whether the labels satisfy all terms.
func (s Selector) Matches(l Labels) bool {
	for _, t := range s.terms {
		value, there := l[t.name]
		if holds := there && (t.exists || value == t.value); holds == t.not {
			return false
		}
	}
	return true
}
