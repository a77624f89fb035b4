package main

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/hanse-mesh/hanse/trust/token"
)

func TestServersAreRemembered(t *testing.T) {
	file := filepath.Join(t.TempDir(), "operator.token")
	one := serverMemory(token.Token{Pin: make([]byte, 32)}, file)
	other := serverMemory(token.Token{Pin: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}}, file)
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
