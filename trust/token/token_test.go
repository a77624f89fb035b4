package token

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

var pin = bytes.Repeat([]byte{7}, sha256.Size)

func sample(t rapid.TB, seed byte) Token {
	t.Helper()
	entropy := bytes.Repeat([]byte{seed, seed ^ 0x5a, 3}, 13)
	tok, err := New(model.TokenCluster, bytes.NewReader(entropy), "acme", pin, []string{"a.example:7400", "[::1]:7400"})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func equal(a, b Token) bool {
	return a.Kind == b.Kind && a.ID == b.ID && a.Secret == b.Secret && a.Issuer == b.Issuer &&
		bytes.Equal(a.Pin, b.Pin) && slices.Equal(a.Addresses, b.Addresses)
}

func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(Kinds).Draw(t, "kind")
		entropy := rapid.SliceOfN(rapid.Byte(), 39, 39).Draw(t, "entropy")
		want, err := New(kind, bytes.NewReader(entropy), "acme", pin, []string{"a.example:7400"})
		if err != nil {
			t.Fatal(err)
		}
		text := want.String()
		if !strings.HasPrefix(text, "hanse-"+string(kind)+"-1.") {
			t.Fatalf("text begins with %q", text[:20])
		}
		cut := rapid.IntRange(0, len(text)).Draw(t, "wrap")
		got, err := Parse(" " + text[:cut] + "\n  " + text[cut:] + "\n")
		if err != nil {
			t.Fatal(err)
		}
		if !equal(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestEveryTruncationIsNamed(t *testing.T) {
	text := sample(t, 1).String()
	for n := len("hanse-cluster-1."); n < len(text); n++ {
		if _, err := Parse(text[:n]); !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut to %d of %d characters: %v, want ErrTruncated", n, len(text), err)
		}
	}
}

func TestNoChangedCharacterPasses(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	rapid.Check(t, func(t *rapid.T) {
		tok := sample(t, rapid.Byte().Draw(t, "seed"))
		text := []byte(tok.String())
		at := rapid.IntRange(len("hanse-cluster-1."), len(text)-1).Draw(t, "at")
		c := rapid.SampledFrom([]byte(alphabet)).Filter(func(b byte) bool { return b != text[at] }).Draw(t, "char")
		text[at] = c
		_, err := Parse(string(text))
		if err == nil {
			t.Fatalf("accepted a token with character %d changed", at)
		}
		if strings.Contains(err.Error(), tok.Secret) {
			t.Fatalf("error reveals the secret: %v", err)
		}
	})
}

func TestRelabelledKindIsRefused(t *testing.T) {
	text := strings.Replace(sample(t, 2).String(), "hanse-cluster-", "hanse-operator-", 1)
	if _, err := Parse(text); !errors.Is(err, ErrMistyped) {
		t.Fatalf("got %v, want ErrMistyped", err)
	}
}

func TestParseErrors(t *testing.T) {
	good := sample(t, 3).String()
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"empty":         {"", ErrNotToken},
		"word":          {"let-me-in", ErrNotToken},
		"unknown kind":  {"hanse-king-1.AAAA", ErrNotToken},
		"newer version": {strings.Replace(good, "-1.", "-2.", 1), ErrNotToken},
		"prefix only":   {"hanse-cluster-1", ErrTruncated},
		"bad alphabet":  {good[:40] + "!" + good[41:], ErrMistyped},
		"doubled":       {good + good[len("hanse-cluster-1."):], ErrMistyped},
		"too long":      {"hanse-cluster-1." + strings.Repeat("A", maxText), ErrNotToken},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(c.text); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestParseNeverPanics(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "data")
		_, _ = Parse("hanse-node-1." + encoding.EncodeToString(data))
		_, _ = Parse("hanse-node-1." + string(data))
	})
}

func TestRequireNamesBothKinds(t *testing.T) {
	tok := sample(t, 4)
	if err := tok.Require(model.TokenCluster); err != nil {
		t.Fatal(err)
	}
	err := tok.Require(model.TokenNode)
	if err == nil || !strings.Contains(err.Error(), "cluster token") || !strings.Contains(err.Error(), "node token") {
		t.Fatalf("error does not name both kinds: %v", err)
	}
}

func TestNewRefusesWhatParseWould(t *testing.T) {
	entropy := func() *bytes.Reader { return bytes.NewReader(make([]byte, 39)) }
	for name, create := range map[string]func() (Token, error){
		"kind":      func() (Token, error) { return New("king", entropy(), "acme", pin, []string{"a:1"}) },
		"pin":       func() (Token, error) { return New(Workload, entropy(), "acme", pin[:4], []string{"a:1"}) },
		"no issuer": func() (Token, error) { return New(Workload, entropy(), "", pin, []string{"a:1"}) },
		"address":   func() (Token, error) { return New(Workload, entropy(), "acme", pin, []string{"nowhere"}) },
		"port":      func() (Token, error) { return New(Workload, entropy(), "acme", pin, []string{"a:99999"}) },
		"IPv6":      func() (Token, error) { return New(Workload, entropy(), "acme", pin, []string{"::1:7400"}) },
		"no host":   func() (Token, error) { return New(Workload, entropy(), "acme", pin, []string{":7400"}) },
		"entropy":   func() (Token, error) { return New(Workload, bytes.NewReader(nil), "acme", pin, []string{"a:1"}) },
	} {
		if _, err := create(); err == nil {
			t.Errorf("%s: New accepted it", name)
		}
	}
}

func TestHash(t *testing.T) {
	want := sha256.Sum256([]byte("secret"))
	if !bytes.Equal(Hash("secret"), want[:]) {
		t.Fatal("Hash is not SHA-256 of the secret")
	}
}
