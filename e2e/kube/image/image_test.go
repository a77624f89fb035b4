package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// read returns an archive's entries by name.
func read(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	entries := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		entries[h.Name] = text
	}
}

func sample(t *testing.T) Image {
	t.Helper()
	source := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, []byte("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	return Image{Name: "docker.io/a/b:1", Layers: [][]File{Base(), {{Path: "program", Source: source}}}, Entrypoint: []string{"/program"}}
}

func TestAnArchiveNamesItsLayersByTheirDigests(t *testing.T) {
	image := sample(t)
	var first, second bytes.Buffer
	if err := image.write(&first); err != nil {
		t.Fatal(err)
	}
	if err := image.write(&second); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same image gives different archives")
	}
	entries := read(t, first.Bytes())
	var c config
	if err := json.Unmarshal(entries["config.json"], &c); err != nil {
		t.Fatal(err)
	}
	for i, id := range c.RootFS.DiffIDs {
		if got := fmt.Sprintf("sha256:%x", sha256.Sum256(entries[fmt.Sprintf("layer%d.tar", i)])); got != id {
			t.Errorf("layer %d has the digest %s, the configuration says %s", i, got, id)
		}
	}
	if layer := read(t, entries["layer1.tar"]); len(c.RootFS.DiffIDs) != 2 || string(layer["program"]) != "content" {
		t.Errorf("%d layers, the second holds %v", len(c.RootFS.DiffIDs), layer)
	}
}

func TestAnImageIsWrittenAgainWhenAFileChanges(t *testing.T) {
	image, dir := sample(t), t.TempDir()
	store := func() string {
		t.Helper()
		paths, err := Store(dir, []Image{image})
		if err != nil {
			t.Fatal(err)
		}
		return paths[0]
	}
	first := store()
	if again := store(); again != first {
		t.Errorf("the same image is kept as %s and as %s", first, again)
	}
	if err := os.WriteFile(image.Layers[1][0].Source, []byte("other content"), 0o755); err != nil {
		t.Fatal(err)
	}
	if changed := store(); changed == first {
		t.Error("an image with another file is kept under the same name")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("%d files are left, want the newest image alone", len(left))
	}
}
