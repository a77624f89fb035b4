package state

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

// objects are all objects of a view.
func objects(v *View) map[model.Ref]string {
	out := map[model.Ref]string{}
	for _, kind := range Kinds() {
		for _, name := range v.Names(kind) {
			ref := model.Ref{Kind: kind, Name: name}
			out[ref] = string(v.Object(ref))
		}
	}
	return out
}

// Law: who takes the objects at any index and follows the changes from there has the objects, each change once and in the log's order.
func TestChangesLeadFromAnyIndexToTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := genLog().Draw(t, "log")
		cut := rapid.IntRange(0, len(log)).Draw(t, "cut")
		s := New(fakeRule)
		held := objects(replay(t, s, 0, log[:cut]))
		end := replay(t, s, cut, log[cut:])
		changes, ok := end.Changes(uint64(cut))
		if !ok {
			t.Fatalf("the changes after %d are not remembered", cut)
		}
		last := Change{Index: uint64(cut)}
		for _, c := range changes {
			if cmp.Or(cmp.Compare(last.Index, c.Index), strings.Compare(last.Kind, c.Kind), strings.Compare(last.Name, c.Name)) >= 0 || c.Index == uint64(cut) {
				t.Fatalf("change %d of %s comes twice or not in its order (after %d of %s)", c.Index, c.Ref, last.Index, last.Ref)
			}
			last = c
			if held[c.Ref] = string(c.Object); c.Object == nil {
				delete(held, c.Ref)
			}
		}
		if want := objects(end); !maps.Equal(held, want) {
			t.Fatalf("followed: %v\nwant %v", held, want)
		}
	})
}

// Law: an object's index is that of its last change, as far as it is noted, and the audit log holds each change by an actor.
func TestEveryWriteIsNoted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := genLog().Draw(t, "log")
		v := replay(t, New(fakeRule), 0, log)
		changes, _ := v.Changes(0)
		var want []string
		for _, c := range changes {
			e := log[c.Index-1]
			if e.Version >= recorded && c.Object != nil && bytes.Equal(c.Object, v.Object(c.Ref)) && v.ModifiedAt(c.Ref) < c.Index {
				t.Fatalf("%s changed at %d, noted %d", c.Ref, c.Index, v.ModifiedAt(c.Ref))
			}
			if e.Actor != (model.Actor{}) {
				want = append(want, fmt.Sprint(c.Index, c.Ref, e.Actor.Name, string(c.Object)))
			}
		}
		var got []string
		for _, e := range v.Audit() {
			if _, deed := log[e.Index-1].Command.(RecordDeed); deed {
				continue
			}
			got = append(got, fmt.Sprint(e.Index, e.Ref, e.Actor.Name, string(e.After)))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("audited %q\nwant %q", got, want)
		}
		for ref := range objects(v) {
			if v.ModifiedAt(ref) == 0 {
				t.Fatalf("%s exists and has no index", ref)
			}
		}
	})
}

func put(name, spec string) PutPolicy {
	return PutPolicy{Kind: "ExportRule", Name: name, JSON: fmt.Appendf(nil, `{"name":%q,"spec":%s}`, name, spec)}
}

func TestConditions(t *testing.T) {
	s := New(fakeRule)
	apply := func(index uint64, c Command, expect ...Expectation) Code {
		return CodeOf(s.Apply(index, Entry{Version: recorded, At: clockTime(0), Command: c, Expect: expect}).Err)
	}
	rule := model.Ref{Kind: "ExportRule", Name: "r"}
	s.Apply(1, Entry{Version: 1, At: clockTime(0), Command: InitFederation{
		Name: "hanse", Root: []byte("root"), Node: model.Node{Name: "n", GRPCAddress: "n:1", RaftAddress: "n:2", CommandMax: 3},
		OperatorToken: model.Token{ID: "op", Kind: model.TokenOperator, SecretHash: hash("op")},
	}})
	for _, c := range []struct {
		what    string
		index   uint64
		command Command
		expect  Expectation
		want    Code
	}{
		{"it is there although it is not", 2, put("r", `{}`), Expectation{rule, 1}, Mismatch},
		{"new", 3, put("r", `{}`), Expectation{rule, 0}, ""},
		{"new again", 4, put("r", `{"to":["a"]}`), Expectation{rule, 0}, Mismatch},
		{"as it was seen", 5, put("r", `{"to":["a"]}`), Expectation{rule, 3}, ""},
		{"as it was", 6, put("r", `{"to":["b"]}`), Expectation{rule, 3}, Mismatch},
		{"no change keeps the index", 7, put("r", `{"to":["a"]}`), Expectation{rule, 5}, ""},
		{"so it still fits", 8, DeletePolicy(rule), Expectation{rule, 5}, ""},
		{"gone", 9, put("r", `{}`), Expectation{rule, 5}, Mismatch},
		{"a founder", 10, RemoveNode{Name: "n"}, Expectation{model.Ref{Kind: model.KindNode, Name: "n"}, 0}, Mismatch},
	} {
		if got := apply(c.index, c.command, c.expect); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestASetIsWrittenWholeOrNotAtAll(t *testing.T) {
	s := New(fakeRule)
	s.view.Federation = "hanse"
	r := s.Apply(1, Entry{Version: recorded, Command: ApplyPolicies{Put: []PutPolicy{put("a", `{}`), put("b", `{"nonsense":1}`)}}})
	if CodeOf(r.Err) != Invalid || len(s.View().Exports) != 0 {
		t.Fatalf("%v, and %d rules", r.Err, len(s.View().Exports))
	}
	r = s.Apply(2, Entry{Version: recorded, Command: ApplyPolicies{Put: []PutPolicy{put("a", `{}`), put("b", `{}`)}}})
	if r.Err != nil || !r.Changed || len(s.View().Exports) != 2 {
		t.Fatalf("%v, and %d rules", r.Err, len(s.View().Exports))
	}
	r = s.Apply(3, Entry{Version: recorded, Command: ApplyPolicies{
		Put: []PutPolicy{put("b", `{}`)}, Delete: []DeletePolicy{{"ExportRule", "a"}, {"ExportRule", "never"}},
	}})
	changes, _ := s.View().Changes(2)
	if r.Err != nil || len(changes) != 1 || changes[0].Name != "a" || changes[0].Object != nil {
		t.Fatalf("%v, changes %+v", r.Err, changes)
	}
	if r = s.Apply(4, Entry{Version: recorded, Command: ApplyPolicies{Put: []PutPolicy{put("b", `{}`)}}}); r.Changed {
		t.Error("a set that is as it should be is a change")
	}
}

// What is remembered is bounded, and two states that go on from one view do not write into each other.
func TestMemoryIsBoundedAndNotShared(t *testing.T) {
	s := New(fakeRule)
	s.view.Federation = "hanse"
	long := fmt.Sprintf(`{"services":[%q]}`, bytes.Repeat([]byte("x"), maxAuditObject))
	write := func(s *State, i int, spec string) {
		s.Apply(uint64(i), Entry{Version: recorded, Actor: model.Actor{Name: "x"}, Command: put(fmt.Sprint("p", i%2), spec)})
	}
	for i := 1; i <= maxAudit+100; i++ {
		write(s, i, fmt.Sprintf(`{"to":["%d"]}`, i))
	}
	v := s.View()
	if len(v.Audit()) != maxAudit || len(v.changes) != maxChanges || v.Audit()[0].Index != 101 {
		t.Fatalf("%d audited, the first at %d; %d changes", len(v.Audit()), v.Audit()[0].Index, len(v.changes))
	}
	if _, ok := v.Changes(v.Remembered() - 1); ok {
		t.Error("a forgotten change is not missed")
	}
	if changes, ok := v.Changes(v.Remembered()); !ok || len(changes) != maxChanges {
		t.Errorf("%d changes, %t", len(changes), ok)
	}
	a, b := Restore(v, fakeRule), Restore(v, fakeRule)
	write(a, maxAudit+101, `{"to":["a"]}`)
	write(b, maxAudit+101, long)
	audited := a.View().Audit()
	if last := audited[len(audited)-1]; !bytes.Contains(last.After, []byte(`"a"`)) {
		t.Errorf("the other state's entry: %s", last.After)
	}
	var text string
	audited = b.View().Audit()
	if err := json.Unmarshal(audited[len(audited)-1].After, &text); err != nil || len(text) > 100 {
		t.Errorf("%v, %.80s", err, text)
	}
}
