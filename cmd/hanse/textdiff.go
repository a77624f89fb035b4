package main

import "slices"

const (
	// diffContext is how many equal lines are shown around a difference.
	diffContext = 3
	// maxDiffCells bounds the work: longer texts are shown as replaced.
	maxDiffCells = 4_000_000
)

// diffLines compares two texts: lines that go begin with "-", lines that come with "+", those around them with a space. Equal lines further
// away are left out, with "…" in their place.
func diffLines(before, after []string) []string {
	head := 0
	for head < min(len(before), len(after)) && before[head] == after[head] {
		head++
	}
	tail := 0
	for tail < min(len(before), len(after))-head && before[len(before)-1-tail] == after[len(after)-1-tail] {
		tail++
	}
	lines := marked(" ", before[:head])
	lines = append(lines, middle(before[head:len(before)-tail], after[head:len(after)-tail])...)
	return narrow(append(lines, marked(" ", before[len(before)-tail:])...))
}

func marked(mark string, lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = mark + l
	}
	return out
}

// middle compares by the longest common subsequence of lines.
func middle(before, after []string) []string {
	if len(before)*len(after) > maxDiffCells {
		return append(marked("-", before), marked("+", after)...)
	}
	// common[i][j] is the length of what before[i:] and after[j:] have in common.
	common := make([][]int, len(before)+1)
	for i := range common {
		common[i] = make([]int, len(after)+1)
	}
	for i, b := range slices.Backward(before) {
		for j, a := range slices.Backward(after) {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if b == a {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(before) && j < len(after) {
		switch {
		case before[i] == after[j]:
			out = append(out, " "+before[i])
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			out = append(out, "-"+before[i])
			i++
		default:
			out = append(out, "+"+after[j])
			j++
		}
	}
	return append(append(out, marked("-", before[i:])...), marked("+", after[j:])...)
}

// narrow leaves out equal lines that are far from every difference.
func narrow(lines []string) []string {
	near := make([]bool, len(lines))
	for i, l := range lines {
		if l[0] == ' ' {
			continue
		}
		for k := max(0, i-diffContext); k <= min(len(lines)-1, i+diffContext); k++ {
			near[k] = true
		}
	}
	var out []string
	for i, l := range lines {
		switch {
		case near[i]:
			out = append(out, l)
		case i == 0 || near[i-1]:
			out = append(out, " …")
		}
	}
	return out
}
