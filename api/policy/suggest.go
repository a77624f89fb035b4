package policy

import (
	"fmt"
	"strings"
)

// didYouMean suggests the nearest of the names, or lists them when none is near.
func didYouMean(given string, names []string) string {
	if best, ok := Nearest(given, names); ok {
		return fmt.Sprintf(": did you mean %q?", best)
	}
	return ": give " + oneOf(names)
}

// Nearest returns the name that given is probably a slip of the pen for, if one is near enough.
func Nearest(given string, names []string) (name string, ok bool) {
	distance := 3
	for _, n := range names {
		// Half of a short name is not a slip of the pen.
		if d := editDistance(strings.ToLower(given), strings.ToLower(n)); d < distance && 2*d <= len(n) {
			name, distance = n, d
		}
	}
	return name, name != ""
}

func oneOf(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return "one of " + strings.Join(names, ", ")
}

// editDistance counts the insertions, deletions and replacements that lead from a to b. Names longer than any of ours are far.
func editDistance(a, b string) int {
	const tooLong = 64
	if len(a) > tooLong || len(b) > tooLong {
		return tooLong
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
