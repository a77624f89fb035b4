package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// contexts is the file in which an operator keeps how to reach each federation. It names files with credentials and holds none itself.
type contexts struct {
	// Current is the context that commands use unless they are told otherwise.
	Current  string                 `json:"current,omitempty"`
	Contexts map[string]contextSpec `json:"contexts"`
}

// contextSpec is how one federation is reached, and as whom: Socket, Certificate with Key, BearerFile or TokenFile, the first that is
// set.
type contextSpec struct {
	Servers     []string `json:"servers,omitempty"`
	TokenFile   string   `json:"operatorTokenFile,omitempty"`
	BearerFile  string   `json:"tokenFile,omitempty"`
	Certificate string   `json:"certificate,omitempty"`
	Key         string   `json:"key,omitempty"`
	Socket      string   `json:"socket,omitempty"`
	// Pin is the SHA-256 of the federation's root certificate in hex; a TokenFile has its own.
	Pin string `json:"pin,omitempty"`
}

func contextsFile() string { return filepath.Join(configDir(), "config.yaml") }

// loadContexts reads the file; without one there are no contexts.
func loadContexts() (contexts, error) {
	none := contexts{Contexts: map[string]contextSpec{}}
	data, err := os.ReadFile(contextsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("read contexts: %w", err)
	}
	var held contexts
	if err := yaml.UnmarshalStrict(data, &held); err != nil {
		return none, usageError("%s: %w", contextsFile(), err)
	}
	if held.Contexts == nil {
		held.Contexts = none.Contexts
	}
	return held, nil
}

func (c contexts) save() error {
	data, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(configDir(), 0o700); err != nil {
		return fmt.Errorf("write contexts: %w", err)
	}
	return atomicfile.Write(contextsFile(), data, 0o600)
}

func (c contexts) names() []string { return slices.Sorted(maps.Keys(c.Contexts)) }

// find returns a context by name; the empty name is the one in use, and no context when none is.
func (c contexts) find(name string) (contextSpec, error) {
	if name == "" {
		name = c.Current
	}
	if name == "" {
		return contextSpec{}, nil
	}
	spec, ok := c.Contexts[name]
	switch {
	case ok:
		return spec, nil
	case len(c.Contexts) == 0:
		return spec, usageError("there is no context %q: make it with 'hanse context set %s --operator-token-file FILE'", name, name)
	default:
		return spec, usageError("there is no context %q: there are %s ('hanse context list')", name, strings.Join(c.names(), ", "))
	}
}
