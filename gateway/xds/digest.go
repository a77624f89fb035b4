package xds

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// Digest names a complete set by its resources' names and versions: two sets with equal digests configure an Envoy alike. Which slices hold
// the resources does not matter, as long as they are sorted by name.
func (r Resources) Digest() string {
	h := sha256.New()
	for _, t := range Types {
		hashNumber(h, len(r[t]))
		for _, one := range r[t] {
			hashText(h, one.Name)
			hashText(h, one.Version)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func hashNumber(h hash.Hash, n int) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}

func hashText(h hash.Hash, s string) {
	hashNumber(h, len(s))
	h.Write([]byte(s))
}
