package backoff

import (
	"testing"
	"time"
)

func TestStaysInBounds(t *testing.T) {
	b := Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	for i := range 200 {
		if d := b.Next(); d < b.Min || d > b.Max {
			t.Fatalf("pause %d is %v, outside %v–%v", i, d, b.Min, b.Max)
		}
	}
}

func TestResetStartsOver(t *testing.T) {
	b := Backoff{Min: 10 * time.Millisecond, Max: time.Hour}
	for range 20 {
		b.Next()
	}
	b.Reset()
	if d := b.Next(); d != b.Min {
		t.Fatalf("first pause after Reset is %v, want %v", d, b.Min)
	}
}
