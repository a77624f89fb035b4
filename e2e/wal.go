//go:build e2e

package e2e

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// tearLog appends garbage to a node's log, as a power cut in the middle of a write leaves it: right behind the last complete frame of
// the newest segment. Segments are zeros up to their full size, and frames begin at multiples of eight bytes.
func tearLog(t *testing.T, n *node, random *rand.Rand) {
	t.Helper()
	var segments []string
	err := filepath.WalkDir(filepath.Join(n.dir, "raft"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".wal" {
			segments = append(segments, path)
		}
		return err
	})
	if err != nil || len(segments) == 0 {
		t.Fatalf("no log segments of %s: %v", n.name, err)
	}
	// Segments are named by the index of their first entry.
	newest := slices.Max(segments)
	data, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	end := (len(bytes.TrimRight(data, "\x00")) + 7) / 8 * 8
	tail := make([]byte, 100+random.IntN(4000))
	for i := range tail {
		tail[i] = byte(random.Uint32())
	}
	if end+len(tail) > len(data) {
		t.Fatalf("%s has no room for a torn tail", newest)
	}
	copy(data[end:], tail)
	if err := os.WriteFile(newest, data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes of garbage at %d of %s", n.name, len(tail), end, filepath.Base(newest))
}
