package envoy

import "fmt"

// maxSocketPath is the longest path of a Unix socket in bytes: sun_path less its terminating zero.
const maxSocketPath = 107

// CheckSocketPath returns an error that names the remedy when the path is too long for a Unix socket.
func CheckSocketPath(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("unix socket path %q has %d bytes, the limit is %d: choose a shorter run directory, such as /run/hanse",
			path, len(path), maxSocketPath)
	}
	return nil
}
