package tagged_test

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/reprise-go/reprise/internal/tagged"
)

type (
	// receipt has a field of each kind that comes back as it was.
	receipt struct {
		ID     string `json:"id"`
		Amount int64
		Rate   float64
		Paid   *bool
		At     time.Time
		From   netip.Addr
		Sum    *big.Int
		Exact  big.Int
		Raw    json.RawMessage
		Number json.Number
		Bytes  []byte
		Lines  []line
		Pair   [2]line
		ByName map[string]line
		ByDay  map[int]*line
		ByAddr map[netip.Addr]bool
		Sums   map[string]*big.Int
		Next   *receipt `json:",omitempty"`
		Hook   func()   `json:"-"`
		sync.Mutex
		line
		Named struct{ X int } `json:"named"`
	}
	line struct{ Text string }

	chained []chained
	endless *endless
	ring    struct {
		Others map[string]ring
		*ringMember
	}
	ringMember struct{ Of *ring }
	Selfish    struct{ *Selfish }

	concealed  struct{ n int }
	allLeftOut struct {
		N int `json:"-"`
	}
	onlyMutex   struct{ sync.Mutex }
	marker      struct{ _ struct{} }
	secret      struct{ n int } // writes its own JSON, and reads it
	writer      struct{ n int }
	textOnly    int
	textBoth    int
	textPointer struct{ n int }
	pair        struct{ a, b string }

	withError  struct{ Err error }
	nested     struct{ Inner []map[string]*withError }
	withHidden struct{ H concealed }
	withReader struct{ Body io.Reader }
	embedsTime struct {
		time.Time
		Zone string
	}
	embedsTimeOwn struct {
		time.Time
		Zone string
	}
	embedsText struct {
		textBoth
		Other string
	}
	embedsPointer struct {
		*hiddenLine
		Other string
	}
	hiddenLine struct{ Text string }
	opaque     struct {
		n int `protobuf:"varint,1,opt,name=n"`
	}
)

func (s secret) MarshalJSON() ([]byte, error)  { return fmt.Appendf(nil, "%d", s.n), nil }
func (s *secret) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &s.n) }
func (w writer) MarshalJSON() ([]byte, error)  { return fmt.Appendf(nil, "%d", w.n), nil }
func (textOnly) MarshalText() ([]byte, error)  { return []byte("one"), nil }
func (textBoth) MarshalText() ([]byte, error)  { return []byte("one"), nil }
func (t *textBoth) UnmarshalText([]byte) error { *t = 1; return nil }

func (t *textPointer) MarshalText() ([]byte, error) { return []byte(strings.Repeat("i", t.n)), nil }
func (t *textPointer) UnmarshalText(b []byte) error { t.n = len(b); return nil }

func (p pair) MarshalText() ([]byte, error) { return []byte(p.a + "/" + p.b), nil }
func (p *pair) UnmarshalText(text []byte) error {
	p.a, p.b, _ = strings.Cut(string(text), "/")
	return nil
}

func (e embedsTimeOwn) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{e.Time, e.Zone})
}

func (e *embedsTimeOwn) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&e.Time, &e.Zone})
}

func (*opaque) ProtoReflect() {}

func sample(next *receipt) *receipt {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	addr := netip.MustParseAddr("10.0.0.1")
	return &receipt{
		ID: "r", Amount: 1 << 60, Rate: 0.1, Paid: new(true), At: at, From: addr, Sum: big.NewInt(7), Exact: *big.NewInt(8),
		Raw: json.RawMessage(`{"a":1}`), Number: "1", Bytes: []byte{1}, Lines: []line{{"l"}}, Pair: [2]line{{"m"}},
		ByName: map[string]line{"a": {"n"}}, ByDay: map[int]*line{1: {"o"}}, ByAddr: map[netip.Addr]bool{addr: true},
		Sums: map[string]*big.Int{"a": big.NewInt(9)}, Next: next, line: line{"p"},
	}
}

func locked() *onlyMutex {
	m := new(onlyMutex)
	m.Lock()
	return m
}

// Whatever is accepted comes back as it was, and whatever is refused does not.
func TestCheckResult_IsWhatEncodingJSONDoes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		value any    // a pointer to a result
		want  string // "" if it is accepted
	}{
		{"all that JSON can", sample(sample(nil)), ""},
		{"a pointer", new(sample(sample(nil))), ""},
		{"nothing", &struct{}{}, ""},
		{"a marker without a size", &marker{}, ""},
		{"a message without fields", &emptypb.Empty{}, ""},
		{"a slice of itself", &chained{{}, {{}}}, ""},
		{"a struct of itself", &ring{Others: map[string]ring{"a": {}}, ringMember: &ringMember{Of: &ring{}}}, "ring.ringMember: tagged_test.ringMember is not exported, so nothing can set"},
		{"JSON of its own, both ways", &[]secret{{7}}, ""},
		{"text of its own in a map", &map[textBoth]pair{1: {"a", "b"}}, ""},
		{"text by pointer", &[]textPointer{{3}}, ""},
		{"text by pointer in an array", &[1]textPointer{{3}}, ""},
		{"text by pointer in a map of pointers", &map[string]*textPointer{"a": {3}}, ""},
		{"its own JSON for what it embeds, too", &embedsTimeOwn{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "UTC"}, ""},
		{"keys of structs with text", &map[pair]int{{"a", "b"}: 1}, ""},

		{"chan", new(make(chan int)), "chan int: a chan has no JSON form"},
		{"func", new(func() {}), "func(): a func has no JSON form"},
		{"complex", new(1i), "complex128: a complex128 has no JSON form"},
		{"complex64", new(complex64(1i)), "complex64: a complex64 has no JSON form"},
		{"unsafe pointer", new(unsafe.Pointer(new(1))), "unsafe.Pointer: a unsafe.Pointer has no JSON form"},
		{"error", new(errors.New("no")), "error: error is an interface with methods"},
		{"interface", new(encoding.TextMarshaler(textBoth(1))), "encoding.TextMarshaler: encoding.TextMarshaler is an interface with methods"},
		{"a field that is an error", &withError{errors.New("no")}, "withError.Err: error is an interface with methods"},
		{"a field that is a reader", &withReader{strings.NewReader("a")}, "withReader.Body: io.Reader is an interface"},
		{"below slices, maps and pointers", &nested{[]map[string]*withError{{"a": {errors.New("no")}}}}, "withError.Err: error is an interface"},
		{"nothing exported", &concealed{1}, "tagged_test.concealed: JSON writes nothing of a tagged_test.concealed"},
		{"a field with nothing exported", &withHidden{concealed{1}}, "withHidden.H: JSON writes nothing of a tagged_test.concealed"},
		{"a lock", locked(), "tagged_test.onlyMutex: JSON writes nothing"},
		{"all left out", &allLeftOut{1}, "tagged_test.allLeftOut: JSON writes nothing"},
		{"fields of a message that are not exported", &opaque{1}, "tagged_test.opaque: JSON writes nothing"},
		{"JSON one way", &writer{1}, "tagged_test.writer: tagged_test.writer writes its own JSON and does not read it"},
		{"text one way", new(textOnly(1)), "tagged_test.textOnly: tagged_test.textOnly writes its own JSON and does not read it"},
		{"text by pointer in a map", &map[string]textPointer{"a": {3}}, "textPointer writes its own JSON by a method with a pointer receiver"},
		{"text by pointer in an array in a map", &map[string][1]textPointer{"a": {{3}}}, "textPointer writes its own JSON by a method with a pointer receiver"},
		{"an embedded time beside a zone", &embedsTime{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "UTC"}, "tagged_test.embedsTime gets its MarshalJSON from what it embeds"},
		{"an embedded text beside another", &embedsText{1, "a"}, "tagged_test.embedsText gets its MarshalText from what it embeds"},
		{"an embedded pointer that nothing can set", &embedsPointer{&hiddenLine{"a"}, "b"}, "embedsPointer.hiddenLine: tagged_test.hiddenLine is not exported"},
		{"keys that are structs", &map[line]int{{"a"}: 1}, "the keys of the map are tagged_test.line"},
		{"keys that are floats", &map[float64]int{1: 1}, "the keys of the map are float64"},
		{"keys that are anything", &map[any]int{"a": 1}, "the keys of the map are interface {}"},
		{"keys with text one way", &map[textOnly]int{1: 1}, "the keys of the map are tagged_test.textOnly"},
		{"keys with text by pointer", &map[textPointer]int{{1}: 1}, "the keys of the map are tagged_test.textPointer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tagged.CheckResult(reflect.TypeOf(tt.value).Elem())
			assert.Equal(t, tt.want == "", comesBack(tt.value), "by encoding/json itself")
			if tt.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

// comesBack reports whether JSON gives back what it was given.
func comesBack(v any) bool {
	data, err := json.Marshal(v)
	if err != nil {
		return false
	}
	again := reflect.New(reflect.TypeOf(v).Elem())
	if err := json.Unmarshal(data, again.Interface()); err != nil {
		return false
	}
	return assert.ObjectsAreEqual(v, again.Interface())
}

func TestCheckResult_EndsForTypesThatContainThemselves(t *testing.T) {
	t.Parallel()
	for _, typ := range []reflect.Type{reflect.TypeFor[chained](), reflect.TypeFor[endless](), reflect.TypeFor[ring](), reflect.TypeFor[Selfish]()} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = tagged.CheckResult(typ)
			_, _ = tagged.OfWhole(typ)
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			require.Fail(t, "it does not end", typ)
		}
	}
}

func TestCheckResult_NamesAllMistakesOnce(t *testing.T) {
	t.Parallel()
	type wrong struct {
		First, Second *concealed
		Err, Other    error
		Any           any
		Fine          struct{ Err error } `json:"-"`
		Inline        struct{ Err error }
	}
	assert.EqualError(t, tagged.CheckResult(reflect.TypeFor[wrong]()),
		"wrong.First: JSON writes nothing of a tagged_test.concealed: export its fields, or give it a MarshalJSON and an UnmarshalJSON\n"+
			"wrong.Err: error is an interface with methods, and JSON cannot know what to read into it\n"+
			"wrong.Other: error is an interface with methods, and JSON cannot know what to read into it\n"+
			"wrong.Inline.Err: error is an interface with methods, and JSON cannot know what to read into it")
	assert.EqualError(t, tagged.CheckResult(nil), "the type of the result is not known")
}
