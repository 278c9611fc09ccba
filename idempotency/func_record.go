package idempotency

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"github.com/reprise-go/reprise/internal/tagged"
	"github.com/reprise-go/reprise/store"
)

// How a function's answer is recorded. The record's codec names the encoding of the
// body. Meta is
//
//	the version of this layout, the kind of answer, and for an error the names of
//	all the named errors that it is
//
// with lengths as uvarints. The body is the encoded result, or the error's text.
const (
	metaVersion = 1
	kindResult  = 1
	kindError   = 2
)

// maxNames bounds how many names there are.
const maxNames = 1024

var (
	errUnknownCodec  = errors.New("unknown codec")
	errUnknownLayout = errors.New("a layout of another version")
	errCorruptMeta   = errors.New("corrupt answer")
)

// NewAnswer makes the recorded result of a function that did not run: for
// [Settlement] and for [Happened], when its outcome was found out by other means.
// Duplicates get it as they would get the function's. codec is the function's, nil
// for [JSONCodec]; result is of the function's type. Errors are the codec's.
func NewAnswer[Out any](codec Codec, result Out) (store.Answer, error) {
	if codec == nil {
		codec = JSONCodec()
	}
	if err := checkCodec(codec); err != nil {
		return store.Answer{}, fmt.Errorf("idempotency: NewAnswer: %w", err)
	}
	if checker, ok := codec.(TypeChecker); ok {
		if err := checker.CheckType(reflect.TypeFor[Out]()); err != nil {
			return store.Answer{}, fmt.Errorf("idempotency: NewAnswer: %w", err)
		}
	}
	body, err := codec.Encode(&result)
	if err != nil {
		return store.Answer{}, fmt.Errorf("idempotency: NewAnswer: %w", err)
	}
	return store.Answer{Codec: codec.Name(), Meta: valueMeta(), Body: body}, nil
}

func valueMeta() []byte { return []byte{metaVersion, kindResult} }

func errorMeta(names []string) []byte {
	meta := []byte{metaVersion, kindError}
	for _, name := range names {
		meta = append(binary.AppendUvarint(meta, uint64(len(name))), name...)
	}
	return meta
}

// replay sets the recorded result, or returns the recorded error, or a refusal.
func (c *invocation) replay(ctx context.Context, result Result) error {
	recorded, err := c.decode(result.Answer)
	switch {
	case err == nil:
		return recorded
	case errors.Is(err, errCorruptMeta):
		return c.op.Reject(ctx, ErrRecordUnreadable, err)
	}
	return c.op.Reject(ctx, ErrResultUnavailable, err)
}

func (c *invocation) decode(a Answer) (recorded, err error) {
	if a.Codec != c.codec.Name() {
		return nil, fmt.Errorf("%w %q; this function's is %q", errUnknownCodec, a.Codec, c.codec.Name())
	}
	kind, names, err := readMeta(a.Meta)
	if err != nil {
		return nil, err
	}
	if kind == kindResult {
		return nil, tagged.Unquoted(c.codec.Decode(a.Body, c.out))
	}
	again := &RecordedError{text: string(a.Body)}
	for _, name := range names {
		if named, known := c.names.errs[name]; known {
			again.named = append(again.named, named)
		}
	}
	return again, nil
}

// checkFunctionAnswer tells an answer that a function recorded, or [NewAnswer] made.
// Whether its result is of the right type the codec alone could say.
func checkFunctionAnswer(a store.Answer) error {
	_, _, err := readMeta(a.Meta)
	return err
}

// readMeta reads what valueMeta and errorMeta wrote, and nothing else.
func readMeta(meta []byte) (kind byte, names []string, err error) {
	if len(meta) < 2 {
		return 0, nil, errCorruptMeta
	}
	kind, rest := meta[1], meta[2:]
	switch {
	case meta[0] != metaVersion:
		return 0, nil, errUnknownLayout
	case kind == kindResult && len(rest) == 0:
		return kind, nil, nil
	case kind != kindError:
		return 0, nil, errCorruptMeta
	}
	for len(rest) > 0 {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) || len(names) == maxNames {
			return 0, nil, errCorruptMeta
		}
		names = append(names, string(rest[n:n+int(length)]))
		rest = rest[n+int(length):]
	}
	return kind, names, nil
}
