package image

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// Store writes images into a folder and returns the archives' paths. An image whose files have not changed since is not written again.
func Store(dir string, images []Image) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var paths []string
	for _, i := range images {
		key, err := i.key()
		if err != nil {
			return nil, err
		}
		base := filepath.Base(filepath.Dir(i.Name)) + "-" + filepath.Base(i.Name)
		path := filepath.Join(dir, base+"@"+key+".tar")
		paths = append(paths, path)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		old, _ := filepath.Glob(filepath.Join(dir, base+"@*.tar"))
		for _, o := range old {
			_ = os.Remove(o)
		}
		if err := i.Write(path); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// key changes when the image or one of its files does.
func (i Image) key() (string, error) {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%s %q %s\n", i.Name, i.Entrypoint, i.User)
	for _, files := range i.Layers {
		for _, f := range files {
			_, _ = fmt.Fprintf(sum, "%s %s %s", f.Path, f.Source, f.Link)
			if f.Source != "" {
				info, err := os.Stat(f.Source)
				if err != nil {
					return "", fmt.Errorf("image %s: %w", i.Name, err)
				}
				_, _ = fmt.Fprintf(sum, " %d %d", info.Size(), info.ModTime().UnixNano())
			}
			_, _ = fmt.Fprintln(sum)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
}
