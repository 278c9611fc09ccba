package tagged_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/tagged"
)

func TestUnquoted_F83_SaysWhatIsWrongAndNoValue(t *testing.T) {
	t.Parallel()
	var small struct {
		Amount int8 `json:"amount"`
	}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"a number", json.Unmarshal([]byte(`{"amount": 4711}`), &small), `*json.UnmarshalTypeError of the field "amount", a int8`},
		{"a type", &json.UnsupportedTypeError{Type: reflect.TypeFor[chan int]()}, "*json.UnsupportedTypeError of a chan int"},
		{"text", &jsontext.SyntacticError{Err: errors.New("invalid UTF-8")}, "invalid UTF-8"},
		{"a character", &jsontext.SyntacticError{Err: errors.New("invalid character '4711'")}, "an error of type *jsontext.SyntacticError"},
		{"somebody's own", fmt.Errorf("card 4711: %w", errors.ErrUnsupported), "an error of type *fmt.wrapError"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tagged.Unquoted(tt.err)
			require.EqualError(t, err, tt.want)
			require.ErrorIs(t, err, tt.err, "it can be asked for")
			assert.NotContains(t, fmt.Sprintf("%v %+v %s %q", err, err, err, err), "4711")
		})
	}
	require.NoError(t, tagged.Unquoted(nil))
}
