package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// settings are flags of every type that the roles use.
type settings struct {
	name    string
	servers []string
	ports   []string
	ttl     time.Duration
	number  uint16
	export  bool
}

// configured parses a command line and fills the rest from environment and file.
func configured(args ...string) (settings, error) {
	var s settings
	cmd := &cobra.Command{Use: "role"}
	f := cmd.Flags()
	f.String("config", "", "")
	f.StringVar(&s.name, "name", "default", "")
	f.StringSliceVar(&s.servers, "server", []string{"default:1"}, "")
	f.StringArrayVar(&s.ports, "port", nil, "")
	f.DurationVar(&s.ttl, "token-ttl", time.Hour, "")
	f.Uint16Var(&s.number, "inbound-port", 7721, "")
	f.BoolVar(&s.export, "export", false, "")
	if err := cmd.ParseFlags(args); err != nil {
		return s, err
	}
	err := applyConfig(cmd)
	return s, err
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hanse.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// usage checks that the error is the caller's and says each of the texts.
func usage(t *testing.T, err error, says ...string) {
	t.Helper()
	var coded codedError
	if !errors.As(err, &coded) || coded.code != exitUsage {
		t.Fatalf("not a usage error: %v", err)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	path := file(t, "name: file\ntoken-ttl: 5m\ninbound-port: 9\nserver: [a:1, b:2]\n")
	t.Setenv("HANSE_NAME", "environment")
	t.Setenv("HANSE_TOKEN_TTL", "7m")
	s, err := configured("--config", path, "--name", "flag")
	if err != nil {
		t.Fatal(err)
	}
	if s.name != "flag" || s.ttl != 7*time.Minute || s.number != 9 || !slices.Equal(s.servers, []string{"a:1", "b:2"}) {
		t.Errorf("settings are %+v", s)
	}
}

func TestWhatNobodySetsKeepsItsDefault(t *testing.T) {
	s, err := configured()
	if err != nil {
		t.Fatal(err)
	}
	if s.name != "default" || s.ttl != time.Hour || !slices.Equal(s.servers, []string{"default:1"}) {
		t.Errorf("settings are %+v", s)
	}
}

// A variable that is set to nothing is set: an operator can undo what the file says.
func TestAnEmptyVariableCounts(t *testing.T) {
	t.Setenv("HANSE_NAME", "")
	s, err := configured("--config", file(t, "name: file\n"))
	if err != nil || s.name != "" {
		t.Errorf("name is %q, %v", s.name, err)
	}
}

func TestTheFileCanBeNamedByTheEnvironment(t *testing.T) {
	t.Setenv("HANSE_CONFIG", file(t, "name: file\n"))
	if s, err := configured(); err != nil || s.name != "file" {
		t.Errorf("name is %q, %v", s.name, err)
	}
	if s, err := configured("--config", file(t, "name: other\n")); err != nil || s.name != "other" {
		t.Errorf("with the flag, name is %q, %v", s.name, err)
	}
}

func TestListsAndMapsOfAFile(t *testing.T) {
	s, err := configured("--config", file(t, `
export: true
server: one:1
port:
  - {name: http, number: 8080, protocol: http, target: "127.0.0.1:8080"}
  - name=lines,number=9000,protocol=tcp,target=127.0.0.1:9000
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"name=http,number=8080,protocol=http,target=127.0.0.1:8080", "name=lines,number=9000,protocol=tcp,target=127.0.0.1:9000"}
	if !slices.Equal(s.ports, want) || !slices.Equal(s.servers, []string{"one:1"}) || !s.export {
		t.Errorf("settings are %+v", s)
	}
}

func TestANumberStaysAsItIsWritten(t *testing.T) {
	s, err := configured("--config", file(t, "name: 1234567\n"))
	if err != nil || s.name != "1234567" {
		t.Errorf("name is %q, %v", s.name, err)
	}
}

func TestConfigurationErrorsNameFileAndKey(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		says []string
	}{
		"unknown key":   {"name: a\nlistne: b\n", []string{"listne", "--help"}},
		"no value":      {"name:\n", []string{"name", "no value"}},
		"no value deep": {"port: [{name: }]\n", []string{"port", "no value"}},
		"wrong type":    {"token-ttl: soon\n", []string{"token-ttl", "soon"}},
		"out of range":  {"inbound-port: 70000\n", []string{"inbound-port"}},
		"not YAML":      {"name: a\n b: c: d\n", []string{"not valid YAML", "line 2"}},
		"twice":         {"name: a\nname: b\n", []string{"not valid YAML", "name"}},
		"no map":        {"- a\n", []string{"keys and values"}},
		"a bare no":     {"name: no\n", []string{"name", "quotes"}},
		"a list":        {"name: [a, b]\n", []string{"name", "one value"}},
		"a second file": {"config: other.yaml\n", []string{"config", "unknown key"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, c.text)
			_, err := configured("--config", path)
			usage(t, err, append(c.says, path)...)
		})
	}
}

func TestAMissingConfigurationFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	_, err := configured("--config", path)
	usage(t, err, path, "--config")
	if _, err := configured("--config", t.TempDir()); err == nil {
		t.Error("a folder passes for a file")
	}
}

func TestEnvironmentErrorsNameTheVariable(t *testing.T) {
	t.Setenv("HANSE_TOKEN_TTL", "soon")
	_, err := configured()
	usage(t, err, "HANSE_TOKEN_TTL", "soon")
}

func TestParsePairs(t *testing.T) {
	got, err := parsePairs("port", "name=http, number=80,target=a=b,empty=", "name", "number", "target", "empty")
	want := map[string]string{"name": "http", "number": "80", "target": "a=b", "empty": ""}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for text, says := range map[string]string{
		"name":            "key=value",
		"":                "key=value",
		"name=a,":         "key=value",
		"nmae=a":          `unknown key "nmae"`,
		"name=a,name=b":   "twice",
		"name=a,,number=": "key=value",
	} {
		_, err := parsePairs("port", text, "name", "number")
		usage(t, err, "--port", says)
	}
}

func TestLogOptions(t *testing.T) {
	for _, good := range []logOptions{{"info", "text"}, {"DEBUG", "json"}, {"error", "text"}} {
		if l, err := good.logger(); err != nil || l == nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	_, err := (&logOptions{"loud", "text"}).logger()
	usage(t, err, "--log-level", "loud")
	_, err = (&logOptions{"info", "xml"}).logger()
	usage(t, err, "--log-format", "xml")
}
