package identity

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestKeyIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "agent.key")
	first, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Public().(*ecdsa.PublicKey).Equal(again.Public()) {
		t.Fatal("a second call made another key")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

func TestADamagedKeyIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.key")
	for _, text := range []string{"", "noise", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreateKey(path); err == nil {
			t.Fatalf("took %q for a key", text)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != text {
			t.Fatalf("the file was changed: %q, %v", data, err)
		}
	}
}

func TestChainOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.crt")
	if _, err := LoadChain(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	c, _ := newSource(t, clock.NewFake(start), newIssuer(t, "acme"), "spiffe://acme/server/n1", start).Get()
	if err := SaveChain(path, c.Chain); err != nil {
		t.Fatal(err)
	}
	got, err := LoadChain(path)
	if err != nil || len(got) != len(c.Chain) {
		t.Fatalf("%d certificates, %v", len(got), err)
	}
	for i := range got {
		if !bytes.Equal(got[i], c.Chain[i]) {
			t.Fatalf("certificate %d is another", i)
		}
	}
	if err := os.WriteFile(path, []byte("noise"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadChain(path); err == nil {
		t.Fatal("noise was taken for a chain")
	}
}
