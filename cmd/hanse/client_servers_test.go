package main

import (
	"slices"
	"testing"
)

func TestServersAreRemembered(t *testing.T) {
	dir := t.TempDir()
	one := serverMemory(make([]byte, 32), dir)
	other := serverMemory([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, dir)
	if got := one.load(); got != nil {
		t.Fatalf("before the first answer: %v", got)
	}
	one.save("a:1,b:2")
	one.save("")
	if got := one.load(); !slices.Equal(got, []string{"a:1", "b:2"}) {
		t.Errorf("remembered %v", got)
	}
	if got := other.load(); got != nil {
		t.Errorf("another federation's servers are %v", got)
	}
	if got := unique([]string{"b:2", "a:1", "b:2"}); !slices.Equal(got, []string{"b:2", "a:1"}) {
		t.Errorf("unique gives %v", got)
	}
}
