package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// fault is what is wrong with one field of a document. The path's elements are names and "[INDEX]".
type fault struct {
	path []string
	text string
}

// Error writes "spec.failover[0].too: …".
func (f fault) Error() string {
	var b strings.Builder
	for i, p := range f.path {
		if i > 0 && !strings.HasPrefix(p, "[") {
			b.WriteByte('.')
		}
		fmt.Fprintf(&b, "%.64s", p)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(f.text)
	return b.String()
}

// check compares decoded content with the type that it is meant for. Decoding itself is no judge: it matches names without regard to
// case, stops at the first fault, and YAML's "no" and "5" would pass for text.
func check(content any, t reflect.Type, path []string) []fault {
	if content == nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		fields, ok := content.(map[string]any)
		if !ok {
			return []fault{{path, "must have the fields " + strings.Join(fieldNames(t), ", ") + ", but is " + describe(content)}}
		}
		return checkStruct(fields, t, path)
	case reflect.Slice:
		items, ok := content.([]any)
		if !ok {
			return []fault{{path, "must be a list, but is " + describe(content)}}
		}
		var faults []fault
		for i, item := range items {
			at := join(path, fmt.Sprintf("[%d]", i))
			if item == nil {
				faults = append(faults, fault{at, "is empty: give a value or remove it"})
			}
			faults = append(faults, check(item, t.Elem(), at)...)
		}
		return faults
	case reflect.Map:
		entries, ok := content.(map[string]any)
		if !ok {
			return []fault{{path, "must be a set of names with values, but is " + describe(content)}}
		}
		var faults []fault
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			faults = append(faults, check(entries[name], t.Elem(), join(path, name))...)
		}
		return faults
	case reflect.Bool:
		if _, ok := content.(bool); !ok {
			return []fault{{path, "must be true or false, but is " + describe(content)}}
		}
	default:
		if _, ok := content.(string); !ok {
			return []fault{{path, "must be text, but is " + describe(content) + ": put it in quotes if you mean text"}}
		}
	}
	return nil
}

func checkStruct(fields map[string]any, t reflect.Type, path []string) []fault {
	var faults []fault
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f, ok := t.FieldByNameFunc(func(n string) bool {
			f, _ := t.FieldByName(n)
			return jsonName(f) == name
		})
		at := join(path, name)
		if !ok {
			faults = append(faults, fault{at, "unknown field" + didYouMean(name, fieldNames(t))})
			continue
		}
		faults = append(faults, check(fields[name], f.Type, at)...)
	}
	return faults
}

func join(path []string, name string) []string { return append(slices.Clone(path), name) }

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func fieldNames(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		out = append(out, jsonName(t.Field(i)))
	}
	return out
}

func describe(content any) string {
	switch c := content.(type) {
	case string:
		return fmt.Sprintf("the text %.40q", c)
	case bool, float64:
		return fmt.Sprint(c)
	case []any:
		return "a list"
	default:
		return "a set of fields"
	}
}
