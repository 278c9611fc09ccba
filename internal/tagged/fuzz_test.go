package tagged_test

import (
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/tagged"
)

type fuzzed struct {
	ID    string `idempotency:"key"`
	A, B  string
	N     int64
	Set   *string
	Lines []string
	Sub   struct {
		C string
		F float64
	}
}

// Two requests have one fingerprint if, and only if, all that counts is the same.
func FuzzFingerprintsAreEqualForEqualRequestsOnly(f *testing.F) {
	f.Add("a", "b", int64(1), 0.5, "a", "b", int64(1), 0.5)
	f.Add(`a","B":"b`, "", int64(0), 0.0, "a", "b", int64(0), 0.0)
	f.Add("", "a", int64(-1), 2.0, "a", "", int64(1), 2.0)
	f.Add("\xff", "", int64(0), 0.0, "\uFFFD", "", int64(0), 0.0)
	plan, err := tagged.OfWhole(reflect.TypeFor[fuzzed]())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, a1, b1 string, n1 int64, f1 float64, a2, b2 string, n2 int64, f2 float64) {
		one, two := request(a1, b1, n1, f1), request(a2, b2, n2, f2)
		one.ID, two.ID = "first", "second"
		bound1, _, err1 := plan.Bound(reflect.ValueOf(&one))
		bound2, _, err2 := plan.Bound(reflect.ValueOf(two))
		if err1 != nil || err2 != nil {
			isText := utf8.ValidString(a1) && utf8.ValidString(b1) && utf8.ValidString(a2) && utf8.ValidString(b2)
			assert.False(t, isText && f1-f1 == 0 && f2-f2 == 0, "only text that is no UTF-8, and numbers that are none, have no fingerprint")
			return
		}
		two.ID = one.ID
		assert.Equal(t, reflect.DeepEqual(one, two), bound1.Equal(bound2))
	})
}

func request(a, b string, n int64, f float64) fuzzed {
	in := fuzzed{A: a, B: b, N: n}
	if n%2 == 0 {
		in.Set = &a
	}
	if n%3 == 0 {
		in.Lines = []string{a, b}
	}
	in.Sub.C = b
	if f != 0 { // JSON tells zero from minus zero, and == does not
		in.Sub.F = f
	}
	return in
}
