package codec

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// MaxStatement bounds a marshalled bundle statement, in bytes.
const MaxStatement = 128 << 10

// MarshalBundle encodes a bundle's statement: the bytes that CA keys sign and that are kept unchanged from then on.
func MarshalBundle(b model.Bundle) ([]byte, error) {
	statement, err := proto.MarshalOptions{Deterministic: true}.Marshal(&hansev1.BundleStatement{
		TrustDomain: b.TrustDomain,
		Sequence:    b.Sequence,
		Roots:       b.Roots,
	})
	if err != nil {
		return nil, fmt.Errorf("encode bundle of %s: %w", b.TrustDomain, err)
	}
	if len(statement) > MaxStatement {
		return nil, fmt.Errorf("encode bundle of %s: %d bytes are more than the %d allowed", b.TrustDomain, len(statement), MaxStatement)
	}
	return statement, nil
}

// UnmarshalBundle decodes a bundle's statement. It bounds the size; trust/bundle judges the content.
func UnmarshalBundle(statement []byte) (model.Bundle, error) {
	if len(statement) > MaxStatement {
		return model.Bundle{}, fmt.Errorf("decode bundle: %d bytes are more than the %d allowed", len(statement), MaxStatement)
	}
	var p hansev1.BundleStatement
	if err := proto.Unmarshal(statement, &p); err != nil {
		return model.Bundle{}, fmt.Errorf("decode bundle: %w", err)
	}
	return model.Bundle{TrustDomain: p.GetTrustDomain(), Sequence: p.GetSequence(), Roots: p.GetRoots()}, nil
}
