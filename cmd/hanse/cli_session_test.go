package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/cluster-agent/uplink"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// session is an operator's shell: a home, a folder with files, and the sockets that its commands talk to.
type session struct {
	*federation
	home, agent, proxy string
	// said is called when a command has written something that it will follow.
	said func()
}

// newSession begins in a folder with a copy of testdata/files.
func newSession(t *testing.T) *session {
	s := &session{home: ownHome(t), federation: newFederation(t), agent: agentFolder(t), proxy: proxyFolder(t)}
	files, err := filepath.Abs(filepath.Join("testdata", "files"))
	if err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(s.home, "work")
	if err := os.CopyFS(work, os.DirFS(files)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(work)
	t.Setenv("HANSE_SOCKET", s.socket)
	return s
}

// agentFolder is the data folder of an agent that believes two members.
func agentFolder(t *testing.T) string {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	site := newSite(t, t.TempDir(), own)
	for _, p := range []peer{own, us} {
		if err := site.introduce(p.bundle(t), p.Name != own.Name, true); err != nil {
			t.Fatal(err)
		}
	}
	sites, err := vm.New(vm.Config{
		Dir: t.TempDir(), TrustDomain: own.TrustDomain, Cluster: own.Name, Federation: "acme", Signer: siteSigner{own.authority, site.clock}, Peer: sitePeer,
		Clock: site.clock, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return servePart(t, &agentParts{
		core: site.siteCore, site: sites, clock: site.clock, member: site.siteCore.member, instance: "instance-1", authority: own.authority,
		siteAddress: "127.0.0.1:7710", uplink: uplink.New(uplink.Config{Cluster: own.Name}),
	})
}

// proxyFolder is the data folder of a proxy without an Envoy.
func proxyFolder(t *testing.T) string {
	dir := shortDir(t)
	l, err := listenSocket(filepath.Join(dir, adminSocketName))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveHTTP(ctx, l, drainable(dir).adminHandler()) }()
	t.Cleanup(func() { cancel(); <-done })
	return dir
}

// invoked is what a command line did.
type invoked struct {
	out, err string
	failure  error
}

// run runs a command line as a shell would: words, quotes, a file for standard input.
func (s *session) run(ctx context.Context, line string) invoked {
	s.t.Helper()
	line, file, redirected := strings.Cut(line, " < ")
	var in io.Reader = strings.NewReader("")
	if redirected {
		data, err := os.ReadFile(strings.TrimSpace(file))
		if err != nil {
			s.t.Fatal(err)
		}
		in = bytes.NewReader(data)
	}
	args := words(s.t, line)[1:]
	s.t.Setenv("HANSE_DATA_DIR", s.dataDir(args))
	root := newRootCommand()
	var out, errOut lockedBuffer
	if strings.Contains(line, "--watch") {
		out.wrote = s.said
	}
	root.SetIn(in)
	root.SetOut(&out)
	root.SetErr(&errOut)
	root.SetArgs(args)
	failure := root.ExecuteContext(ctx)
	return invoked{out.String(), errOut.String(), failure}
}

// dataDir is the folder of the role that a command is about: a new one for those that begin.
func (s *session) dataDir(args []string) string {
	line := strings.Join(args, " ") + " "
	switch {
	case strings.HasPrefix(line, "proxy drain ") || strings.HasPrefix(line, "proxy undrain "):
		return s.proxy
	case strings.HasPrefix(line, "agent ") && !strings.HasPrefix(line, "agent -"), strings.HasPrefix(line, "trust "), strings.HasPrefix(line, "gateway "),
		strings.HasPrefix(line, "service vips"), strings.HasPrefix(line, "token create workload"):
		return s.agent
	default:
		return s.t.TempDir()
	}
}

// lockedBuffer takes what several goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	// wrote is called after each piece.
	wrote func()
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrote != nil {
		defer b.wrote()
	}
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// words splits a line at spaces outside of quotes.
func words(t *testing.T, line string) []string {
	t.Helper()
	var out []string
	var word strings.Builder
	begun, quote := false, rune(0)
	for _, r := range line + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case quote == 0 && r == ' ':
			if begun {
				out = append(out, word.String())
			}
			begun = false
			word.Reset()
		default:
			begun = true
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		t.Fatalf("%q has an open quote", line)
	}
	return out
}

var (
	serialPattern = regexp.MustCompile(`SERIALNUMBER=[0-9a-f]+`)
	sha256Pattern = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	goPattern     = regexp.MustCompile(`go1\.[0-9.]+[^\s",]*`)
	apartPattern  = regexp.MustCompile(`\S+ behind the nodes' clocks`)
	askedPattern  = regexp.MustCompile(`("federation": "acme",\s+"at": )"[^"]+"`)
	platform      = regexp.MustCompile(`linux/[a-z0-9]+`)
)

// masked replaces what differs from run to run.
func (s *session) masked(text string) string {
	text = sha256Pattern.ReplaceAllString(text, "SHA256")
	text = serialPattern.ReplaceAllString(text, "SERIALNUMBER=N")
	text = goPattern.ReplaceAllString(text, "GO")
	text = apartPattern.ReplaceAllString(text, "YEARS behind the nodes' clocks")
	text = askedPattern.ReplaceAllString(text, `${1}"NOW"`)
	text = platform.ReplaceAllString(text, "PLATFORM")
	return strings.NewReplacer(s.home, "HOME", s.socket, "SOCKET", s.agent, "AGENT", s.proxy, "PROXY").Replace(text)
}

// play runs the commands of a transcript and returns the transcript as it should be.
func (s *session) play(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			fmt.Fprintln(&out, line)
		}
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		did := s.run(s.t.Context(), command)
		fmt.Fprintf(&out, "$ %s\n%s", command, s.masked(did.out))
		for l := range strings.Lines(s.masked(did.err)) {
			fmt.Fprintf(&out, "! %s", l)
		}
		if did.failure != nil && !quiet(did.failure) {
			fmt.Fprintf(&out, "! hanse: %s\n", strings.ReplaceAll(s.masked(did.failure.Error()), "\n", "\n! "))
		}
		if code := exitCodeOf(did.failure); code != exitOK {
			fmt.Fprintf(&out, "[exit code %d]\n", code)
		}
		fmt.Fprintln(&out)
	}
	return out.String()
}

func exitCodeOf(err error) int {
	if err == nil {
		return exitOK
	}
	return codeOf(err)
}

// Every transcript is played against a federation of its own.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "transcripts", "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			path, err := filepath.Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := newSession(t).play(string(want))
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("run with -update and look at the difference:\n%s", strings.Join(diffLines(strings.Split(string(want), "\n"), strings.Split(got, "\n")), "\n"))
			}
		})
	}
}
