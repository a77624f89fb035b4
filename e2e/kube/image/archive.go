// Package image owns container images that are made of this machine's files: archives that containerd imports, without a registry and
// without a program that builds images.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
)

// Image is a name, a command and files.
type Image struct {
	// Name is the full name with registry and tag, such as docker.io/library/pause:1.
	Name string
	// Layers are put above one another. What changes seldom belongs in the first.
	Layers     [][]File
	Entrypoint []string
	// User is "UID:GID", or empty for root.
	User string
}

// File is one entry of a layer: a link if Link is set, a copy of Source if that is set, otherwise a folder.
type File struct {
	// Path is relative to the image's root.
	Path         string
	Source, Link string
}

type config struct {
	Architecture string       `json:"architecture"`
	OS           string       `json:"os"`
	Config       configParams `json:"config"`
	RootFS       rootFS       `json:"rootfs"`
}

type configParams struct {
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Env        []string `json:"Env"`
	User       string   `json:"User,omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type manifest struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

// Write writes the image as an archive in Docker's format. The same files give the same bytes.
func (i Image) Write(path string) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := i.write(f); err != nil {
		return fmt.Errorf("write image %s: %w", i.Name, err)
	}
	return os.Rename(path+".new", path)
}

func (i Image) write(out io.Writer) error {
	w := tar.NewWriter(out)
	c := config{
		Architecture: runtime.GOARCH, OS: "linux", RootFS: rootFS{Type: "layers"},
		Config: configParams{
			Entrypoint: i.Entrypoint, User: i.User, Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
	}
	m := manifest{Config: "config.json", RepoTags: []string{i.Name}}
	for n, files := range i.Layers {
		layer, err := os.CreateTemp("", "layer-*.tar")
		if err != nil {
			return err
		}
		id, err := addLayer(w, fmt.Sprintf("layer%d.tar", n), layer, files)
		_, _ = layer.Close(), os.Remove(layer.Name())
		if err != nil {
			return err
		}
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, id)
		m.Layers = append(m.Layers, fmt.Sprintf("layer%d.tar", n))
	}
	if err := addJSON(w, "config.json", c); err != nil {
		return err
	}
	if err := addJSON(w, "manifest.json", []manifest{m}); err != nil {
		return err
	}
	return w.Close()
}

// addLayer writes files as a layer, by way of a scratch file since an archive's header comes before its contents. It returns the
// layer's digest.
func addLayer(w *tar.Writer, name string, scratch *os.File, files []File) (string, error) {
	sum := sha256.New()
	layer := tar.NewWriter(io.MultiWriter(scratch, sum))
	for _, f := range files {
		if err := f.add(layer); err != nil {
			return "", fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	if err := layer.Close(); err != nil {
		return "", err
	}
	size, err := scratch.Seek(0, io.SeekCurrent)
	if err != nil {
		return "", err
	}
	if _, err := scratch.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size}); err != nil {
		return "", err
	}
	_, err = io.Copy(w, scratch)
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), err
}

// add writes the entry with neither times nor owners.
func (f File) add(w *tar.Writer) error {
	switch {
	case f.Link != "":
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: f.Path, Linkname: f.Link, Mode: 0o777})
	case f.Source == "":
		mode := int64(0o755)
		if f.Path == "tmp" {
			mode = 0o1777
		}
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: f.Path + "/", Mode: mode})
	}
	source, err := os.Open(f.Source)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	if err := w.WriteHeader(&tar.Header{Name: f.Path, Mode: mode, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(w, source)
	return err
}

func addJSON(w *tar.Writer, name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err = io.Copy(w, bytes.NewReader(data))
	return err
}
