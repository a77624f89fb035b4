package relay

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestFileRoundTripAndDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[SCELR]:[a-f]{1,8}=[0-9]{1,3}`)
		chosen := rapid.SliceOfDistinct(word, func(w string) string { return w[:len(w)-len(w[indexOf(w, '='):])] }).Draw(t, "words")
		h := newHeld()
		in := set(chosen...)
		for _, ty := range xds.Types {
			resp := &discovery.DeltaDiscoveryResponse{TypeUrl: ty}
			for _, r := range in[ty] {
				resp.Resources = append(resp.Resources, &discovery.Resource{Name: r.Name, Version: r.Version, Resource: r.Body})
			}
			if _, err := h.apply(resp); err != nil {
				t.Fatal(err)
			}
		}
		want := words(h.set())
		data, err := encode(h.set())
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(data)
		if err != nil || words(back.set()) != want {
			t.Fatalf("read back %q, %v; want %q", words(back.set()), err, want)
		}
		data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		if _, err := decode(data); err == nil {
			t.Fatal("a changed byte was not noticed")
		}
		if _, err := decode(data[:rapid.IntRange(0, len(data)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a cut file was not noticed")
		}
	})
}

func indexOf(s string, c byte) int {
	for i := range s {
		if s[i] == c {
			return i
		}
	}
	return len(s)
}

// A file whose checksum is right but which lacks a type was not written by us; it must not be served as complete.
func TestIncompleteFileIsNotServed(t *testing.T) {
	h, err := decode(must(t, nil))
	if err != nil || !h.complete() {
		t.Fatalf("an empty complete set was refused: %v", err)
	}
	types := xds.Types
	defer func() { xds.Types = types }()
	xds.Types = types[:4]
	data := must(t, nil)
	xds.Types = types
	if _, err := decode(data); err == nil {
		t.Fatal("a set without routes was taken for complete")
	}
}

func must(t *testing.T, r xds.Resources) []byte {
	t.Helper()
	data, err := encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestWritesAreCoalesced(t *testing.T) {
	fake := clock.NewFake(time.Unix(0, 0))
	r := New(Config{Dir: t.TempDir(), Clock: fake, Logger: logger(io.Discard)})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.write(ctx) }()
	holds := func(when, want string) {
		t.Helper()
		h, err := load(filepath.Join(r.cfg.Dir, fileName))
		if err != nil {
			t.Fatal(err)
		}
		if got := words(h.set()); got != want {
			t.Fatalf("%s the file holds %q, want %q", when, got, want)
		}
	}
	// collects gives the writer a set and waits until it has begun to wait for more.
	collects := func(word string) {
		t.Helper()
		r.unsaved <- set(word)
		if err := fake.BlockUntil(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	r.unsaved <- set("C:a=1")
	collects("C:a=2")
	for _, w := range []string{"C:a=3", "C:a=4"} {
		r.queue(set(w))
	}
	holds("where there was none, at once", "C:a=1")
	fake.Advance(saveDelay)
	collects("C:a=5")
	holds("after the pause", "C:a=4")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	holds("at the end", "C:a=5")
	r.queue(set("C:a=6"))
	r.flush()
	holds("after the end", "C:a=6")
	info, err := os.Stat(filepath.Join(r.cfg.Dir, fileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file's mode is %v, %v; want 0600", info.Mode(), err)
	}
}
