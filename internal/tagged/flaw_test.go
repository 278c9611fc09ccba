package tagged_test

import (
	"encoding/json"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/reprise-go/reprise/internal/tagged"
)

// The types are named like what is wrong, or right, about them.
type (
	Redacted   string
	RedactedTo string
	ReadsMore  struct {
		Cents    int `json:"-"`
		Currency string
	}
	ReadsAll struct{ Cents int }
	Kind     struct{ Name string }
	Promoted struct {
		Kind
		Amount int
	}
	Declared struct {
		Kind
		Amount int
	}
	PromotedTo[T any] struct {
		Kind
		Amount T
	}
	DeclaredTo[T any] struct {
		Kind
		Amount T
	}
	RedactedKey  struct{ A int }
	hidden       struct{ A int }
	hiddenText   struct{ A int }
	pointerMoney struct{ cents int }
)

func (Redacted) MarshalJSON() ([]byte, error)      { return []byte(`"*"`), nil }
func (RedactedTo) MarshalText() ([]byte, error)    { return []byte("*"), nil }
func (*ReadsMore) UnmarshalJSON([]byte) error      { return nil }
func (*ReadsAll) UnmarshalJSON([]byte) error       { return nil }
func (k Kind) MarshalJSON() ([]byte, error)        { return json.Marshal(k.Name) }
func (k *Kind) UnmarshalJSON(b []byte) error       { return json.Unmarshal(b, &k.Name) }
func (d Declared) MarshalJSON() ([]byte, error)    { return json.Marshal([]any{d.Name, d.Amount}) }
func (*Declared) UnmarshalJSON([]byte) error       { return nil }
func (DeclaredTo[T]) MarshalJSON() ([]byte, error) { return nil, nil }
func (*DeclaredTo[T]) UnmarshalJSON([]byte) error  { return nil }
func (RedactedKey) MarshalText() ([]byte, error)   { return []byte("*"), nil }
func (hiddenText) MarshalText() ([]byte, error)    { return nil, nil }
func (*hiddenText) UnmarshalText([]byte) error     { return nil }
func (p *pointerMoney) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(p.cents), 10), nil
}
func (p *pointerMoney) UnmarshalJSON([]byte) error { return nil }

func TestWhatIsWrittenForLessThanItIsIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		of   reflect.Type
		want string
	}{
		{"redacting JSON", reflect.TypeFor[struct{ C Redacted }](), "C: tagged_test.Redacted has MarshalJSON and no UnmarshalJSON"},
		{"redacting text", reflect.TypeFor[struct{ C RedactedTo }](), "C: tagged_test.RedactedTo has MarshalText and no UnmarshalText"},
		{"below a slice", reflect.TypeFor[struct{ C []Redacted }](), "C: tagged_test.Redacted has MarshalJSON"},
		{"deep below a map", reflect.TypeFor[struct {
			C map[string][]struct{ D *Redacted }
		}](), "C: tagged_test.Redacted has MarshalJSON"},
		{"as a map's key", reflect.TypeFor[struct{ C map[struct{ Kind }]int }](), ""},
		{"reading what is not written", reflect.TypeFor[struct{ M ReadsMore }](), "M: tagged_test.ReadsMore reads its own JSON into fields that JSON does not write"},
		{"reading what is written", reflect.TypeFor[struct{ M ReadsAll }](), ""},
		{"a promoted method", reflect.TypeFor[Promoted](), "tagged_test.Promoted is written by what it embeds, and its other fields are left out"},
		{"a promoted method in a struct without a name", reflect.TypeFor[struct {
			time.Time
			Amount int
		}](), "is written by what it embeds"},
		{"a promoted method in a generic struct", reflect.TypeFor[PromotedTo[int]](), "tagged_test.PromotedTo[int] is written by what it embeds, and its other fields are left out"},
		{"a method of its own", reflect.TypeFor[Declared](), ""},
		{"a method of its own in a generic struct", reflect.TypeFor[DeclaredTo[int]](), ""},
		{"redacting text as a map's key", reflect.TypeFor[struct{ C map[RedactedKey]int }](), "C: tagged_test.RedactedKey has MarshalText and no UnmarshalText"},
		{"text as a map's key, which JSON takes as it is", reflect.TypeFor[struct{ C map[RedactedTo]int }](), ""},
		{"an embedded struct alone", reflect.TypeFor[struct{ time.Time }](), ""},
		{"an embedded pointer that nothing can set", reflect.TypeFor[struct {
			*hidden
			N int
		}](), "hidden: tagged_test.hidden is not exported, so nothing can set what an embedded pointer to it points to"},
		{"two embedded that write themselves", reflect.TypeFor[struct {
			hiddenText
			uuid
			N int
		}](), "hiddenText: tagged_test.hiddenText is not exported and writes its own JSON"},
		{"excluded", reflect.TypeFor[struct {
			C       Redacted `idempotency:"-"`
			*hidden `idempotency:"-"`
		}](), ""},
		{"usual types", reflect.TypeFor[struct {
			At     time.Time
			For    time.Duration
			Raw    json.RawMessage
			Int    *big.Int
			Rat    big.Rat
			Addr   netip.Addr
			Port   netip.AddrPort
			Prefix netip.Prefix
			IP     net.IP
			ID     uuid
			IDs    map[uuid][]uuid
			Stamp  *timestamppb.Timestamp
		}](), ""},
		{"a misspelt tag", reflect.TypeFor[struct {
			ID string `idempotncy:"key"`
		}](), `ID: there is no tag "idempotncy"; the nearest is "idempotency"`},
		{"a tag out of form", reflect.StructOf([]reflect.StructField{{
			Name: "ID", Type: reflect.TypeFor[string](), Tag: `json:"id",idempotency:"key"`,
		}}), "is not in the form"},
		{"a misspelt tag below a slice", reflect.TypeFor[struct {
			L []struct {
				ID string `idempotent:"-"`
			}
		}](), `there is no tag "idempotent"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := tagged.OfWhole(tt.of)
			if tt.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestWhatPathAndQueryGiveCounts(t *testing.T) {
	t.Parallel()
	type Place struct {
		ID string `path:"id" json:"-"`
	}
	type refund struct {
		Place `json:"-"`
		Dry   bool   `query:"dry" json:"-"`
		Note  string `query:"note" json:"-" idempotency:"-"`
		Audit string `json:"-"`
	}
	in := refund{Place{"a"}, true, "n", "x"}
	canonical, err := planOf(t, in).Fingerprint(reflect.ValueOf(in))
	require.NoError(t, err)
	assert.JSONEq(t, `{"path id":"a","query dry":true}`, string(canonical))
}

func TestValuesWithoutAnAddressAreAskedByTheirMethods(t *testing.T) {
	t.Parallel()
	in := struct {
		M map[string]pointerMoney
		A any
	}{map[string]pointerMoney{"a": {7}}, map[string][1]pointerMoney{"b": {{8}}}}
	canonical, err := planOf(t, in).Fingerprint(reflect.ValueOf(in))
	require.NoError(t, err)
	assert.JSONEq(t, `{"M":{"a":7},"A":{"b":[8]}}`, string(canonical))
}

func TestSpellingOfOwnJSONDoesNotCount(t *testing.T) {
	t.Parallel()
	plan := planOf(t, json.RawMessage{})
	one, two := json.RawMessage(`{"a":1,"b":[2]}`), json.RawMessage(` { "b" : [2], "a": 1 } `)
	first, _, err := plan.Bound(reflect.ValueOf(one))
	require.NoError(t, err)
	again, _, err := plan.Bound(reflect.ValueOf(two))
	require.NoError(t, err)
	assert.Equal(t, first, again)
}
