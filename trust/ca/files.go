package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// maxFile bounds what Load reads, in bytes.
const maxFile = 256 << 10

const (
	keyBlock  = "PRIVATE KEY"
	certBlock = "CERTIFICATE"
)

// Save writes the authority to DIR/NAME.pem, readable by its owner only. Key and chain are in one file, so that a crash can never
// leave one without the other.
func (a *Authority) Save(dir, name string) error {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return fmt.Errorf("save authority %s: %w", name, err)
	}
	var out bytes.Buffer
	// Writing to a buffer and encoding without headers cannot fail.
	_ = pem.Encode(&out, &pem.Block{Type: keyBlock, Bytes: der})
	for _, c := range a.chain {
		_ = pem.Encode(&out, &pem.Block{Type: certBlock, Bytes: c})
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save authority %s: %w", name, err)
	}
	if err := atomicfile.Write(path(dir, name), out.Bytes(), 0o600); err != nil {
		return fmt.Errorf("save authority %s: %w", name, err)
	}
	return nil
}

// Load reads what Save wrote. The error satisfies errors.Is(err, fs.ErrNotExist) when there is none.
func Load(dir, name string) (*Authority, error) {
	info, err := os.Stat(path(dir, name))
	if err != nil {
		return nil, fmt.Errorf("load authority %s: %w", name, err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("load authority %s: %d bytes are more than %d", name, info.Size(), maxFile)
	}
	data, err := os.ReadFile(path(dir, name))
	if err != nil {
		return nil, fmt.Errorf("load authority %s: %w", name, err)
	}
	key, chain, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("load authority from %s: %w", path(dir, name), err)
	}
	a, err := NewAuthority(key, chain)
	if err != nil {
		return nil, fmt.Errorf("load authority from %s: %w", path(dir, name), err)
	}
	return a, nil
}

func decode(data []byte) (crypto.Signer, [][]byte, error) {
	var key crypto.Signer
	var chain [][]byte
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		switch block.Type {
		case certBlock:
			chain = append(chain, block.Bytes)
		case keyBlock:
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("private key: %w", err)
			}
			signer, ok := parsed.(crypto.Signer)
			if !ok {
				return nil, nil, fmt.Errorf("private key is %T, which cannot sign", parsed)
			}
			key = signer
		}
	}
	if key == nil {
		return nil, nil, errors.New("it has no private key")
	}
	return key, chain, nil
}

func path(dir, name string) string { return filepath.Join(dir, name+".pem") }
