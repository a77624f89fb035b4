package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// columnGap separates columns.
	columnGap = 2
	// leastColumn is the width below which no column is cut: a table on a narrower terminal wraps.
	leastColumn = 8
	cutMark     = "…"
)

// tableWriter lays out what row writes: lines that follow each other and hold tabs are a table, whose first line is its head; others
// stay as they are. On a terminal a table is cut to its width.
type tableWriter struct {
	to    io.Writer
	width int
	paint palette
	text  bytes.Buffer
}

func newTableWriter(to io.Writer) *tableWriter {
	return &tableWriter{to: to, width: terminalWidth(to), paint: paletteFor(to)}
}

// Write collects text until Flush.
func (w *tableWriter) Write(p []byte) (int, error) { return w.text.Write(p) }

// Flush lays out and writes what was collected.
func (w *tableWriter) Flush() error {
	var out strings.Builder
	var table [][]string
	end := func() {
		for i, line := range layOut(table, fitWidths(columnWidths(table), w.width)) {
			if i == 0 {
				line = w.paint.bold(line)
			}
			out.WriteString(line + "\n")
		}
		table = nil
	}
	for line := range strings.Lines(w.text.String()) {
		line = strings.TrimSuffix(line, "\n")
		if strings.Contains(line, "\t") {
			table = append(table, strings.Split(line, "\t"))
			continue
		}
		end()
		out.WriteString(line + "\n")
	}
	end()
	w.text.Reset()
	_, err := io.WriteString(w.to, out.String())
	return err
}

func columnWidths(table [][]string) []int {
	var widths []int
	for _, cells := range table {
		for i, c := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	return widths
}

// fitWidths takes from the widest column, and from several when they are equally wide, until a line fits; width 0 is without end.
func fitWidths(widths []int, width int) []int {
	total := columnGap * max(0, len(widths)-1)
	for _, n := range widths {
		total += n
	}
	for width > 0 && total > width {
		widest := slices.Index(widths, slices.Max(widths))
		if widths[widest] <= leastColumn {
			break
		}
		widths[widest]--
		total--
	}
	return widths
}

func layOut(table [][]string, widths []int) []string {
	lines := make([]string, len(table))
	for i, cells := range table {
		lines[i] = layOutRow(cells, widths)
	}
	return lines
}

// layOutRow cuts and pads the cells of one row; the last one is not padded.
func layOutRow(cells []string, widths []int) string {
	var line strings.Builder
	for i, c := range cells {
		n := utf8.RuneCountInString(c)
		if n > widths[i] {
			c, n = cut(c, widths[i]), widths[i]
		}
		line.WriteString(c)
		if i < len(cells)-1 {
			line.WriteString(strings.Repeat(" ", widths[i]-n+columnGap))
		}
	}
	return line.String()
}

// cut shortens text to width characters, the mark included.
func cut(text string, width int) string {
	return string([]rune(text)[:width-1]) + cutMark
}
