package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const typePrefix = "type.googleapis.com/"

// pack wraps a message for a field of an open type. It fails only on strings that are not UTF-8; the empty Any that it then returns
// has no type, so that Envoy refuses the whole resource rather than take it with a part missing.
func pack(m proto.Message) *anypb.Any {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return &anypb.Any{}
	}
	return &anypb.Any{TypeUrl: typePrefix + string(m.ProtoReflect().Descriptor().FullName()), Value: body}
}

// resource marshals a message. The version is a digest of the bytes and of what else the client must notice changes of.
func resource(name string, m proto.Message, covers ...string) *Resource {
	body := pack(m)
	sum := sha256.New()
	sum.Write(body.GetValue())
	for _, c := range covers {
		sum.Write([]byte{0})
		sum.Write([]byte(c))
	}
	return &Resource{Name: name, Version: hex.EncodeToString(sum.Sum(nil)[:16]), Body: body}
}

// digest identifies a list of strings, none of which may contain a zero byte.
func digest(parts ...string) string {
	sum := sha256.New()
	for _, p := range parts {
		sum.Write([]byte(p))
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

func seconds(n int64) *durationpb.Duration { return &durationpb.Duration{Seconds: n} }

func duration(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

func u32(n uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(n) }
