package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// changePrinter shows changes as they come: as a table whose columns are as wide as the first rows need, as JSON with one line each, or
// as YAML documents.
type changePrinter struct {
	to    io.Writer
	out   output
	kinds []kind
	// live is true once all that was there in the beginning has been shown.
	live  bool
	known map[string]bool
	// text holds rows that are not written yet; widths are the table's columns once it has begun.
	text   bytes.Buffer
	widths []int
}

// see shows one change.
func (p *changePrinter) see(e change) error {
	switch p.out.format {
	case formatJSON:
		enc := json.NewEncoder(p.to)
		enc.SetEscapeHTML(false)
		return enc.Encode(e)
	case formatYAML:
		text, err := yaml.Marshal(e)
		if err == nil {
			_, err = fmt.Fprintf(p.to, "---\n%s", text)
		}
		return err
	case formatName:
		_, err := fmt.Fprintf(p.to, "%s/%s\n", p.kindOf(e).singular(), e.Name)
		return err
	}
	if err := p.row(e); err != nil || !p.live {
		return err
	}
	return p.flush()
}

// pause says that all that is known has been told.
func (p *changePrinter) pause() error {
	p.live = true
	return p.flush()
}

func (p *changePrinter) kindOf(e change) kind {
	return p.kinds[max(0, slices.IndexFunc(p.kinds, func(k kind) bool { return k.name == e.Kind }))]
}

// row adds a change's rows. Several kinds have nothing in common but their names.
func (p *changePrinter) row(e change) error {
	k, what := p.kindOf(e), p.word(e)
	switch {
	case len(p.kinds) > 1:
		row(&p.text, what, e.Kind, e.Name)
		return nil
	case k.after != nil:
		return k.view.object(&p.text, p.out.wide(), e.Object)
	case e.Event == eventPut:
		return k.view.object(&p.text, p.out.wide(), e.Object, what)
	}
	cells := make([]any, k.view.columns(p.out.wide()))
	for i := range cells {
		cells[i] = ""
	}
	cells[0] = e.Name
	row(&p.text, append([]any{what}, cells...)...)
	return nil
}

// word says what happened to an object.
func (p *changePrinter) word(e change) string {
	if p.known == nil {
		p.known = map[string]bool{}
	}
	ref := e.Kind + "/" + e.Name
	held := p.known[ref]
	p.known[ref] = e.Event == eventPut
	switch {
	case e.Event == eventDelete:
		return "deleted"
	case !p.live:
		return "present"
	case held:
		return "changed"
	default:
		return "added"
	}
}

// head writes the titles.
func (p *changePrinter) head(w io.Writer) {
	switch k := p.kinds[0]; {
	case len(p.kinds) > 1:
		row(w, "CHANGE", "KIND", "NAME")
	case k.after != nil:
		k.view.head(w, p.out.wide())
	default:
		k.view.head(w, p.out.wide(), "CHANGE")
	}
}

// flush writes the rows that wait. Off a terminal nothing is cut: a longer cell moves its row's others.
func (p *changePrinter) flush() error {
	if !p.out.forPeople() {
		return nil
	}
	var table [][]string
	begins := p.widths == nil
	if begins {
		var head bytes.Buffer
		p.head(&head)
		table = cellsOf(head.String())
	}
	table = append(table, cellsOf(p.text.String())...)
	p.text.Reset()
	width := terminalWidth(p.to)
	if begins {
		p.widths = fitWidths(columnWidths(table), width)
	}
	for i, cells := range table {
		widths := p.widths
		if width == 0 {
			widths = atLeast(columnWidths([][]string{cells}), p.widths)
		}
		line := layOutRow(cells, widths)
		if begins && i == 0 {
			line = paletteFor(p.to).bold(line)
		}
		if _, err := fmt.Fprintln(p.to, line); err != nil {
			return err
		}
	}
	return nil
}

func cellsOf(text string) [][]string {
	var out [][]string
	for line := range strings.Lines(text) {
		out = append(out, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return out
}

func atLeast(widths, least []int) []int {
	for i := range widths {
		widths[i] = max(widths[i], least[i])
	}
	return widths
}
