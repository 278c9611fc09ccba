package tagged_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/tagged"
)

type uuid [16]byte

func (u uuid) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%x", u[:]), nil }

func (u *uuid) UnmarshalText([]byte) error { return nil }

type pointerText struct{ s string }

func (p *pointerText) UnmarshalText([]byte) error { return nil }

func (p *pointerText) MarshalText() ([]byte, error) {
	if p.s == "broken" {
		return nil, errors.New("it is broken")
	}
	return []byte("<" + p.s + ">"), nil
}

func planOf(t *testing.T, v any) *tagged.Plan {
	t.Helper()
	plan, err := tagged.OfWhole(reflect.TypeOf(v))
	require.NoError(t, err)
	return plan
}

type Meta struct {
	RequestID string `idempotency:"key"`
}

func TestKeyIsTheTextOfItsField(t *testing.T) {
	t.Parallel()
	text, empty := "k", ""
	tests := []struct {
		name string
		in   any
		want string // "" if there is none
	}{
		{"string", struct {
			K string `idempotency:"key"`
		}{"k"}, "k"},
		{"empty string", struct {
			K string `idempotency:"key"`
		}{}, ""},
		{"signed", struct {
			K int64 `idempotency:"key"`
		}{-7}, "-7"},
		{"unsigned", struct {
			K uint64 `idempotency:"key"`
		}{math.MaxUint64}, "18446744073709551615"},
		{"zero", struct {
			K int `idempotency:"key"`
		}{}, ""},
		{"pointer", struct {
			K *string `idempotency:"key"`
		}{&text}, "k"},
		{"pointer to nothing", struct {
			K *string `idempotency:"key"`
		}{&empty}, ""},
		{"nil pointer", struct {
			K *string `idempotency:"key"`
		}{}, ""},
		{"UUID", struct {
			K uuid `idempotency:"key"`
		}{uuid{15: 0xAB}}, "000000000000000000000000000000ab"},
		{"zero UUID", struct {
			K uuid `idempotency:"key"`
		}{}, ""},
		{"pointer receiver", struct {
			K pointerText `idempotency:"key"`
		}{pointerText{"k"}}, "<k>"},
		{"failing text form", struct {
			K pointerText `idempotency:"key"`
		}{pointerText{"broken"}}, ""},
		{"nested", struct{ Meta Meta }{Meta{"k"}}, "k"},
		{"embedded", struct{ Meta }{Meta{"k"}}, "k"},
		{"below a pointer", struct{ Meta *Meta }{&Meta{"k"}}, "k"},
		{"below a nil pointer", struct{ Meta *Meta }{}, ""},
		{"below an embedded nil pointer", struct{ *Meta }{}, ""},
		{"not in JSON", struct {
			K string `idempotency:"key" json:"-"`
		}{"k"}, "k"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plan := planOf(t, tt.in)
			require.True(t, plan.HasKey())
			got, ok := plan.Key(reflect.ValueOf(tt.in))
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.want != "", ok)
		})
	}
}

func TestScopeFieldsAreJoinedWithoutAmbiguity_A1(t *testing.T) {
	t.Parallel()
	type two struct {
		A string `idempotency:"scope"`
		B string `idempotency:"scope"`
	}
	plan := planOf(t, two{})
	seen := make(map[string]two)
	for _, in := range []two{{"a", "bc"}, {"ab", "c"}, {"1:a", "b"}, {"1", "a1:b"}, {"a1:b", "1"}, {"a:b", "c"}, {"a", "b:c"}} {
		scope, ok, err := plan.Scope(reflect.ValueOf(in))
		require.NoError(t, err)
		require.True(t, ok)
		assert.NotContains(t, seen, scope)
		seen[scope] = in
	}
	for _, in := range []two{{"", "a"}, {"a", ""}} {
		_, ok, err := plan.Scope(reflect.ValueOf(in))
		require.NoError(t, err)
		assert.False(t, ok, "half a scope is none")
	}
}

func TestScopeOfOneFieldIsItsText(t *testing.T) {
	t.Parallel()
	type in struct {
		Live   bool        `idempotency:"scope"`
		Tenant pointerText `idempotency:"-"`
	}
	scope, ok, err := planOf(t, in{}).Scope(reflect.ValueOf(in{}))
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, "false", scope, "both values of a bool say something")

	type broken struct {
		Tenant pointerText `idempotency:"scope"`
	}
	_, ok, err = planOf(t, broken{}).Scope(reflect.ValueOf(&broken{pointerText{"broken"}}))
	assert.False(t, ok)
	assert.EqualError(t, err, "broken.Tenant: an error of type *errors.errorString")
}

type Base struct {
	ID   string `json:"id"`
	Note string `json:"note"`
}

func TestFingerprintIsCanonicalJSONOfWhatCounts(t *testing.T) {
	t.Parallel()
	zero, seven := 0, 7
	tests := []struct {
		name string
		in   any
		want string
	}{
		{"members are sorted by UTF-16", struct {
			C, B, A int
			D       int `json:"\u20ac"`
			E       int `json:"\U0001F600"`
			F       int `json:"\uFB33"`
		}{1, 2, 3, 4, 5, 6}, `{"A":3,"B":2,"C":1,"€":4,"` + "\U0001F600" + `":5,"` + "\uFB33" + `":6}`},
		{"zero values are left out", struct {
			A int
			B string
			C []int
			D *int
			E Base
		}{}, `{}`},
		{"pointers tell zero from absent", struct{ A, B, C *int }{&zero, &seven, nil}, `{"A":0,"B":7}`},
		{"the key does not count", struct {
			ID string `idempotency:"key"`
			N  int
		}{"k", 1}, `{"N":1}`},
		{"a struct that holds the key only", struct {
			Meta Meta
			N    int
		}{Meta{"k"}, 1}, `{"N":1}`},
		{"a scope counts", struct {
			S string `idempotency:"scope"`
			N int
		}{"s", 1}, `{"N":1,"S":"s"}`},
		{"unless it says no", struct {
			S string `idempotency:"scope,-"`
			N int
		}{"s", 1}, `{"N":1}`},
		{"excluded", struct {
			A int `idempotency:"-"`
			B Base
		}{1, Base{"i", "n"}}, `{"B":{"id":"i","note":"n"}}`},
		{"chosen", struct {
			A int `idempotency:"fingerprint"`
			B int
			C struct {
				D int `idempotency:"fingerprint"`
				E int
			}
			F Base `idempotency:"fingerprint"`
		}{A: 1, B: 2, C: struct {
			D int `idempotency:"fingerprint"`
			E int
		}{3, 4}, F: Base{"i", ""}}, `{"A":1,"C":{"D":3},"F":{"id":"i"}}`},
		{"embedded", struct {
			Base
			N int
		}{Base{"i", "n"}, 1}, `{"N":1,"id":"i","note":"n"}`},
		{"the outer one hides the embedded", struct {
			Base
			ID int `json:"id"`
		}{Base{"i", ""}, 1}, `{"id":1}`},
		{"embedded and excluded", struct {
			Base `idempotency:"-"`
			N    int
		}{Base{"i", "n"}, 1}, `{"N":1}`},
		{"embedded and chosen", struct {
			Base `idempotency:"fingerprint"`
			N    int
		}{Base{"i", "n"}, 1}, `{"id":"i","note":"n"}`},
		{"embedded with a name", struct {
			Base `json:"base"`
		}{Base{"i", ""}}, `{"base":{"id":"i"}}`},
		{"integers keep their digits", struct {
			A int64
			B uint64
		}{math.MinInt64, math.MaxUint64}, `{"A":-9223372036854775808,"B":18446744073709551615}`},
		{"text", struct{ A string }{"<é\"\n\u2028>"}, "{\"A\":\"<é\\\"\\n\u2028>\"}"},
		{"what writes itself", struct {
			At  time.Time
			Raw json.RawMessage
			U   uuid
			N   json.Number
		}{time.Unix(0, 0).UTC(), []byte(`{"b": 1, "a": "<"}`), uuid{1}, "12"},
			`{"At":"1970-01-01T00:00:00Z","N":12,"Raw":{"a":"<","b":1},"U":"01000000000000000000000000000000"}`},
		{"composites", struct {
			M map[string]any
			S []Base
			F float64
			B bool
		}{map[string]any{"b": nil, "a": []int{}}, []Base{{}, {"i", "n"}}, 0.1, true},
			`{"B":true,"F":0.1,"M":{"a":[],"b":null},"S":[{"id":"","note":""},{"id":"i","note":"n"}]}`},
		{"numbers of the standard library", []any{json.Number("1"), "1", json.Number("")}, `[1,"1",0]`},
		{"a list", list{"a", &list{"b", nil}}, `{"Name":"a","Next":{"Name":"b","Next":null}}`},
		{"no struct", []any{"a", 1, map[string]int{"z": 1, "a": 2}}, `["a",1,{"a":2,"z":1}]`},
		{"unexported fields", struct{ a, B int }{1, 2}, `{"B":2}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plan := planOf(t, tt.in)
			got, err := plan.Fingerprint(reflect.ValueOf(tt.in))
			require.NoError(t, err)
			assert.Equal(t, tt.want, string(got))

			pointer := reflect.New(reflect.TypeOf(tt.in))
			pointer.Elem().Set(reflect.ValueOf(tt.in))
			again, err := plan.Fingerprint(pointer)
			require.NoError(t, err)
			assert.Equal(t, tt.want, string(again), "behind a pointer it is the same")
		})
	}
}

func TestWhatCannotBeComparedIsAnError(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   any
		want string
	}{
		{"text that is not UTF-8", Base{ID: "\xff"}, "Base.ID"},
		{"the same deeper", struct{ L []string }{[]string{"\xff"}}, "L: "},
		{"not a number", struct{ F float64 }{math.NaN()}, "F: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plan := planOf(t, tt.in)
			_, err := plan.Fingerprint(reflect.ValueOf(tt.in))
			require.ErrorContains(t, err, tt.want)
			_, _, err = plan.Bound(reflect.ValueOf(tt.in))
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestNilPointerHasNothing(t *testing.T) {
	t.Parallel()
	plan := planOf(t, Meta{})
	nothing := reflect.ValueOf((*Meta)(nil))
	_, ok := plan.Key(nothing)
	assert.False(t, ok)
	_, ok, err := plan.Scope(nothing)
	assert.NoError(t, err)
	assert.False(t, ok)
	canonical, err := plan.Fingerprint(nothing)
	assert.NoError(t, err)
	assert.Nil(t, canonical)
	_, _, err = plan.Bound(nothing)
	assert.NoError(t, err)
}

// Records name it: whoever changes it makes records of the former version
// unreadable, and has to give it another name.
