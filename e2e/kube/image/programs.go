package image

import (
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Base is the folders of a root whose /bin, /sbin and /lib are links into /usr, and a few files that programs expect.
func Base() []File {
	files := []File{
		{Path: "usr"}, {Path: "usr/bin"}, {Path: "usr/sbin"}, {Path: "usr/lib"}, {Path: "usr/lib64"}, {Path: "usr/local"}, {Path: "usr/local/bin"},
		{Path: "etc"}, {Path: "tmp"}, {Path: "var"}, {Path: "var/run"}, {Path: "root"}, {Path: "proc"}, {Path: "sys"}, {Path: "dev"}, {Path: "run"},
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		files = append(files, File{Path: name, Link: "usr/" + name})
	}
	return files
}

// Programs are files with the libraries that they are linked with. installed maps a path in the image to a file of this machine, or to
// the name of a program on PATH.
func Programs(installed map[string]string) ([]File, error) {
	files := map[string]File{}
	for at, name := range installed {
		source, err := exec.LookPath(name)
		if err != nil {
			return nil, fmt.Errorf("image file %s: %w", at, err)
		}
		if source, err = filepath.EvalSymlinks(source); err != nil {
			return nil, fmt.Errorf("image file %s: %w", at, err)
		}
		files[at] = File{Path: at, Source: source}
		for _, library := range libraries(source) {
			resolved, err := filepath.EvalSymlinks(library)
			if err != nil {
				return nil, fmt.Errorf("library of %s: %w", source, err)
			}
			in := usrMerged(library)
			files[in] = File{Path: in, Source: resolved}
		}
	}
	return withFolders(files), nil
}

// libraries asks the dynamic linker; a static program has none.
func libraries(program string) []string {
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return nil
	}
	var paths []string
	for _, field := range strings.Fields(string(out)) {
		if strings.HasPrefix(field, "/") {
			paths = append(paths, field)
		}
	}
	return paths
}

// usrMerged is where a library's path leads to in an image that has the folders of Base.
func usrMerged(library string) string {
	library = strings.TrimPrefix(library, "/")
	if !strings.HasPrefix(library, "usr/") {
		library = "usr/" + library
	}
	return library
}

// withFolders puts each file's folder before it, sorted.
func withFolders(files map[string]File) []File {
	for at := range files {
		for dir := path.Dir(at); dir != "."; dir = path.Dir(dir) {
			if _, ok := files[dir]; !ok {
				files[dir] = File{Path: dir}
			}
		}
	}
	out := make([]File, 0, len(files))
	for _, f := range files {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// Applets are links to busybox, which must be at usr/bin/busybox.
func Applets(names ...string) []File {
	var files []File
	for _, name := range names {
		files = append(files, File{Path: "usr/bin/" + name, Link: "busybox"})
	}
	return files
}
