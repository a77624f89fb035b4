package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminal returns the descriptor of the terminal that w writes to.
func terminal(w io.Writer) (fd int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// canAsk reports whether a person sits at the other end of in.
func canAsk(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalWidth is the number of columns of the terminal that w writes to; 0 when it is none, where nothing is cut.
func terminalWidth(w io.Writer) int {
	fd, ok := terminal(w)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(fd)
	if err != nil {
		return 0
	}
	return width
}

// palette colours text (ECMA-48); the zero value leaves it as it is.
type palette struct{ on bool }

// paletteFor colours only what a person sees on a terminal that can show it, and never against NO_COLOR (no-color.org).
func paletteFor(w io.Writer) palette {
	_, ok := terminal(w)
	return palette{ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (p palette) bold(text string) string  { return p.paint("1", text) }
func (p palette) red(text string) string   { return p.paint("31", text) }
func (p palette) green(text string) string { return p.paint("32", text) }

func (p palette) paint(code, text string) string {
	if !p.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// paletteOf is the palette for what a table function writes to.
func paletteOf(w io.Writer) palette {
	if t, ok := w.(*tableWriter); ok {
		return t.paint
	}
	return palette{}
}
