package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func laidOut(width int, rows ...[]any) string {
	var out bytes.Buffer
	w := &tableWriter{to: &out, width: width}
	for _, r := range rows {
		row(w, r...)
	}
	_ = w.Flush()
	return out.String()
}

func TestTablesFitTheTerminal(t *testing.T) {
	rows := [][]any{{"NAME", "MESSAGE", "AGE"}, {"eu", strings.Repeat("long ", 20), "1s"}, {"us", "short", "2s"}}
	want := "NAME  MESSAGE                    AGE\neu    long long long long long …  1s\nus    short                      2s\n"
	want = strings.ReplaceAll(want, "MESSAGE                    AGE", "MESSAGE                   AGE")
	want = strings.ReplaceAll(want, "long long long long long …  1s", "long long long long lon…  1s")
	want = strings.ReplaceAll(want, "short                      2s", "short                     2s")
	if got := laidOut(35, rows...); got != want {
		t.Errorf("cut to 35 columns:\n%s\nwant\n%s", got, want)
	}
	if got := laidOut(0, rows...); !strings.Contains(got, strings.Repeat("long ", 20)) {
		t.Errorf("cut off a terminal:\n%s", got)
	}
}

func TestNoLineIsLongerThanTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 8).Draw(t, "columns")
		width := rapid.IntRange(columns*(leastColumn+columnGap), 200).Draw(t, "width")
		cell := rapid.StringN(0, 60, -1)
		var rows [][]any
		for range rapid.IntRange(1, 5).Draw(t, "rows") {
			var cells []any
			for range columns {
				cells = append(cells, cell.Draw(t, "cell"))
			}
			rows = append(rows, cells)
		}
		text := laidOut(width, rows...)
		if columns > 1 {
			for line := range strings.Lines(text) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
					t.Fatalf("%d columns on a terminal of %d: %q", n, width, line)
				}
			}
		}
		if n := strings.Count(text, "\n"); n != len(rows) {
			t.Fatalf("%d rows became %d lines:\n%s", len(rows), n, text)
		}
	})
}

func TestLinesWithoutColumnsStayAsTheyAre(t *testing.T) {
	var out bytes.Buffer
	w := &tableWriter{to: &out, width: 20}
	fmt.Fprintln(w, "a line that is longer than the terminal is wide")
	row(w, "A", "B")
	row(w, "1", "2")
	fmt.Fprintln(w)
	row(w, "LONGER", "C")
	_ = w.Flush()
	if want := "a line that is longer than the terminal is wide\nA  B\n1  2\n\nLONGER  C\n"; out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

// What comes from outside must not steer the terminal.
func TestCellsHoldNoControlCharacters(t *testing.T) {
	if got := laidOut(0, []any{"\x1b[2Jgone\t\n", "\u009b2J"}); strings.ContainsAny(got, "\x1b\u009b\t") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
}

func TestColoursAreForTerminals(t *testing.T) {
	if got := paletteFor(&bytes.Buffer{}).red("text"); got != "text" {
		t.Errorf("%q", got)
	}
	if got := (palette{on: true}).red("text"); got != "\x1b[31mtext\x1b[0m" {
		t.Errorf("%q", got)
	}
}
