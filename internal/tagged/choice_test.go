package tagged_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Tags say what counts where, without them, something else would.
func TestPlansKnowWhetherTagsChoose(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		of   any
		want bool
	}{
		{"no tags", struct{ A int }{}, false},
		{"no struct", 7, false},
		{"the key, which never counts", struct {
			ID string `idempotency:"key,-"`
			A  int
		}{}, false},
		{"a scope", struct {
			S string `idempotency:"scope"`
			A int
		}{}, false},
		{"excluded", struct {
			A int `idempotency:"-"`
		}{}, true},
		{"a scope that does not count", struct {
			S string `idempotency:"scope,-"`
			A int
		}{}, true},
		{"chosen", struct {
			A int `idempotency:"fingerprint"`
		}{}, true},
		{"chosen below", struct {
			B struct {
				A int `idempotency:"fingerprint"`
			}
		}{}, true},
		{"embedded and excluded", struct {
			Base `idempotency:"-"`
			A    int
		}{}, true},
		{"what has no JSON form", struct {
			F func() `idempotency:"-"`
			A int
		}{}, false},
		{"what JSON writes in part", struct {
			R Redacted `idempotency:"-"`
			A int
		}{}, false},
		{"what JSON leaves out", struct {
			A int `json:"-" idempotency:"-"`
			B string
		}{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, planOf(t, tt.of).Chooses())
		})
	}
}

type textNumber int

func (textNumber) MarshalText() ([]byte, error) { return []byte("text"), nil }
func (*textNumber) UnmarshalText([]byte) error  { return nil }

type namedNumber uint8

// A number is never a UUID; what writes its own text may be one.
func TestPlansKnowKeysThatAreNumbers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		of   any
		want reflect.Type // nil: it is none
	}{
		{"no key", struct{ ID int }{}, nil},
		{"text", struct {
			ID string `idempotency:"key"`
		}{}, nil},
		{"an integer", struct {
			ID int64 `idempotency:"key"`
		}{}, reflect.TypeFor[int64]()},
		{"a named one behind a pointer", struct {
			ID *namedNumber `idempotency:"key"`
		}{}, reflect.TypeFor[namedNumber]()},
		{"one with a text of its own", struct {
			ID textNumber `idempotency:"key"`
		}{}, nil},
		{"a UUID", struct {
			ID uuid `idempotency:"key"`
		}{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, name := planOf(t, tt.of).NumberKey()
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.want != nil, name == "struct.ID")
		})
	}
}
