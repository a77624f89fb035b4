package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// maxFile bounds what is read from disk, in bytes.
const maxFile = 256 << 10

const (
	keyBlock  = "PRIVATE KEY"
	certBlock = "CERTIFICATE"
)

// LoadOrCreateKey reads an ECDSA key (PKCS#8, PEM) from path, or makes one there on P-256, readable by its owner only. A file that
// holds no key is an error: it is never overwritten.
func LoadOrCreateKey(path string) (crypto.Signer, error) {
	data, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != keyBlock {
		return nil, fmt.Errorf("load key from %s: it has no PEM block %q", path, keyBlock)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("load key from %s: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("load key from %s: it is %T, not ECDSA", path, parsed)
	}
	return key, nil
}

func createKey(path string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	if err := write(path, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

// SaveChain writes certificates (DER) to path as PEM, in order.
func SaveChain(path string, chain [][]byte) error {
	var out bytes.Buffer
	for _, der := range chain {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: der}))
	}
	if err := write(path, out.Bytes()); err != nil {
		return fmt.Errorf("save certificates: %w", err)
	}
	return nil
}

// LoadChain reads what SaveChain wrote. The error satisfies errors.Is(err, fs.ErrNotExist) when there is no file.
func LoadChain(path string) ([][]byte, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("load certificates: %w", err)
	}
	var chain [][]byte
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == certBlock {
			chain = append(chain, block.Bytes)
		}
	}
	if _, err := parseCertificates(chain); err != nil {
		return nil, fmt.Errorf("load certificates from %s: %w", path, err)
	}
	return chain, nil
}

func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o600)
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), maxFile)
	}
	return os.ReadFile(path)
}
