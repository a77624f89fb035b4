package token

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"unicode"

	"github.com/hanse-mesh/hanse/api/model"
)

const (
	prefix        = "hanse-"
	version       = "1"
	lengthSize    = 2
	checksumSize  = 4
	headerPattern = "hanse-cluster-1., hanse-node-1., hanse-operator-1. or hanse-workload-1."
)

// Errors that tell apart what happened to a token's text; Parse wraps them.
var (
	ErrNotToken  = errors.New("not a hanse token")
	ErrTruncated = errors.New("token is cut short")
	ErrMistyped  = errors.New("token is mistyped")
)

// payload has short names because people copy the text.
type payload struct {
	ID        string   `json:"i"`
	Secret    string   `json:"s"`
	Issuer    string   `json:"n"`
	Pin       []byte   `json:"p"`
	Addresses []string `json:"a"`
}

var (
	encoding   = base64.RawURLEncoding.Strict()
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// String returns the text that operators copy. It contains the secret: show it once, never log it.
func (t Token) String() string {
	// A struct of strings and bytes always marshals.
	body, _ := json.Marshal(payload{t.ID, t.Secret, t.Issuer, t.Pin, t.Addresses})
	head := prefix + string(t.Kind) + "-" + version + "."
	data := binary.BigEndian.AppendUint16(nil, uint16(len(body)))
	data = append(data, body...)
	data = binary.BigEndian.AppendUint32(data, checksum(head, data))
	return head + encoding.EncodeToString(data)
}

// Parse reads a token's text. White space anywhere in it is ignored, because terminals wrap lines.
func Parse(text string) (Token, error) {
	if len(text) > maxText {
		return Token{}, fmt.Errorf("%w: it is longer than %d characters", ErrNotToken, maxText)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	kind, data, err := split(text)
	if err != nil {
		return Token{}, err
	}
	body, err := decode(text[:len(text)-len(data)], data)
	if err != nil {
		return Token{}, err
	}
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return Token{}, fmt.Errorf("%w: its content cannot be read", ErrNotToken)
	}
	t := Token{Kind: kind, ID: p.ID, Secret: p.Secret, Issuer: p.Issuer, Pin: p.Pin, Addresses: p.Addresses}
	if err := t.validate(); err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrNotToken, err)
	}
	return t, nil
}

func split(text string) (model.TokenKind, string, error) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return "", "", fmt.Errorf("%w: it should begin with %s", ErrNotToken, headerPattern)
	}
	head, data, found := strings.Cut(rest, ".")
	name, v, _ := strings.Cut(head, "-")
	kind := model.TokenKind(name)
	switch {
	case !slices.Contains(Kinds, kind):
		return "", "", fmt.Errorf("%w: it should begin with %s", ErrNotToken, headerPattern)
	case !found || data == "":
		return "", "", fmt.Errorf("%w: nothing follows its first part; copy it whole", ErrTruncated)
	case v != version:
		return "", "", fmt.Errorf("%w: its format is not version %s; use the hanse version that made it", ErrNotToken, version)
	}
	return kind, data, nil
}

func decode(head, data string) ([]byte, error) {
	raw, err := encoding.DecodeString(data)
	if err != nil {
		// A text cut within a group of four also fails to decode: what its whole groups say decides.
		raw, err = encoding.DecodeString(data[:len(data)/4*4])
		if err != nil || !short(raw) {
			return nil, fmt.Errorf("%w: some characters are wrong; copy it again", ErrMistyped)
		}
	}
	if short(raw) {
		return nil, fmt.Errorf("%w: its end is missing; copy it whole", ErrTruncated)
	}
	end := len(raw) - checksumSize
	if checksum(head, raw[:end]) != binary.BigEndian.Uint32(raw[end:]) {
		return nil, fmt.Errorf("%w: its checksum does not match; copy it again", ErrMistyped)
	}
	if want := lengthSize + int(binary.BigEndian.Uint16(raw)); end != want {
		return nil, fmt.Errorf("%w: it has bytes that do not belong to it", ErrMistyped)
	}
	return raw[lengthSize:end], nil
}

// short reports whether raw has fewer bytes than its length field announces.
func short(raw []byte) bool {
	return len(raw) < lengthSize || len(raw) < lengthSize+int(binary.BigEndian.Uint16(raw))+checksumSize
}

func checksum(head string, data []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(head), castagnoli), castagnoli, data)
}
