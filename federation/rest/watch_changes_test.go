package rest

import (
	"fmt"
	"testing"

	"github.com/hanse-mesh/hanse/federation/state"
)

// A change is encoded once, whoever asks for it, and what is held is bounded as the state's memory is.
func TestEncodedChangesAreSharedAndBounded(t *testing.T) {
	held := &state.View{Federation: "acme"}
	s := state.Restore(held, nil)
	put := func(i int) {
		r := s.Apply(uint64(i), state.Entry{Version: 1, Command: state.PutPolicy{
			Kind: "ExportRule", Name: "a", JSON: fmt.Appendf(nil, `{"name":"a","spec":{"to":["%d"]}}`, i),
		}})
		if !r.Changed {
			t.Fatalf("%+v", r)
		}
	}
	var c changeLog
	put(1)
	first, next, ok := c.after(s.View(), whole(0), 10)
	again, _, _ := c.after(s.View(), whole(0), 10)
	if !ok || next != whole(1) || len(first) != 1 || len(again) != 1 || &first[0].text[0] != &again[0].text[0] {
		t.Fatalf("%v %s %v, and again %v", first, next, ok, again)
	}
	before := string(first[0].text)
	for i := 2; i < 10_000; i++ {
		put(i)
		if i%7 == 0 {
			c.after(s.View(), whole(uint64(i)), 0)
		}
	}
	v := s.View()
	remembered, _ := v.Changes(v.Remembered())
	if _, _, ok := c.after(v, whole(v.Remembered()), 0); !ok || len(c.events) != len(remembered) {
		t.Errorf("%d events are held of %d changes, %t", len(c.events), len(remembered), ok)
	}
	if text := string(first[0].text); text != before {
		t.Errorf("what was given out was %s, and is %s", before, text)
	}
	if _, _, ok := c.after(v, whole(1), 10); ok {
		t.Error("what is forgotten is not missed")
	}
}
