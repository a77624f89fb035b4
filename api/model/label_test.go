package model

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

// What a label is, as RFC 1123 says it.
var labelPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

func TestValidateLabelIsRFC1123(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(
			rapid.StringMatching(`[-a-z0-9]{1,64}`), rapid.StringMatching(`[-a-z0-9A-Z_./é\n]{0,5}`), rapid.String(),
		).Draw(t, "value")
		want := len(s) <= 63 && labelPattern.MatchString(s)
		if err := ValidateLabel("name", s); (err == nil) != want {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

func BenchmarkValidateLabel(b *testing.B) {
	for b.Loop() {
		if ValidateLabel("service", "a-service-with-a-name") != nil {
			b.Fatal("not valid")
		}
	}
}
