package policy

import (
	"strings"
	"testing"
)

func TestSelectors(t *testing.T) {
	labels := Labels{"team": "shop", "hanse.dev/set": "base", "empty": ""}
	for text, want := range map[string]bool{
		"": true, " ": true, "team=shop": true, "team==shop": true, "team=bank": false, "team!=bank": true, "team!=shop": false,
		"team": true, "other": false, "!other": true, "!team": false, "other!=x": true, "other=": false, "empty=": true,
		"team=shop, hanse.dev/set = base": true, "team=shop,other": false,
	} {
		s, err := ParseSelector(text)
		if err != nil || s.Matches(labels) != want {
			t.Errorf("%q: %v, want %t", text, err, want)
		}
	}
	for _, text := range []string{",", "a=b,", "a b", "=x", "a=b c", "!", "ä=1", strings.Repeat("x", 2000)} {
		if _, err := ParseSelector(text); err == nil {
			t.Errorf("%.20q is taken", text)
		}
	}
}

func TestLabelsOfADocument(t *testing.T) {
	const text = "kind: ExportRule\nname: r\nlabels: {team: shop}\nspec: {from: [a], namespaces: [shop], to: [b]}\n"
	docs, err := ParseDocuments("x.yaml", []byte(text))
	if err != nil || docs[0].Labels()["team"] != "shop" {
		t.Fatalf("%v, %+v", err, docs)
	}
	for bad, says := range map[string]string{
		"labels: {team: 5}": "labels.team: must be text", "labels: [a]": "labels: must be a set of names", "labels: {'a b': c}": "not a label's name",
		"labels: {a: 'b c'}": "not a label's value",
	} {
		_, err := ParseDocuments("x.yaml", []byte(strings.Replace(text, "labels: {team: shop}", bad, 1)))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", bad, err, says)
		}
	}
}

func TestAccessDocuments(t *testing.T) {
	docs, err := ParseDocuments("x.yaml", []byte(`
kind: RoleBinding
name: platform
spec: {role: operator, namespaces: [shop], subjects: [{kind: group, provider: corp, name: platform}]}
---
kind: IdentityProvider
name: corp
spec: {issuer: https://login.example.org, audiences: [hanse], jwksUrl: https://login.example.org/keys}
`))
	if err != nil || len(docs) != 2 {
		t.Fatal(err)
	}
	if warnings, err := docs[0].Validate([]string{"korp"}); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], `did you mean "korp"`) {
		t.Errorf("%v %q", err, warnings)
	}
	other := RoleBinding{Name: "x", Spec: RoleBindingSpec{Role: "viewer", Subjects: []Subject{{Kind: SubjectCertificate, Name: "ann.smith"}, {Kind: SubjectCertificate, Name: "a@b"}}}}
	if warnings, err := other.Validate(nil); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "spec.subjects[1].name") {
		t.Errorf("%v %q", err, warnings)
	}
	for doc, says := range map[string]string{
		"{kind: RoleBinding, name: x, spec: {role: king, subjects: [{kind: certificate, name: a}]}}":                   "spec.role",
		"{kind: RoleBinding, name: x, spec: {role: admin, namespaces: [a], subjects: [{kind: certificate, name: a}]}}": "an admin has no limit",
		"{kind: RoleBinding, name: x, spec: {role: admin, subjects: []}}":                                              "spec.subjects",
		"{kind: RoleBinding, name: x, spec: {role: admin, subjects: [{kind: robot, name: a}]}}":                        "spec.subjects[0].kind",
		"{kind: RoleBinding, name: x, spec: {role: admin, subjects: [{kind: user, name: a}]}}":                         "spec.subjects[0].provider",
		"{kind: RoleBinding, name: x, spec: {role: admin, subjects: [{kind: certificate, name: a, provider: b}]}}":     "spec.subjects[0].provider",
		"{kind: RoleBinding, name: x, spec: {role: admin, subjects: [{kind: certificate, name: ''}]}}":                 "spec.subjects[0].name",
		"{kind: IdentityProvider, name: x, spec: {issuer: nonsense, audiences: [a], jwksUrl: 'https://a/b'}}":          "spec.issuer",
		"{kind: IdentityProvider, name: x, spec: {issuer: 'https://a', audiences: [], jwksUrl: 'https://a/b'}}":        "spec.audiences",
		"{kind: IdentityProvider, name: x, spec: {issuer: 'https://a', audiences: [a]}}":                               "give one of the two",
		"{kind: IdentityProvider, name: x, spec: {issuer: 'https://a', audiences: [a], jwksUrl: 'http://a/b'}}":        "not an https URL",
		"{kind: IdentityProvider, name: x, spec: {issuer: 'https://a', audiences: [a], jwks: 'nonsense'}}":             "not a set of keys",
	} {
		if _, err := ParseDocuments("x.yaml", []byte(doc)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", doc, err, says)
		}
	}
}
