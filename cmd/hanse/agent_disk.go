package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/atomicfile"
	"github.com/hanse-mesh/hanse/trust/bundle"
)

// coreCache is what an agent needs to serve its site without the federation.
type coreCache struct {
	// State is a marshalled hanse.v1.State, Imports what catalog.Imports marshals.
	State   []byte            `json:"state"`
	Imports []byte            `json:"imports"`
	VIPs    map[string]string `json:"vips"`
	// Failback is what was dead or failing back: what returns after a restart climbs as it would have.
	Failback json.RawMessage `json:"failback,omitempty"`
	// Egress are a Kubernetes cluster's egress ports. Told says that every member that matters here has been heard.
	Egress []egressOnDisk `json:"egress,omitempty"`
	Told   bool           `json:"told,omitempty"`
}

// heldBundle is one believed bundle on disk.
type heldBundle struct {
	Signed     model.SignedBundle `json:"signed"`
	Introduced bool               `json:"introduced"`
	Sole       bool               `json:"sole"`
}

// load reads what the agent knew when it last ran. A damaged cache is reported and left out: the federation will tell it again.
// Damaged bundles are an error, because forgetting whom one believes would be worse.
func (c *siteCore) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.loadBundles(); err != nil {
		return fmt.Errorf("%s in --data-dir: %w", bundlesFile, err)
	}
	if err := c.loadCache(); err != nil {
		c.logger.Error("the cache on disk is damaged; going on without it", "error", err)
	}
	for _, origin := range c.imports.All() {
		if origin.ConfirmedAt.After(c.confirmed) {
			c.confirmed = origin.ConfirmedAt
		}
	}
	c.ageLocked(c.clock.Now())
	return nil
}

func (c *siteCore) loadBundles() error {
	data, err := os.ReadFile(filepath.Join(c.dir, bundlesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var list []heldBundle
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	var held bundle.Held
	for _, b := range list {
		if held, err = held.Introduce(b.Signed, b.Introduced, b.Sole); err != nil {
			return err
		}
	}
	c.bundles = held
	return nil
}

func (c *siteCore) loadCache() error {
	data, err := os.ReadFile(filepath.Join(c.dir, cacheFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var cached coreCache
	if err := json.Unmarshal(data, &cached); err != nil {
		return err
	}
	for name, text := range cached.VIPs {
		service, namespace, _ := strings.Cut(name, ".")
		if a, err := netip.ParseAddr(text); err == nil {
			c.vips[model.ServiceKey{Namespace: namespace, Name: service}] = a
		}
	}
	c.toldOnce = cached.Told
	if len(cached.Egress) > 0 {
		egress := map[mcs.PortKey]uint16{}
		for _, e := range cached.Egress {
			egress[e.PortKey] = e.Port
		}
		c.setEgress(egress)
	}
	if len(cached.Failback) > 0 {
		if err := json.Unmarshal(cached.Failback, &c.failback); err != nil {
			c.logger.Error("which capacity was failing back cannot be read from the disk; what returns takes its whole share at once", "error", err)
		}
	}
	if len(cached.State) > 0 {
		var p hansev1.State
		if err := proto.Unmarshal(cached.State, &p); err != nil {
			return err
		}
		v, err := state.ViewFromProto(&p)
		if err != nil {
			return err
		}
		c.view, c.viewProto, c.rules, c.takes = v, &p, v.ExportList(), v.ImportList()
	}
	return c.imports.Load(cached.Imports)
}

func (c *siteCore) marshalCache() ([]byte, error) {
	cached := coreCache{VIPs: map[string]string{}, Told: c.toldOnce}
	for k, port := range c.egress {
		cached.Egress = append(cached.Egress, egressOnDisk{k, port})
	}
	for k, a := range c.vips {
		cached.VIPs[k.String()] = a.String()
	}
	var err error
	if c.viewProto != nil {
		if cached.State, err = proto.Marshal(c.viewProto); err != nil {
			return nil, err
		}
	}
	if cached.Imports, err = c.imports.Marshal(); err != nil {
		return nil, err
	}
	if cached.Failback, err = json.Marshal(c.failback); err != nil {
		return nil, err
	}
	return json.Marshal(cached)
}

func (c *siteCore) marshalBundles() ([]byte, error) {
	list := []heldBundle{}
	for _, e := range c.bundles.Entries() {
		list = append(list, heldBundle{Signed: e.Signed, Introduced: e.Introduced, Sole: e.Sole})
	}
	return json.Marshal(list)
}

// epochFileStore keeps the counter of publishing epochs; a lost one would let an old state win.
type epochFileStore struct{ path string }

// LoadEpoch returns 0 when nothing is stored.
func (s epochFileStore) LoadEpoch() (uint64, error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(bytes.TrimSpace(data)), 10, 64)
}

// StoreEpoch returns when the value is on disk.
func (s epochFileStore) StoreEpoch(epoch uint64) error {
	return atomicfile.Write(s.path, []byte(strconv.FormatUint(epoch, 10)+"\n"), 0o600)
}
