package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The markers between which a file holds the table.
const (
	beginMarker = "<!-- matrix:begin -->"
	endMarker   = "<!-- matrix:end -->"
)

// Table is the result as Markdown.
func Table(r Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| fault | | calls | failed | due later than 3 s | over 1 s | recovered after | answered before → during |\n|---|---|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		name := row.Name
		for _, c := range row.Calls {
			text := line(name, c)
			if c.Protocol == TCP && row.EndsSessions {
				text = strings.TrimSuffix(text, " |\n") + "; " + row.Sessions.String() + " |\n"
			}
			b.WriteString(text)
			name = ""
		}
	}
	return b.String()
}

func line(name string, c CallResult) string {
	failed := fmt.Sprint(c.Failed)
	if c.FailedPosts > 0 && c.Protocol == HTTP {
		failed += fmt.Sprintf(" (%d POST)", c.FailedPosts)
	}
	if c.Kept != nil && c.Kept.Failed > 0 {
		failed += fmt.Sprintf(" (kept: %d)", c.Kept.Failed)
	}
	recovered := "–"
	if c.Recovery > 0 {
		recovered = fmt.Sprintf("%.1f s", c.Recovery)
	}
	return fmt.Sprintf("| %s | %s | %d | %s | %d | %d | %s | %s → %s |\n",
		name, c.Protocol, c.Calls, failed, c.FailedLate, c.Slow, recovered, regions(c.Before), regions(c.During))
}

// regions says which share of the answers came from which region; instances are named SERVICE-REGION-NUMBER.
func regions(instances map[string]int) string {
	shares, total := map[string]int{}, 0
	for name, n := range instances {
		parts := strings.Split(name, "-")
		shares[parts[max(0, len(parts)-2)]] += n
		total += n
	}
	var names []string
	for n := range shares {
		names = append(names, n)
	}
	slices.Sort(names)
	var out []string
	for _, n := range names {
		out = append(out, fmt.Sprintf("%s %d %%", n, (shares[n]*100+total/2)/total))
	}
	return strings.Join(out, ", ")
}

// Replace returns the text with the table between the markers.
func Replace(text []byte, table string) ([]byte, error) {
	before, rest, found := bytes.Cut(text, []byte(beginMarker))
	_, after, ended := bytes.Cut(rest, []byte(endMarker))
	if !found || !ended {
		return nil, errors.New("the file has no lines " + beginMarker + " and " + endMarker)
	}
	return slices.Concat(before, []byte(beginMarker+"\n"+table+endMarker), after), nil
}
