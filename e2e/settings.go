//go:build e2e

package e2e

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// seedOf returns the seed of what a test does by chance. It is printed, and HANSE_E2E_SEED repeats it.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := setting(t, "HANSE_E2E_SEED", uint64(time.Now().UnixNano()), func(text string) (uint64, error) { return strconv.ParseUint(text, 10, 64) })
	t.Logf("seed: HANSE_E2E_SEED=%d", seed)
	return seed
}

// setting reads a variable that changes the size of a test.
func setting[T any](t *testing.T, name string, usual T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	value, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return value
}

func manySize(t *testing.T) int {
	size := setting(t, "HANSE_E2E_NODES", 12, strconv.Atoi)
	if size < 6 {
		t.Fatalf("HANSE_E2E_NODES=%d: the test needs 6 nodes or more", size)
	}
	return size
}
