package state

import (
	"errors"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
)

// A deed stands in the audit log and nowhere else.
func TestADeedIsRecorded(t *testing.T) {
	s := New(fakeRule)
	s.view.Federation = "hanse"
	who := model.Actor{Name: "ann", Credential: "certificate"}
	deed := RecordDeed{Ref: model.Ref{Kind: model.KindWorkload, Name: "eu/pay-1"}, Before: []byte(`{"a":1}`), After: []byte(`{"a":2}`)}
	if r := s.Apply(1, Entry{Version: 4, At: clockTime(3), Actor: who, Command: deed}); r.Err != nil || !r.Changed {
		t.Fatalf("%+v", r)
	}
	v := s.View()
	if changes, _ := v.Changes(0); len(changes) != 0 || len(v.Modified) != 0 {
		t.Errorf("changes %v, modified %v", changes, v.Modified)
	}
	audit := v.Audit()
	if len(audit) != 1 || audit[0].Index != 1 || audit[0].Actor != who || audit[0].Ref != deed.Ref || string(audit[0].Before) != `{"a":1}` || string(audit[0].After) != `{"a":2}` {
		t.Fatalf("audit %+v", audit)
	}
	for name, bad := range map[string]Entry{
		"a kind that the state holds": {Actor: who, Command: RecordDeed{Ref: model.Ref{Kind: "Cluster", Name: "eu"}}},
		"no name":                     {Actor: who, Command: RecordDeed{Ref: model.Ref{Kind: model.KindWorkload}}},
		"a long name":                 {Actor: who, Command: RecordDeed{Ref: model.Ref{Kind: model.KindWorkload, Name: strings.Repeat("x", maxDeedName+1)}}},
		"nobody":                      {Command: deed},
		"no JSON":                     {Actor: who, Command: RecordDeed{Ref: deed.Ref, After: []byte("{")}},
	} {
		bad.Version = 4
		var refused *Error
		if r := s.Apply(s.view.Index+1, bad); !errors.As(r.Err, &refused) || refused.Code != Invalid || r.Changed {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if n := len(s.View().Audit()); n != 1 {
		t.Errorf("%d entries, refused ones among them", n)
	}
	if _, err := (Entry{Command: deed}).Versioned(3); err == nil {
		t.Error("a node that does not know deeds would be given one")
	}
}
