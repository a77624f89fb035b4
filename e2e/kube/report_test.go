//go:build e2ekube

package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// report is one row per rule with its evidence; the last line counts those that hold.
func report(outcomes []outcome) string {
	var b strings.Builder
	held := 0
	for _, o := range outcomes {
		verdict := "ok  "
		if o.err != nil {
			verdict = "FAIL"
		} else {
			held++
		}
		fmt.Fprintf(&b, "%2d  %s  %s (%.1f s)\n", o.number, verdict, o.text, o.took.Seconds())
		if o.err != nil {
			fmt.Fprintf(&b, "          %s\n", strings.ReplaceAll(o.err.Error(), "\n", "\n          "))
		}
		slices.Sort(o.evidence)
		for _, line := range slices.Compact(o.evidence) {
			fmt.Fprintf(&b, "          %s\n", strings.ReplaceAll(line, "\n", " "))
		}
	}
	fmt.Fprintf(&b, "mcs: %d of %d\n", held, len(rules()))
	return b.String()
}

// publish prints a report and writes it into a file of the folder for reports.
func publish(t *testing.T, name, text string) {
	t.Helper()
	fmt.Print(text)
	if err := os.WriteFile(filepath.Join(world.dir, name), []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}
