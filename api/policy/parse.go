package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// MaxBytes bounds what is parsed at once.
const MaxBytes = 1 << 20

// ParseDocuments reads one or more YAML documents, separated by lines of "---", or a JSON document, and validates each. source, a
// file's name, stands in errors, which say SOURCE:LINE, the document's number and the field. All documents are good, or none is
// returned.
func ParseDocuments(source string, data []byte) ([]Document, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("%s: has %d bytes, more than the %d allowed: split it", source, len(data), MaxBytes)
	}
	var docs []Document
	var errs []error
	for i, p := range split(string(data)) {
		d, problems := p.parse()
		for _, problem := range problems {
			errs = append(errs, fmt.Errorf("%s:%d: document %d: %s", source, p.line+problem.line, i+1, problem.text))
		}
		docs = append(docs, d)
	}
	switch {
	case len(errs) > 0:
		return nil, errors.Join(errs[:min(len(errs), maxErrors)]...)
	case len(docs) == 0:
		return nil, fmt.Errorf("%s: has no document: write kind, name and spec", source)
	}
	return docs, nil
}

// maxErrors is how many errors are told at once.
const maxErrors = 10

// part is the text of one document and the number of its first line.
type part struct {
	lines []string
	line  int
}

// problem is an error at a line of its document, counted from 0.
type problem struct {
	line int
	text string
}

// split cuts a stream into documents and leaves out those that hold nothing but comments.
func split(text string) []part {
	var parts []part
	current := part{line: 1}
	flush := func(next int) {
		if slices.ContainsFunc(current.lines, meaningful) {
			parts = append(parts, current)
		}
		current = part{line: next}
	}
	for i, l := range strings.Split(text, "\n") {
		l = strings.TrimSuffix(l, "\r")
		if strings.TrimRight(l, " \t") == "---" {
			flush(i + 2)
			continue
		}
		current.lines = append(current.lines, l)
	}
	flush(0)
	return parts
}

func meaningful(line string) bool {
	l := strings.TrimSpace(line)
	return l != "" && !strings.HasPrefix(l, "#")
}

func (p part) parse() (Document, []problem) {
	var content any
	if err := yaml.UnmarshalStrict([]byte(strings.Join(p.lines, "\n")), &content); err != nil {
		return Document{}, []problem{syntaxProblem(err)}
	}
	fields, ok := content.(map[string]any)
	if !ok {
		return Document{}, []problem{{0, "is not a document: write kind, name and spec"}}
	}
	d, faults := fromFields(fields)
	if len(faults) == 0 {
		if _, err := d.Validate(nil); err != nil {
			return Document{}, []problem{{p.first(), err.Error()}}
		}
		return d, nil
	}
	var problems []problem
	for _, f := range faults {
		problems = append(problems, problem{p.locate(f.path), f.Error()})
	}
	slices.SortStableFunc(problems, func(a, b problem) int { return a.line - b.line })
	return Document{}, problems
}

// first is the document's first line that says something.
func (p part) first() int { return slices.IndexFunc(p.lines, meaningful) }

var linePattern = regexp.MustCompile(`line (\d+): `)

// syntaxProblem takes the line out of the YAML reader's text and the reader's own history off it.
func syntaxProblem(err error) problem {
	text := err.Error()
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err, text = inner, inner.Error()
	}
	text = strings.TrimPrefix(text, "yaml: ")
	text = strings.TrimSpace(strings.TrimPrefix(text, "unmarshal errors:"))
	text, _, _ = strings.Cut(text, "\n")
	line := 0
	if m := linePattern.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1])
		line = max(0, n-1)
		text = strings.Replace(text, m[0], "", 1)
	}
	return problem{line, "is neither valid YAML nor JSON: " + text}
}
