package idempotency

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/reprise-go/reprise/internal/tagged"
)

// Codec turns the results of functions into bytes and back. What it leaves out, a
// duplicate does not get: decode what you encoded and compare, in a test.
//
// A codec that does not record every type is a [TypeChecker], too. All methods may be
// called at once.
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

// TypeChecker is what a [Codec] may be beside: it knows by a result's type that it
// could not record it, or not give it back.
type TypeChecker interface {
	// CheckType returns what is wrong with results of type t, nil if nothing is. [Wrap]
	// and [Weave] call it once, [Do] and [NewAnswer] at each call. It may be called by
	// several goroutines at once.
	CheckType(t reflect.Type) error
}

// JSONCodec is the default codec: encoding/json. A result's unexported fields are
// not in the record, and text that is not UTF-8 is not kept as it is. What an `any`
// holds is given to duplicates as JSON reads it, a number as a float64 and a struct as a
// map[string]any, while the first caller has the function's own value: give the field a
// type, or make it a [json.RawMessage].
//
// Its CheckType refuses, at any depth, what JSON cannot write or read back, or leaves
// out altogether: chan, func, complex numbers, error and other interfaces with methods;
// a struct that has fields of which none is written; a type that writes its own JSON and
// does not read it, or has that from a struct which it embeds beside other fields; keys
// of a map that are no text. A field with json:"-" is not looked at.
func JSONCodec() Codec { return jsonCodec{} }

type jsonCodec struct{}

func (jsonCodec) Name() string                    { return "json/1" }
func (jsonCodec) Encode(v any) ([]byte, error)    { return json.Marshal(v) }
func (jsonCodec) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }

func (jsonCodec) CheckType(t reflect.Type) error {
	if err := tagged.CheckResult(t); err != nil {
		return fmt.Errorf("%w; json:\"-\" leaves a field out, and WithCodec takes another codec", err)
	}
	return nil
}

func checkCodec(c Codec) error {
	if c == nil || reflect.ValueOf(c).Kind() == reflect.Pointer && reflect.ValueOf(c).IsNil() {
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
