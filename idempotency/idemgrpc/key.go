package idemgrpc

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/keysyntax"
)

var errKeysDiffer = fmt.Errorf("%w: the call carries two that differ", keysyntax.ErrInvalid)

// key returns the key of a call, in the form that counts.
//
// Errors: [keysyntax.ErrNone], [keysyntax.ErrInvalid]; no text of them has
// anything of the key.
func (m *method) key(ctx context.Context, request proto.Message) (string, error) {
	if m.keyFrom != nil {
		return m.resolvedKey(ctx, request)
	}
	found, err := m.metadataKey(ctx)
	if err != nil && !errors.Is(err, keysyntax.ErrNone) || m.keyField == nil {
		return found, err
	}
	inField, err := m.fieldKey(request)
	switch {
	case errors.Is(err, keysyntax.ErrNone):
		if found == "" {
			return "", err
		}
		return found, nil
	case err != nil:
		return "", err
	case found != "" && found != inField:
		return "", errKeysDiffer
	}
	return inField, nil
}

// metadataKey reads the entry and its aliases, which must agree.
func (m *method) metadataKey(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	found := ""
	for _, name := range m.in.opts.keyNames {
		key, err := keysyntax.Parse(md.Get(name), false)
		if err == nil {
			key, err = keysyntax.Format(key, string(m.policy.KeyFormat))
		}
		switch {
		case errors.Is(err, keysyntax.ErrNone):
			continue
		case err != nil:
			return "", fmt.Errorf("metadata %s: %w", name, err)
		case found != "" && found != key:
			return "", errKeysDiffer
		}
		found = key
	}
	if found == "" {
		return "", keysyntax.ErrNone
	}
	return found, nil
}

// fieldKey reads the request's field. An empty string in a field that cannot
// say whether it was set is no key.
func (m *method) fieldKey(request proto.Message) (string, error) {
	text, there := m.keyField.text(request.ProtoReflect())
	if !there {
		return "", keysyntax.ErrNone
	}
	return m.check(text)
}

func (m *method) resolvedKey(ctx context.Context, request proto.Message) (string, error) {
	key, err := m.keyFrom(ctx, request)
	switch {
	case err != nil:
		return "", keyFuncError{err}
	case key == "":
		return "", keysyntax.ErrNone
	}
	return m.check(key)
}

func (m *method) check(text string) (string, error) {
	key, err := keysyntax.Check(text)
	if err != nil {
		return "", err
	}
	return keysyntax.Format(key, string(m.policy.KeyFormat))
}

// keyCode is the refusal for a key that is missing or wrong.
func keyCode(err error) idempotency.Code {
	if errors.Is(err, keysyntax.ErrNone) {
		return idempotency.ErrKeyMissing
	}
	return idempotency.ErrKeyInvalid
}

// keyFuncError keeps the text of a key function's error, which may hold
// anything, from the answer.
type keyFuncError struct{ cause error }

func (e keyFuncError) Error() string {
	return keysyntax.ErrInvalid.Error() + ": the call carries none that is acceptable"
}
func (e keyFuncError) Unwrap() []error { return []error{keysyntax.ErrInvalid, e.cause} }
