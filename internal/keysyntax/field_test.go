package keysyntax_test

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/keysyntax"
)

type (
	named       string
	uuidBytes   [16]byte
	uuidPointer [16]byte
	// numbered is a number that writes its own text.
	numbered int
)

func (uuidBytes) MarshalText() ([]byte, error)    { return nil, nil }
func (*uuidPointer) MarshalText() ([]byte, error) { return nil, nil }
func (numbered) MarshalText() ([]byte, error)     { return nil, nil }

func TestCheckField_NumbersAreNeverUUIDs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		field  reflect.Type
		format string
		want   string // "" if the field may have such keys
	}{
		{"a number", reflect.TypeFor[int64](), "uuid", `KeyFormat is "uuid", and int64 is never a UUID: make the field a string`},
		{"a number without a sign", reflect.TypeFor[uint8](), "uuid4", `KeyFormat is "uuid4", and uint8 is never a UUID: make the field a string`},
		{"a pointer to a number", reflect.TypeFor[**int](), "uuid7", `KeyFormat is "uuid7", and int is never a UUID: make the field a string`},
		{"any key may be a number", reflect.TypeFor[int64](), "any", ""},
		{"no word", reflect.TypeFor[int64](), "", ""},
		{"a string", reflect.TypeFor[string](), "uuid", ""},
		{"a string by another name", reflect.TypeFor[*named](), "uuid4", ""},
		{"a text", reflect.TypeFor[uuidBytes](), "uuid", ""},
		{"a text by pointer", reflect.TypeFor[uuidPointer](), "uuid", ""},
		{"a number with a text", reflect.TypeFor[numbered](), "uuid7", ""},
		{"a text of others", reflect.TypeFor[netip.Addr](), "uuid", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := keysyntax.CheckField(tt.field, tt.format)
			if tt.want == "" {
				assert.NoError(t, err)
				return
			}
			require.EqualError(t, err, tt.want)
		})
	}
}

// What is a UUID format for a field is one for a key.
func TestCheckField_KnowsTheFormatsThatAskForAUUID(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"any", "uuid", "uuid4", "uuid7", ""} {
		_, err := keysyntax.Format("1", format)
		assert.Equal(t, err != nil, keysyntax.CheckField(reflect.TypeFor[int](), format) != nil, format)
	}
}
