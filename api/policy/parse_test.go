package policy

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const good = `# Regions of the shop.
kind: FailoverPolicy
name: shop
spec:
  namespace: shop
  failover:
  - from: eu
    to: [us, ap]
  - from: "*"
    to: [eu]
    only: true
---
# nothing here
---
kind: ExportRule
name: open
spec:
  from: [a]
  namespaces: ["*"]
  to:
    - b
`

func TestParseDocuments(t *testing.T) {
	want := []Document{
		{Kind: KindFailoverPolicy, Policy: &FailoverPolicy{Name: "shop", Spec: FailoverPolicySpec{Namespace: "shop",
			Failover: []RegionOrder{{From: "eu", To: []string{"us", "ap"}}, {From: "*", To: []string{"eu"}, Only: true}}}}},
		{Kind: KindExportRule, Policy: &ExportRule{Name: "open", Spec: ExportRuleSpec{From: []string{"a"}, Namespaces: []string{"*"}, To: []string{"b"}}}},
	}
	for name, text := range map[string]string{
		"yaml":          good,
		"windows lines": strings.ReplaceAll(good, "\n", "\r\n"),
		"json": `{"kind": "FailoverPolicy", "name": "shop", "spec": {"namespace": "shop", "failover": [
	{"from": "eu", "to": ["us", "ap"]}, {"from": "*", "to": ["eu"], "only": true}]}}` + "\n---\n" +
			`{"kind":"ExportRule","name":"open","spec":{"from":["a"],"namespaces":["*"],"to":["b"]}}`,
	} {
		got, err := ParseDocuments("f.yaml", []byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	if want[0].Name() != "shop" || want[1].Name() != "open" || !reflect.DeepEqual(want[1].Spec(), want[1].Policy.(*ExportRule).Spec) || !reflect.DeepEqual(want[0].Spec(), want[0].Policy.(*FailoverPolicy).Spec) {
		t.Error("name or spec of a document")
	}
}

func TestParseDocumentsSaysWhereAndWhat(t *testing.T) {
	head := "kind: FailoverPolicy\nname: x\n"
	tests := []struct{ name, text, want string }{
		{"unknown field", head + "spec:\n  failover:\n  - from: eu\n    too: [us]\n", `f.yaml:6: document 1: spec.failover[0].too: unknown field: did you mean "to"?`},
		{"unknown field in braces", head + "spec:\n  failover: [{from: eu, too: [us]}]\n", `f.yaml:4: document 1: spec.failover[0].too: unknown field`},
		{"in json", "{\n  \"kind\": \"ExportRule\",\n  \"name\": \"x\",\n  \"spec\": {\n    \"form\": []\n  }\n}", `f.yaml:5: document 1: spec.form: unknown field: did you mean "from"?`},
		{"nothing near", head + "spec:\n  weights: 1\n", `f.yaml:4: document 1: spec.weights: unknown field: give one of namespace, services, failover`},
		{"a field of another level", head + "to: [us]\nspec:\n  failover:\n  - from: eu\n    to: [us]\n", `f.yaml:3: document 1: to: unknown field`},
		{"the same name is right elsewhere", head + "spec:\n  failover:\n  - from: eu\n    to: [us]\n  to: [us]\n", `f.yaml:7: document 1: spec.to: unknown field`},
		{"the same name is right above", head + "spec:\n  name: y\n", `f.yaml:4: document 1: spec.name: unknown field`},
		{"upper case", "kind: FailoverPolicy\nNAME: x\n", `f.yaml:2: document 1: NAME: unknown field: did you mean "name"?`},
		{"second document", good + "---\n" + head + "spce: {}\n", `f.yaml:25: document 3: spce: unknown field: did you mean "spec"?`},
		{"kind", "\nkind: FailoverPolicie\n", `f.yaml:2: document 1: kind: "FailoverPolicie" is not known: did you mean "FailoverPolicy"?`},
		{"no kind", "name: x\n", `f.yaml:1: document 1: kind: is missing: give one of FailoverPolicy, ExportRule`},
		{"kind is no text", "kind: [x]\n", `kind: is missing`},
		{"norway", head + "spec:\n  failover:\n  - from: no\n    to: [us]\n", `f.yaml:5: document 1: spec.failover[0].from: must be text, but is false: put it in quotes`},
		{"number", "kind: ExportRule\nname: 5\n", `f.yaml:2: document 1: name: must be text, but is 5`},
		{"no list", "kind: ExportRule\nname: x\nspec:\n  from: a\n", `f.yaml:4: document 1: spec.from: must be a list, but is the text "a"`},
		{"no truth value", head + "spec:\n  failover:\n  - only: maybe\n", `f.yaml:5: document 1: spec.failover[0].only: must be true or false`},
		{"no fields", head + "spec: 7\n", `f.yaml:3: document 1: spec: must have the fields namespace, services, failover, but is 7`},
		{"empty item", "kind: ExportRule\nname: x\nspec:\n  from:\n  -\n", `f.yaml:4: document 1: spec.from[0]: is empty`},
		{"syntax", "kind: FailoverPolicy\nname: [\n", `f.yaml:2: document 1: is neither valid YAML nor JSON: did not find expected node content`},
		{"duplicate", "---\nname: x\nname: y\n", `f.yaml:3: document 1: is neither valid YAML nor JSON: key "name" already set in map`},
		{"list", "- a\n", `f.yaml:1: document 1: is not a document`},
		{"text", "hello\n", `f.yaml:1: document 1: is not a document`},
		{"nothing", "# only a comment\n---\n", `f.yaml: has no document`},
		{"meaning", "---\n\n" + head + "spec:\n  failover: []\n", `f.yaml:3: document 1: spec.failover is empty`},
		{"too large", strings.Repeat("#", MaxBytes+1), `f.yaml: has 1048577 bytes, more than the 1048576 allowed`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, err := ParseDocuments("f.yaml", []byte(tt.text))
			if err == nil || docs != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestParseDocumentsTellsSeveralFaultsInOrder(t *testing.T) {
	_, err := ParseDocuments("f", []byte("kind: ExportRule\nzone: x\nname: x\narea: y\nspec:\n  form: [a]\n"))
	want := "f:2: document 1: zone: unknown field: did you mean \"name\"?"
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "f:2:") || !strings.HasPrefix(lines[1], "f:4:") || !strings.HasPrefix(lines[2], "f:6:") {
		t.Errorf("got %q, want three lines like %q", lines, want)
	}
	_, err = ParseDocuments("f", []byte("kind: ExportRule\n"+strings.Repeat("---\nx: 1\n", 50)))
	if n := strings.Count(err.Error(), "\n") + 1; n != maxErrors {
		t.Errorf("%d errors are told", n)
	}
}

func genNameOrAny() *rapid.Generator[string] { return rapid.StringMatching(`\*|[a-z0-9]{1,5}`) }

func genDocument(t *rapid.T) Document {
	names := func(label string) []string { return rapid.SliceOfN(genNameOrAny(), 0, 3).Draw(t, label) }
	name := rapid.StringMatching(`[a-z]([-a-z0-9]{0,5}[a-z])?`).Draw(t, "name")
	if rapid.Bool().Draw(t, "export") {
		return Document{Kind: KindExportRule, Policy: &ExportRule{Name: name, Spec: ExportRuleSpec{names("from"), names("namespaces"), names("services"), names("to")}}}
	}
	p := &FailoverPolicy{Name: name, Spec: FailoverPolicySpec{Namespace: rapid.SampledFrom([]string{"", "*", "shop"}).Draw(t, "namespace"), Services: names("services")}}
	for range rapid.IntRange(0, 3).Draw(t, "orders") {
		p.Spec.Failover = append(p.Spec.Failover, RegionOrder{genNameOrAny().Draw(t, "from"), names("to"), rapid.Bool().Draw(t, "only")})
	}
	return Document{Kind: KindFailoverPolicy, Policy: p}
}

// What is written comes back, and its canonical form is a fixed point, also through the reader of files.
func TestCanonicalJSONIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := genDocument(t)
		text, err := d.CanonicalJSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseJSON(d.Kind, text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := back.CanonicalJSON()
		if err != nil || !bytes.Equal(text, again) {
			t.Fatalf("%s became %s, %v", text, again, err)
		}
		_, invalid := d.Validate(nil)
		docs, err := ParseDocuments("f", text)
		if (err == nil) != (invalid == nil) {
			t.Fatalf("valid: %v, but parsing says %v", invalid, err)
		}
		if err == nil && !reflect.DeepEqual(docs[0], back) {
			t.Fatalf("as YAML %+v, as JSON %+v", docs[0], back)
		}
	})
}

func TestCanonicalJSONOfEqualDocumentsIsEqual(t *testing.T) {
	a, _ := Document{Kind: KindExportRule, Policy: &ExportRule{Name: "x"}}.CanonicalJSON()
	b, _ := Document{Kind: KindExportRule, Policy: &ExportRule{Name: "x", Spec: ExportRuleSpec{From: []string{}, Services: []string{}}}}.CanonicalJSON()
	if want := `{"kind":"ExportRule","name":"x","spec":{"from":[],"namespaces":[],"to":[]}}`; string(a) != want || string(b) != want {
		t.Errorf("got %s and %s", a, b)
	}
	c, _ := Document{Kind: KindFailoverPolicy, Policy: &FailoverPolicy{Name: "x", Spec: FailoverPolicySpec{Failover: []RegionOrder{{From: "eu", Only: true}}}}}.CanonicalJSON()
	if want := `{"kind":"FailoverPolicy","name":"x","spec":{"failover":[{"from":"eu","to":[],"only":true}]}}`; string(c) != want {
		t.Errorf("got %s", c)
	}
	if _, err := (Document{}).CanonicalJSON(); err == nil {
		t.Error("an empty document has a form")
	}
}

func TestParseJSON(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"good", `{"name":"x","spec":{"from":["a"],"namespaces":["n"],"to":["b"]}}`, ""},
		{"names its kind", `{"kind":"ExportRule","name":"x","spec":{}}`, ""},
		{"null spec", `{"name":"x","spec":null}`, ""},
		{"other kind", `{"kind":"FailoverPolicy","name":"x","spec":{}}`, "is of kind FailoverPolicy"},
		{"unknown field", `{"name":"x","spec":{"tos":[]}}`, `spec.tos: unknown field: did you mean "to"?`},
		{"wrong case", `{"Name":"x"}`, `Name: unknown field`},
		{"wrong type", `{"name":7}`, "name: must be text, but is 7"},
		{"two documents", `{"name":"x"}{"name":"y"}`, "followed by something else"},
		{"cut off", `{"name":"x"`, "not valid JSON"},
		{"empty", ``, "not valid JSON"},
		{"null", `null`, "null"},
		{"list", `[]`, "not valid JSON"},
		{"too large", strings.Repeat(" ", MaxBytes+1), "more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseJSON(KindExportRule, []byte(tt.text))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := ParseJSON("Other", []byte(`{}`)); err == nil {
		t.Error("an unknown kind is accepted")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"kind":"ExportRule","name":"x","spec":{"from":["a"]}}`))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("kind: ExportRule\n? [x]\n: y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := ParseDocuments("f", data)
		if (err == nil) != (len(docs) > 0) {
			t.Errorf("%d documents and error %v", len(docs), err)
		}
		for _, k := range Kinds() {
			if d, err := ParseJSON(k, data); err == nil && d.Kind != k {
				t.Errorf("asked for %s, got %s", k, d.Kind)
			}
		}
	})
}
