package state

import (
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
)

// Nobody is given an import rule who could not read it: nodes by the version of commands, agents by their protocol.
func TestImportRulesForThoseWhoKnowThem(t *testing.T) {
	put := PutPolicy{Kind: "ImportRule", Name: "i", JSON: []byte(`{"name":"i","labels":{"a":"b"},"spec":{"to":["eu"],"from":["*"],"namespaces":["shop"]}}`)}
	for name, c := range map[string]Command{
		"put": put, "delete": DeletePolicy{"ImportRule", "i"}, "put in a set": ApplyPolicies{Put: []PutPolicy{put}},
		"delete in a set": ApplyPolicies{Delete: []DeletePolicy{{"ImportRule", "i"}}},
	} {
		if _, err := (Entry{Command: c}).Versioned(3); err == nil {
			t.Errorf("%s: older nodes are given it", name)
		}
		if _, err := (Entry{Command: c}).Versioned(4); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := New(fakeRule)
	s.view.Federation = "hanse"
	if r := s.Apply(1, Entry{Version: 4, Command: put}); r.Err != nil {
		t.Fatal(r.Err)
	}
	v := s.View()
	if got := v.ImportList(); len(got) != 1 || got[0].Spec.To[0] != "eu" {
		t.Fatalf("%+v", got)
	}
	if n := len(v.ProtoFor(model.ImportRuleProtocol - 1).GetPolicies()); n != 0 {
		t.Errorf("an older agent is told %d policies", n)
	}
	told, err := ViewFromProto(v.ProtoFor(model.ImportRuleProtocol))
	if err != nil || len(told.Imports) != 1 || told.Imports["i"].Labels != nil {
		t.Errorf("%v: an agent is told %+v", err, told.Imports)
	}
}
