package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// The Secrets of a cache: two sets that are written in turn, so that a crash between two Secrets of one leaves the other whole. Part i of
// the set with an even generation is in Secret 2i, of one with an odd generation in 2i+1.
const (
	cacheSecretPrefix = "hanse-agent-cache-"
	// maxCacheParts and maxCachePart bound one set: an API server takes a Secret of 1 MiB.
	maxCacheParts = 8
	maxCachePart  = 768 << 10
	// cacheInterval is the least time between two sets: what is in them others tell again, and an API server has better things to keep.
	cacheInterval = time.Minute
	// maxUnpacked bounds each file of a cache, in bytes.
	maxUnpacked = 256 << 20
)

// The keys of a cache Secret.
const (
	cacheDataKey = "data"
	cacheSetKey  = "set"
)

// ownLabels are those of all that an agent makes for itself.
var ownLabels = map[string]string{"app.kubernetes.io/managed-by": "hanse", "app.kubernetes.io/component": "agent"}

// partOf says to which set a Secret belongs.
type partOf struct {
	Generation uint64 `json:"generation"`
	Part       int    `json:"part"`
	Parts      int    `json:"parts"`
	// Sum is the SHA-256 of the whole set, in hexadecimal.
	Sum string `json:"sum"`
}

// cacheSet is what the Secrets hold of the cache and the registry.
type cacheSet struct {
	generation uint64
	// packed is the set that was found at the start, until it was unpacked.
	packed []byte
	// stamp is that of the files of the last set, at when it was written.
	stamp string
	at    time.Time
}

func cacheSecret(generation uint64, part int) string {
	return cacheSecretPrefix + strconv.Itoa(2*part+int(generation%2))
}

// load finds the newest whole set.
func (c *cacheSet) load(ctx context.Context, api secretAPI) error {
	for _, parity := range []uint64{0, 1} {
		var whole bytes.Buffer
		var first partOf
		for part := 0; part == 0 || part < min(first.Parts, maxCacheParts); part++ {
			held, err := getSecret(ctx, api, cacheSecret(parity, part))
			if err != nil {
				return err
			}
			var this partOf
			if held == nil || json.Unmarshal(held.Data[cacheSetKey], &this) != nil || this.Part != part || part > 0 && this.Generation != first.Generation {
				break
			}
			if part == 0 {
				first = this
			}
			whole.Write(held.Data[cacheDataKey])
		}
		// The next set is written over the older one, or over one that is not whole.
		if sum := sha256.Sum256(whole.Bytes()); first.Generation > c.generation && hex.EncodeToString(sum[:]) == first.Sum {
			c.generation, c.packed = first.Generation, whole.Bytes()
		}
	}
	return nil
}

// keep writes a set when files have changed and the last one is old enough.
func (c *cacheSet) keep(ctx context.Context, api secretAPI, dir string, now time.Time) error {
	if !c.at.IsZero() && now.Before(c.at.Add(cacheInterval)) {
		return nil
	}
	written, err := c.write(ctx, api, dir)
	if written {
		c.at = now
	}
	return err
}

// write writes the next set, unless nothing has changed.
func (c *cacheSet) write(ctx context.Context, api secretAPI, dir string) (bool, error) {
	names, stamp, err := cachedFiles(dir)
	if err != nil || len(names) == 0 || stamp == c.stamp {
		return false, err
	}
	packed, err := pack(dir, names)
	if err != nil {
		return false, err
	}
	if len(packed) > maxCacheParts*maxCachePart {
		return false, fmt.Errorf("the cache has %d bytes compressed, the Secrets take %d: after a loss of the pod the federation tells it again", len(packed), maxCacheParts*maxCachePart)
	}
	sum := sha256.Sum256(packed)
	set := partOf{Generation: c.generation + 1, Parts: (len(packed) + maxCachePart - 1) / maxCachePart, Sum: hex.EncodeToString(sum[:])}
	for ; set.Part < set.Parts; set.Part++ {
		if err := putPart(ctx, api, set, packed[set.Part*maxCachePart:min(len(packed), (set.Part+1)*maxCachePart)]); err != nil {
			return false, err
		}
	}
	c.generation, c.stamp = set.Generation, stamp
	return true, nil
}

func putPart(ctx context.Context, api secretAPI, set partOf, data []byte) error {
	name := cacheSecret(set.Generation, set.Part)
	head, err := json.Marshal(set)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	held, err := getSecret(ctx, api, name)
	if err != nil {
		return fmt.Errorf("write secret %s: %w", name, err)
	}
	content := map[string][]byte{cacheSetKey: head, cacheDataKey: data}
	if held == nil {
		_, err = api.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: ownLabels}, Data: content}, metav1.CreateOptions{})
	} else {
		held.Data = content
		_, err = api.Update(ctx, held, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write secret %s: %w", name, err)
	}
	return nil
}

// cachedFiles are the cache and what the registry keeps, with a stamp that changes with them.
func cachedFiles(dir string) (names []string, stamp string, err error) {
	candidates := []string{cacheFile}
	entries, err := os.ReadDir(filepath.Join(dir, siteFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && filepath.Ext(e.Name()) == ".json" {
			candidates = append(candidates, filepath.Join(siteFolder, e.Name()))
		}
	}
	for _, name := range candidates {
		info, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		names = append(names, name)
		stamp += fmt.Sprintf("%s %d %d\n", name, info.Size(), info.ModTime().UnixNano())
	}
	return names, stamp, nil
}

func pack(dir string, names []string) ([]byte, error) {
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
			return nil, err
		}
		if _, err := archive.Write(data); err != nil {
			return nil, err
		}
	}
	err := errors.Join(archive.Close(), zipped.Close())
	return out.Bytes(), err
}

// unpack writes the set that was found into the folder.
func (c *cacheSet) unpack(dir string) error {
	if c.packed == nil {
		return nil
	}
	zipped, err := gzip.NewReader(bytes.NewReader(c.packed))
	if err != nil {
		return err
	}
	c.packed = nil
	archive := tar.NewReader(zipped)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(head.Name) || head.Size > maxUnpacked {
			return fmt.Errorf("file %.100q of %d bytes is none of a cache", head.Name, head.Size)
		}
		data, err := io.ReadAll(io.LimitReader(archive, maxUnpacked))
		if err != nil {
			return err
		}
		path := filepath.Join(dir, head.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := atomicfile.Write(path, data, 0o600); err != nil {
			return err
		}
	}
}
