package idempotency

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Codec turns the results of functions into bytes and back. What it leaves out, a
// duplicate does not get: decode what you encoded and compare, in a test.
//
// All methods may be called at once.
type Codec interface {
	// Name names the encoding in records, in 1 to 8 characters of visible ASCII, such
	// as "json/1". Records outlive deployments: a changed encoding takes a new name.
	// Names that begin with "http/" or "grpc/" are taken.
	Name() string
	// Encode returns the bytes of the result that v points to. They are the caller's.
	Encode(v any) ([]byte, error)
	// Decode sets the result that v points to. It must not keep data, nor change it.
	Decode(data []byte, v any) error
}

// JSONCodec is the default codec: encoding/json. A result's unexported fields are
// not in the record, and text that is not UTF-8 is not kept as it is.
func JSONCodec() Codec { return jsonCodec{} }

type jsonCodec struct{}

func (jsonCodec) Name() string                    { return "json/1" }
func (jsonCodec) Encode(v any) ([]byte, error)    { return json.Marshal(v) }
func (jsonCodec) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }

func checkCodec(c Codec) error {
	if c == nil {
		return errors.New("WithCodec: the codec is nil")
	}
	name := c.Name()
	visible := !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
	switch {
	case name == "" || len(name) > 8 || !visible:
		return fmt.Errorf("WithCodec: the codec's name %q is not 1 to 8 characters of visible ASCII", name)
	case strings.HasPrefix(name, "http/"), strings.HasPrefix(name, "grpc/"):
		return fmt.Errorf("WithCodec: the codec's name %q is one of a transport's", name)
	}
	return nil
}
