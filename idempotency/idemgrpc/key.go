package idemgrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
	if err != nil && !errors.Is(err, keysyntax.ErrNone) {
		return "", err
	}
	if m.keyField != nil {
		found, err = m.withField(found, request)
	}
	if errors.Is(err, keysyntax.ErrNone) {
		return "", m.noKey()
	}
	return found, err
}

// withField puts the metadata's key, if there is one, and the field's together.
func (m *method) withField(found string, request proto.Message) (string, error) {
	inField, err := m.fieldKey(request)
	switch {
	case errors.Is(err, keysyntax.ErrNone) && found != "":
		return found, nil
	case errors.Is(err, keysyntax.ErrNone):
		return "", err
	case err != nil:
		return "", keyError{m.keyField.String(), err}
	case found != "" && found != inField:
		return "", keyError{m.keyField.String(), errKeysDiffer}
	}
	return inField, nil
}

// noKey says where a key was looked for.
func (m *method) noKey() error {
	names := m.in.opts.keyNames
	if m.keyField == nil {
		return keyError{names[0], fmt.Errorf("%w in metadata %s", keysyntax.ErrNone, strings.Join(names, " or "))}
	}
	field := m.keyField.String()
	return keyError{field, fmt.Errorf("%w in metadata %s or in %s", keysyntax.ErrNone, strings.Join(names, " or "), field)}
}

// metadataKey reads the entry and its aliases, which must agree.
func (m *method) metadataKey(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	found := ""
	for _, name := range m.in.opts.keyNames {
		key, err := keysyntax.Parse(md.Get(name), false)
		if err == nil {
			key, err = m.formatted(key, m.policy.KeyFormat)
		}
		switch {
		case errors.Is(err, keysyntax.ErrNone):
			continue
		case err != nil:
			return "", keyError{name, fmt.Errorf("metadata %s: %w", name, err)}
		case found != "" && found != key:
			return "", keyError{name, errKeysDiffer}
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
	return m.check(text, m.fieldFormat)
}

func (m *method) resolvedKey(ctx context.Context, request proto.Message) (string, error) {
	key, err := m.keyFrom(ctx, request)
	switch {
	case err != nil:
		return "", keyFuncError{err}
	case key == "":
		return "", keysyntax.ErrNone
	}
	return m.check(key, m.policy.KeyFormat)
}

func (m *method) check(text string, format idempotency.KeyFormat) (string, error) {
	key, err := keysyntax.Check(text)
	if err != nil {
		return "", err
	}
	return m.formatted(key, format)
}

// formatted checks a key against the format of the place where it stands. Where
// one place wants UUIDs, the same UUID counts in its lower-case form in the other
// place, too: else it would be two keys, and a retry that carries it elsewhere a
// second run.
func (m *method) formatted(key string, own idempotency.KeyFormat) (string, error) {
	key, err := keysyntax.Format(key, string(own))
	if err != nil || m.keyField == nil {
		return key, err
	}
	for _, format := range []idempotency.KeyFormat{m.policy.KeyFormat, m.fieldFormat} {
		if normal, err := keysyntax.Format(key, string(format)); err == nil {
			key = normal
		}
	}
	return key, nil
}

// keyError is what is wrong with a key, and where: the name of the metadata entry,
// or the path of the request's field.
type keyError struct {
	place string
	err   error
}

func (e keyError) Error() string { return e.err.Error() }
func (e keyError) Unwrap() error { return e.err }

// placeOf is where a refused key is wrong or missing; "" if only a [KeyFunc] knows.
func placeOf(err error) string {
	wrong, _ := errors.AsType[keyError](err)
	return wrong.place
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
