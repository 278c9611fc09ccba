package idemgrpc

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/keysyntax"
	"github.com/reprise-go/reprise/internal/testpb"
)

const (
	anyV4 = "5f0c6f5e-9d8b-4b6e-9c70-5b2d9c4f1a7e"
	anyV7 = "0190e6a5-7c3f-7b6e-9c70-5b2d9c4f1a7e"
)

func keyedMethod(t testing.TB, opts ...idempotency.OperationOption) *method {
	t.Helper()
	in, err := New(newGuard(t), GlobalScope(), KeyMetadata("idempotency-key", "x-key"))
	require.NoError(t, err)
	require.NoError(t, in.Protect(ordersService(), Method("Create", opts...)))
	return in.method("/reprise.test.v1.Orders/Create")
}

func keyIn(ctx context.Context, m *method, field string, pairs ...string) (string, error) {
	return m.key(metadata.NewIncomingContext(ctx, metadata.Pairs(pairs...)), &testpb.Order{RequestId: field})
}

// G2, G3: one UUID is one key, in whichever place and case it comes; what the
// field's format says binds the field alone.
func TestG2_TheFieldsFormatIsTheFieldsAlone(t *testing.T) {
	t.Parallel()
	v4, v7 := idempotency.KeyUUIDv4, idempotency.KeyUUIDv7
	upper := strings.ToUpper
	tests := []struct {
		name            string
		policy, format  idempotency.KeyFormat
		metadata, field string
		want            string // "" if it is refused
	}{
		{"any key in the metadata", "", v4, "Order-17", "", "Order-17"},
		{"no other than a UUID in the field", "", v4, "", "Order-17", ""},
		{"no other version in the field", "", v4, "", anyV7, ""},
		{"the field, upper case", "", v4, "", upper(anyV4), anyV4},
		{"the metadata, upper case", "", v4, upper(anyV4), "", anyV4},
		{"both, in different case", "", v4, upper(anyV4), anyV4, anyV4},
		{"both, the other way round", "", v4, anyV4, upper(anyV4), anyV4},
		{"both, and another", "", v4, anyV7, anyV4, ""},
		{"both, and no UUID", "", v4, "Order-17", anyV4, ""},
		{"a UUID of another version is any key", "", v4, upper(anyV7), "", upper(anyV7)},
		{"any in the field, UUIDs in the metadata", v4, idempotency.KeyAny, "", "Order-17", "Order-17"},
		{"any in the field, and a UUID", v4, idempotency.KeyAny, upper(anyV4), anyV4, anyV4},
		{"any in the field, and a UUID in upper case", v4, idempotency.KeyAny, anyV4, upper(anyV4), anyV4},
		{"UUIDs in the metadata", v4, idempotency.KeyAny, "Order-17", "", ""},
		{"one version each, in the metadata", v7, v4, upper(anyV7), "", anyV7},
		{"one version each, in the field", v7, v4, "", upper(anyV4), anyV4},
		{"one version each, and the wrong one", v7, v4, anyV4, "", ""},
		{"by default the policy's", v4, "", "", "Order-17", ""},
		{"by default the policy's, upper case", v4, "", "", upper(anyV4), anyV4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			opts := []idempotency.OperationOption{idempotency.Policy{KeyFormat: test.policy}, KeyField("request_id")}
			if test.format != "" {
				opts = append(opts, KeyFieldFormat(test.format))
			}
			var pairs []string
			if test.metadata != "" {
				pairs = []string{"idempotency-key", test.metadata}
			}
			key, err := keyIn(t.Context(), keyedMethod(t, opts...), test.field, pairs...)
			if test.want == "" {
				require.ErrorIs(t, err, keysyntax.ErrInvalid)
				assert.NotContains(t, err.Error(), "17")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, key)
		})
	}
}

// A client's developer is told where the key was looked for, and where it is wrong.
func TestG3_G4_ARefusalNamesThePlaceOfTheKey(t *testing.T) {
	t.Parallel()
	field := []idempotency.OperationOption{KeyField("request_id"), KeyFieldFormat(idempotency.KeyUUID)}
	nested := []idempotency.OperationOption{KeyField("meta.id")}
	byFunction := []idempotency.OperationOption{KeyFrom(func(context.Context, proto.Message) (string, error) { return "", nil })}
	tests := []struct {
		name        string
		opts        []idempotency.OperationOption
		field       string
		metadata    []string
		place, want string
	}{
		{"none", nil, "", nil, "idempotency-key", "no key in metadata idempotency-key or x-key"},
		{"none, in either place", field, "", nil, "request_id", "no key in metadata idempotency-key or x-key or in request_id"},
		{"none, in a message", nested, "", nil, "meta.id", "no key in metadata idempotency-key or x-key or in meta.id"},
		{"none, by a function", byFunction, "", nil, "", "no key"},
		{"wrong in the metadata", field, anyV4, []string{"idempotency-key", "a,b"}, "idempotency-key", "metadata idempotency-key: invalid key: it is a list"},
		{"wrong in the other entry", field, anyV4, []string{"x-key", ""}, "x-key", "metadata x-key: invalid key: it is empty"},
		{"wrong in the field", field, "k", nil, "request_id", "invalid key: it is not a UUID in the form of 8-4-4-4-12 hexadecimal digits (RFC 9562)"},
		{"two entries differ", nil, "", []string{"idempotency-key", "a", "x-key", "b"}, "x-key", "invalid key: the call carries two that differ"},
		{"entry and field differ", field, anyV4, []string{"x-key", "b"}, "request_id", "invalid key: the call carries two that differ"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := keyedMethod(t, test.opts...)
			ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(test.metadata...))
			_, err := m.prepare(ctx, &testpb.Order{RequestId: test.field})
			_, err = m.refuse(err)
			var violations []*errdetails.BadRequest_FieldViolation
			for _, detail := range status.Convert(err).Details() {
				if bad, ok := detail.(*errdetails.BadRequest); ok {
					violations = bad.GetFieldViolations()
				}
			}
			require.Len(t, violations, 1)
			assert.Equal(t, test.place, violations[0].GetField())
			assert.Equal(t, test.want, violations[0].GetDescription())
		})
	}
}

func TestG9_PreviousAttemptsAreANumberOrNothing(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{
		"1": 1, "2": 2, "2147483647": 1<<31 - 1,
		"": 0, "0": 0, "-1": 0, "+1": 0, "2147483648": 0, "99999999999999999999": 0, "1_0": 0, "0x1": 0, " 1": 0, "two": 0,
	} {
		assert.Equal(t, want, previousAttempts(metadata.Pairs("grpc-previous-rpc-attempts", value)), "%q", value)
	}
	assert.Zero(t, previousAttempts(nil))
	assert.Zero(t, previousAttempts(metadata.Pairs("grpc-previous-rpc-attempts", "1", "grpc-previous-rpc-attempts", "2")))
}

// An accepted key has one identity: whatever way it is sent again, it is itself.
func FuzzKey(f *testing.F) {
	formats := []idempotency.KeyFormat{idempotency.KeyAny, idempotency.KeyUUID, idempotency.KeyUUIDv4, idempotency.KeyUUIDv7}
	for i, seed := range []string{"key", `"key"`, `"a\"b";p=1`, "", " ", "a,b", "\x00", "ü", anyV4, strings.ToUpper(anyV7)} {
		f.Add(seed, seed, seed, uint8(i), uint8(i+1))
	}
	var methods [4][4]*method
	for i, policy := range formats {
		for j, field := range formats {
			methods[i][j] = keyedMethod(f, idempotency.Policy{KeyFormat: policy}, KeyField("request_id"), KeyFieldFormat(field))
		}
	}
	f.Fuzz(func(t *testing.T, one, other, field string, policy, format uint8) {
		m := methods[policy%4][format%4]
		key, err := keyIn(t.Context(), m, field, "idempotency-key", one, "x-key", other)
		if err != nil {
			require.ErrorIs(t, err, keysyntax.ErrInvalid)
			return
		}
		sent, err := keysyntax.Field(key, false)
		require.NoError(t, err)
		for _, pairs := range [][]string{{"idempotency-key", sent}, {"x-key", sent}, {"idempotency-key", one}, {"x-key", other}} {
			again, err := keyIn(t.Context(), m, "", pairs...)
			require.NoError(t, err)
			require.Equal(t, key, again)
		}
		if field != "" {
			again, err := keyIn(t.Context(), m, field)
			require.NoError(t, err)
			require.Equal(t, key, again)
		}
	})
}

// Whatever somebody writes as a path is an error, or leads to something.
func FuzzFieldPath(f *testing.F) {
	for _, seed := range []string{"request_id", "meta.id", "items.name", "", ".", "meta.", "extra.value", "counts.key", "items.inner.inner.trace", "items_by_shelf.name"} {
		f.Add(seed)
	}
	order := everyKind()
	service := ordersService().Methods().ByName("Create")
	f.Fuzz(func(t *testing.T, path string) {
		if found, err := valuePath(order.ProtoReflect().Descriptor(), path); err == nil {
			require.NotEmpty(t, found)
			_, _ = found.text(order.ProtoReflect()) // it does not panic
		} else {
			require.Contains(t, err.Error()+nearest(order.ProtoReflect().Descriptor(), path), "field")
		}
		excluding, err := newFingerprinter(service, idempotency.DefaultPolicy(), []string{path})
		if err != nil {
			return
		}
		require.NotEqual(t, plainFingerprint, excluding.algorithm)
		known, ok := excluding.by(plainFingerprint, order.ProtoReflect(), nil)
		require.True(t, ok)
		require.NotEqual(t, known.Sum, fingerprintOf(t, excluding, order).Sum)
	})
}

func FuzzPreviousAttempts(f *testing.F) {
	for _, seed := range []string{"1", "", "-1", "2147483648", "1e3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		n := previousAttempts(metadata.MD{"grpc-previous-rpc-attempts": {value}})
		require.GreaterOrEqual(t, n, 0)
		require.LessOrEqual(t, n, 1<<31-1)
		if n > 0 {
			require.Regexp(t, `^[0-9]+$`, value)
		}
	})
}
