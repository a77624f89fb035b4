package main

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDiffShowsWhatChanges(t *testing.T) {
	before := strings.Split("a b c d e f g h i j", " ")
	after := strings.Split("a b c d E f g h i j k", " ")
	want := strings.Split(" …| b| c| d|-e|+E| f| g| h| i| j|+k", "|")
	if got := diffLines(before, after); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := diffLines(nil, []string{"a"}); !slices.Equal(got, []string{"+a"}) {
		t.Errorf("a new text: %q", got)
	}
	if got := diffLines([]string{"a"}, nil); !slices.Equal(got, []string{"-a"}) {
		t.Errorf("a text that goes: %q", got)
	}
}

func TestADiffLeadsFromOneTextToTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", ""}), 0, 12)
		before, after := text.Draw(t, "before"), text.Draw(t, "after")
		var from, to []string
		// Without context nothing is left out, so that both texts can be read back.
		for _, l := range middle(before, after) {
			if l[0] != '+' {
				from = append(from, l[1:])
			}
			if l[0] != '-' {
				to = append(to, l[1:])
			}
		}
		if !slices.Equal(from, before) || !slices.Equal(to, after) {
			t.Fatalf("%q and %q give %q", before, after, middle(before, after))
		}
		differs := slices.ContainsFunc(diffLines(before, after), func(l string) bool { return l[0] != ' ' })
		if differs == slices.Equal(before, after) {
			t.Fatalf("%q and %q give %q", before, after, diffLines(before, after))
		}
	})
}

func TestHugeTextsAreReplaced(t *testing.T) {
	before, after := make([]string, 3000), make([]string, 3000)
	for i := range before {
		before[i], after[i] = "a", "b"
	}
	if got := diffLines(before, after); len(got) != 6000 {
		t.Errorf("%d lines", len(got))
	}
}
