package relay

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// The file is a magic, the SHA-256 of what follows it, and one length-delimited DeltaDiscoveryResponse for each of xds.Types.
const (
	fileName = "xds.cache"
	magic    = "hanse-xds-1\n"
	// maxFile bounds what is read back, in bytes.
	maxFile = 512 << 20
)

var errDamaged = errors.New("the file is damaged")

// save replaces the file by a complete set.
func save(path string, set xds.Resources) error {
	data, err := encode(set)
	if err != nil {
		return fmt.Errorf("save the last configuration: %w", err)
	}
	if err := atomicfile.Write(path, data, 0o600); err != nil {
		return fmt.Errorf("save the last configuration: %w", err)
	}
	return nil
}

func encode(set xds.Resources) ([]byte, error) {
	var payload bytes.Buffer
	for _, t := range xds.Types {
		resp := &discovery.DeltaDiscoveryResponse{TypeUrl: t}
		for _, r := range set[t] {
			resp.Resources = append(resp.Resources, &discovery.Resource{Name: r.Name, Version: r.Version, Resource: r.Body})
		}
		if _, err := protodelim.MarshalTo(&payload, resp); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(payload.Bytes())
	return bytes.Join([][]byte{[]byte(magic), sum[:], payload.Bytes()}, nil), nil
}

// load reads the file back. An absent file is fs.ErrNotExist; anything but a complete set is an error.
func load(path string) (*held, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file is larger than %d bytes", maxFile)
	}
	return decode(data)
}

func decode(data []byte) (*held, error) {
	rest, ok := bytes.CutPrefix(data, []byte(magic))
	if !ok || len(rest) < sha256.Size {
		return nil, errDamaged
	}
	payload := rest[sha256.Size:]
	if sha256.Sum256(payload) != [sha256.Size]byte(rest[:sha256.Size]) {
		return nil, errDamaged
	}
	h := newHeld()
	r := bytes.NewReader(payload)
	opts := protodelim.UnmarshalOptions{MaxSize: maxFile}
	for r.Len() > 0 {
		resp := &discovery.DeltaDiscoveryResponse{}
		if err := opts.UnmarshalFrom(r, resp); err != nil {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
		if _, err := h.apply(resp); err != nil {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if !h.complete() {
		return nil, errDamaged
	}
	return h, nil
}
