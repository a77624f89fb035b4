package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// knownServers is a file with the REST addresses that a federation's nodes were last seen at. The token that "server init" makes names
// the first node only; with the file the command line goes on when that one is down.
type knownServers struct{ path string }

// serverMemory is the file of the federation whose root has the given SHA-256, in the folder of the credential.
func serverMemory(pin []byte, dir string) knownServers {
	return knownServers{filepath.Join(dir, "servers-"+hex.EncodeToString(pin[:min(8, len(pin))]))}
}

// load returns nothing when there is no file: then the token's addresses have to do.
func (k knownServers) load() []string {
	data, err := os.ReadFile(k.path)
	if err != nil {
		return nil
	}
	return strings.Fields(strings.ReplaceAll(string(data), ",", " "))
}

// save keeps what a node has just said. That it cannot be kept is no reason for a command to fail.
func (k knownServers) save(servers string) {
	if k.path == "" || servers == "" || strings.Join(k.load(), ",") == servers {
		return
	}
	_ = atomicfile.Write(k.path, []byte(servers+"\n"), 0o600)
}

// unique drops repetitions and keeps the order.
func unique(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
