// Package main is a shell that starts 30 ms late. A server that answers and closes before its client has sent anything makes the kernel
// reset the connection, and the client may lose the answer.
package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

func main() {
	time.Sleep(30 * time.Millisecond)
	err := syscall.Exec("/usr/bin/dash", append([]string{"sh"}, os.Args[1:]...), os.Environ())
	fmt.Fprintln(os.Stderr, "latesh:", err)
	os.Exit(127)
}
