package dns

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	wire "github.com/miekg/dns"
)

var update = flag.Bool("update", false, "write the golden files anew")

// render is a reply as dig would show it, one record per line.
func render(t *testing.T, r Reply) string {
	t.Helper()
	var m wire.Msg
	if err := m.Unpack(r.Message); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %s", wire.RcodeToString[m.Rcode])
	for _, f := range []struct {
		name string
		set  bool
	}{{"aa", m.Authoritative}, {"tc", m.Truncated}, {"ra", m.RecursionAvailable}} {
		if f.set {
			b.WriteString(" " + f.name)
		}
	}
	b.WriteString("\n")
	for _, section := range []struct {
		name    string
		records []wire.RR
	}{{"answer", m.Answer}, {"authority", m.Ns}, {"additional", m.Extra}} {
		for _, rr := range section.records {
			if rr.Header().Rrtype != wire.TypeOPT {
				fmt.Fprintf(&b, "  %s: %s\n", section.name, strings.ReplaceAll(rr.String(), "\t", " "))
			}
		}
	}
	return b.String()
}

// TestTranscript asks every question of testdata/questions.txt and compares the answers with testdata/transcript.txt.
func TestTranscript(t *testing.T) {
	questions, err := os.ReadFile(filepath.Join("testdata", "questions.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	zone := shop()
	for _, line := range strings.Split(strings.TrimSpace(string(questions)), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			fmt.Fprintln(&b, line)
			continue
		}
		name, qtype, _ := strings.Cut(line, " ")
		number, known := wire.StringToType[qtype]
		if !known {
			t.Fatalf("%q is not NAME TYPE", line)
		}
		fmt.Fprintf(&b, "%s\n%s", line, render(t, Respond(zone, query(name, number, 1232), UDP, 0)))
	}
	path := filepath.Join("testdata", "transcript.txt")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("the answers differ from %s: if that is meant, run the test with -update and read the difference\n%s", path, b.Bytes())
	}
}
