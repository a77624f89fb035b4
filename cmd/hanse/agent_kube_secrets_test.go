package main

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/internal/clock"
)

func (c *cluster) store(dir string, at clock.Clock) *secretStore {
	return newSecretStore(c.CoreV1().Secrets("hanse-system"), dir, at, slog.New(slog.DiscardHandler))
}

func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func holds(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s has %.40q (%v), want %.40q", name, got, err, want)
		}
	}
}

// noise does not compress.
func noise(n int) string {
	var seed [32]byte
	out := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(out)
	return string(out)
}

func TestANewPodHasWhatTheLastOneHad(t *testing.T) {
	c, now := newCluster(), clock.NewFake(start)
	files := map[string]string{
		memberFile: "{}", agentKeyFile: "key", agentChainFile: "chain", siteCAName + ".pem": "ca", siteKeyFile: "site", epochFile: "7\n", bundlesFile: "[]",
		cacheFile: noise(2*maxCachePart + 5), filepath.Join(siteFolder, "tokens.json"): "tokens", filepath.Join(siteFolder, "enrolments.json"): "enrolments",
	}
	was := t.TempDir()
	put(t, was, files)
	put(t, was, map[string]string{"lock": "", "admin.sock": ""})
	c.store(was, now).flush(t.Context())
	next := t.TempDir()
	if err := c.store(next, now).restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, next, files)
	if _, err := os.Stat(filepath.Join(next, "lock")); err == nil {
		t.Error("the lock of the last pod came along")
	}
}

func TestARestartedContainerKeepsItsNewerFolder(t *testing.T) {
	c, now := newCluster(), clock.NewFake(start)
	was := t.TempDir()
	put(t, was, map[string]string{agentKeyFile: "key", epochFile: "7"})
	c.store(was, now).flush(t.Context())
	put(t, was, map[string]string{epochFile: "8"})
	if err := c.store(was, now).restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, was, map[string]string{epochFile: "8"})
}

func TestAnotherAgentsKeysAreNotWrittenOver(t *testing.T) {
	for _, name := range settledFiles {
		c, now := newCluster(), clock.NewFake(start)
		was, other := t.TempDir(), t.TempDir()
		put(t, was, map[string]string{agentKeyFile: "key", siteCAName + ".pem": "ca"})
		c.store(was, now).flush(t.Context())
		put(t, other, map[string]string{agentKeyFile: "key", siteCAName + ".pem": "ca", name: "another"})
		if err := c.store(other, now).keepIdentity(t.Context()); err == nil || !strings.Contains(err.Error(), "holds another "+name) {
			t.Errorf("%s: got %v", name, err)
		}
		if s, err := c.CoreV1().Secrets("hanse-system").Get(t.Context(), identitySecret, metav1.GetOptions{}); err != nil || bytes.Equal(s.Data[name], []byte("another")) {
			t.Errorf("%s was written over (%v)", name, err)
		}
	}
}

// Every Secret may be the last that a crash lets through; a set that is not whole is never restored.
func TestACrashBetweenTwoSecretsLeavesAWholeCache(t *testing.T) {
	for survivors := range 4 {
		c, now := newCluster(), clock.NewFake(start)
		dir := t.TempDir()
		put(t, dir, map[string]string{agentKeyFile: "key", cacheFile: "one " + noise(2*maxCachePart)})
		s := c.store(dir, now)
		s.flush(t.Context())
		put(t, dir, map[string]string{cacheFile: "two " + noise(2*maxCachePart)})
		s.flush(t.Context())
		put(t, dir, map[string]string{cacheFile: "three " + noise(2*maxCachePart)})
		left := survivors
		s.api = dying{s.api, &left}
		s.flush(t.Context())
		next := t.TempDir()
		fresh := c.store(next, now)
		if err := fresh.restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := "two "
		if survivors == 3 {
			want = "three "
		}
		got, err := os.ReadFile(filepath.Join(next, cacheFile))
		if err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("after %d of 3 Secrets: %.10q (%v), want %q", survivors, got, err, want)
		}
		if whole := map[bool]uint64{false: 2, true: 3}[survivors == 3]; fresh.cache.generation != whole {
			t.Errorf("after %d of 3 Secrets the next set follows %d, want %d", survivors, fresh.cache.generation, whole)
		}
	}
}

func TestTheKeysAreKeptBeforeAnythingGoesOn(t *testing.T) {
	c, now := newCluster(), clock.NewFake(start)
	dir := t.TempDir()
	put(t, dir, map[string]string{agentKeyFile: "key"})
	s := c.store(dir, now)
	c.away.Store(true)
	said, done := make(chan string, 10), make(chan error, 1)
	go func() { done <- s.keepUntilDone(t.Context(), func(text string) { said <- text }) }()
	if text := <-said; !strings.Contains(text, "keys cannot be kept: connection refused") {
		t.Errorf("it says %q", text)
	}
	if err := now.BlockUntil(patience(t), 1); err != nil {
		t.Fatal(err)
	}
	c.away.Store(false)
	now.Advance(mirrorInterval)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got, err := c.CoreV1().Secrets("hanse-system").Get(t.Context(), identitySecret, metav1.GetOptions{}); err != nil || string(got.Data[agentKeyFile]) != "key" {
		t.Errorf("got %v, %v", got, err)
	}
}

// While the API server is away nothing is lost: what changed meanwhile is written when it is back.
func TestTheMirrorCatchesUp(t *testing.T) {
	c, now := newCluster(), clock.NewFake(start)
	dir := t.TempDir()
	put(t, dir, map[string]string{agentKeyFile: "key", epochFile: "1"})
	s := c.store(dir, now)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	tick := func(n int) {
		for range n {
			if err := now.BlockUntil(patience(t), 1); err != nil {
				t.Fatal(err)
			}
			now.Advance(mirrorInterval)
		}
		if err := now.BlockUntil(patience(t), 1); err != nil {
			t.Fatal(err)
		}
	}
	epoch := func() string {
		held, err := c.CoreV1().Secrets("hanse-system").Get(t.Context(), identitySecret, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return string(held.Data[epochFile])
	}
	tick(1)
	if got := epoch(); got != "1" {
		t.Fatalf("epoch %q is kept", got)
	}
	c.away.Store(true)
	put(t, dir, map[string]string{epochFile: "2"})
	tick(300)
	c.away.Store(false)
	tick(6)
	if got := epoch(); got != "2" {
		t.Errorf("epoch %q is kept after the API server is back, want 2", got)
	}
	cancel()
	<-done
}

// dying lets some writes through, and no more.
type dying struct {
	secretAPI
	left *int
}

func (d dying) Update(ctx context.Context, s *corev1.Secret, opts metav1.UpdateOptions) (*corev1.Secret, error) {
	if *d.left == 0 {
		return nil, context.Canceled
	}
	*d.left--
	return d.secretAPI.Update(ctx, s, opts)
}

func (d dying) Create(ctx context.Context, s *corev1.Secret, opts metav1.CreateOptions) (*corev1.Secret, error) {
	if *d.left == 0 {
		return nil, context.Canceled
	}
	*d.left--
	return d.secretAPI.Create(ctx, s, opts)
}
