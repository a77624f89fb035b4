package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func nodeJSON(name, region string) json.RawMessage {
	return json.RawMessage(`{"name":"` + name + `","region":"` + region + `","alive":true}`)
}

// changes lets a printer see objects that are there, and then what becomes of them.
func changes(t *testing.T, out output, kinds ...string) string {
	t.Helper()
	var list []kind
	for _, word := range kinds {
		found, err := findKinds(word)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, found...)
	}
	var to bytes.Buffer
	p := &changePrinter{to: &to, out: out, kinds: list}
	for _, step := range []error{
		p.see(change{Event: eventPut, Kind: "Node", Name: "n1", Object: nodeJSON("n1", "eu")}),
		p.pause(),
		p.see(change{Event: eventPut, Index: 9, Kind: "Node", Name: "n1", Object: nodeJSON("n1", "a-region-with-a-long-name")}),
		p.see(change{Event: eventPut, Index: 10, Kind: "Node", Name: "n2", Object: nodeJSON("n2", "us")}),
		p.see(change{Event: eventDelete, Index: 11, Kind: "Node", Name: "n1"}),
		p.pause(),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	return to.String()
}

func TestChangesAreShownAsTheyCome(t *testing.T) {
	want := `CHANGE   NODE  REGION  ROLE   ALIVE  LEADER  GRPC  REST
present  n1    eu      voter  yes    no      -     -
changed  n1    a-region-with-a-long-name  voter  yes    no      -     -
added    n2    us      voter  yes    no      -     -
deleted  n1    -       -      -      -       -     -
`
	if got := changes(t, output{formatTable}, "nodes"); got != want {
		t.Errorf("the table is\n%s", got)
	}
	if got := changes(t, output{formatName}, "nodes"); got != "node/n1\nnode/n1\nnode/n2\nnode/n1\n" {
		t.Errorf("the names are %q", got)
	}
	got := changes(t, output{formatTable}, "nodes", "clusters")
	if !strings.HasPrefix(got, "CHANGE   KIND  NAME\npresent  Node  n1\n") || !strings.HasSuffix(got, "deleted  Node  n1\n") {
		t.Errorf("of several kinds:\n%s", got)
	}
}

// A program reads one JSON document a line.
func TestChangesForPrograms(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(changes(t, output{formatJSON}, "nodes")), "\n")
	if len(lines) != 4 {
		t.Fatalf("%q", lines)
	}
	var last change
	if err := json.Unmarshal([]byte(lines[3]), &last); err != nil || last.Event != eventDelete || last.Index != 11 || last.Object != nil {
		t.Errorf("%s: %v", lines[3], err)
	}
	if got := changes(t, output{formatYAML}, "nodes"); strings.Count(got, "---\n") != 4 {
		t.Errorf("the YAML is\n%s", got)
	}
}

func TestWhatMovesByItselfIsNoChange(t *testing.T) {
	found, err := findKinds("nodes")
	if err != nil {
		t.Fatal(err)
	}
	var to bytes.Buffer
	p := &changePrinter{to: &to, out: output{formatName}, kinds: found}
	at := func(age string, ready string) map[string]json.RawMessage {
		return map[string]json.RawMessage{"n1": json.RawMessage(`{"name":"n1","feeds":[{"ageSeconds":` + age + `}],"ready":` + ready + `}`)}
	}
	for i, step := range []struct {
		before, now map[string]json.RawMessage
		want        string
	}{
		{nil, at("1", "3"), "node/n1\n"},
		{at("1", "3"), at("2.5", "3"), ""},
		{at("1", "3"), at("1", "2"), "node/n1\n"},
		{at("1", "3"), nil, "node/n1\n"},
	} {
		to.Reset()
		if err := p.compare(found[0], step.before, step.now); err != nil || to.String() != step.want {
			t.Errorf("step %d shows %q, %v", i, to.String(), err)
		}
	}
}
