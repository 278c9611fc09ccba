package tagged_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/reprise-go/reprise/internal/tagged"
	"github.com/reprise-go/reprise/internal/testpb"
)

// The types are named like the mistake that is in them.
type (
	UnknownWord struct {
		ID string `idempotency:"kee"`
	}
	UnknownWordBelow struct {
		Card struct {
			Number string `idempotency:"fingerprnt"`
		}
	}
	EmptyWord struct {
		ID string `idempotency:""`
	}
	TwiceInOneTag struct {
		ID string `idempotency:"scope,scope"`
	}
	TwoKeys struct {
		ID    string `idempotency:"key"`
		Other string `idempotency:"key"`
	}
	KeyAndScope struct {
		ID string `idempotency:"key,scope"`
	}
	KeyThatCounts struct {
		ID string `idempotency:"key,fingerprint"`
	}
	CountsAndNot struct {
		ID string `idempotency:"fingerprint,-"`
	}
	ChosenAndExcluded struct {
		Amount  int    `idempotency:"fingerprint"`
		Comment string `idempotency:"-"`
	}
	FloatKey struct {
		ID float64 `idempotency:"key"`
	}
	BytesKey struct {
		ID []byte `idempotency:"key"`
	}
	BoolKey struct {
		ID bool `idempotency:"key"`
	}
	StructScope struct {
		Tenant struct{ Name string } `idempotency:"scope"`
	}
	InterfaceKey struct {
		ID any `idempotency:"key"`
	}
	Unexported struct {
		Name string
		id   string `idempotency:"key"`
	}
	Line struct {
		ID string `idempotency:"key"`
	}
	BelowSlice   struct{ Lines []Line }
	BelowPointer struct{ Lines []*Line }
	BelowArray   struct{ Lines [2]Line }
	BelowMap     struct{ Lines map[string]Line }
	OwnJSON      struct {
		Amount int `idempotency:"-"`
	}
	BelowOwnJSON struct{ Money OwnJSON }
	Recursive    struct {
		Name string `idempotency:"-"`
		Next *Recursive
	}
	NotInJSON struct {
		Secret string `idempotency:"fingerprint" json:"-"`
	}
	Channel   struct{ Done chan int }
	Func      struct{ Then func() }
	Mute      struct{ cents int64 }
	WithMute  struct{ Price *Mute }
	WithMutes struct{ Prices map[string][]Mute }
	Left      struct{ Name string }
	Right     struct{ Name string }
	Twins     struct {
		Left
		Right
	}
)

func (OwnJSON) MarshalJSON() ([]byte, error) { return []byte(`{}`), nil }

func (*OwnJSON) UnmarshalJSON([]byte) error { return nil }

func TestWrongTagsAreFoundOnceWithFieldAndWord_F15(t *testing.T) {
	t.Parallel()
	_, _ = Unexported{Name: "", id: ""}, Mute{cents: 1}
	tests := []struct {
		name string
		of   reflect.Type
		want string
	}{
		{"nothing", nil, "the type of the request is not known: it is a nil interface"},
		{"no such word", reflect.TypeFor[UnknownWord](), `UnknownWord.ID: idempotency:"kee": there is no word "kee"; the nearest is "key"`},
		{"no such word in a nested struct", reflect.TypeFor[UnknownWordBelow](), `UnknownWordBelow.Card.Number: idempotency:"fingerprnt": there is no word "fingerprnt"; the nearest is "fingerprint"`},
		{"no word", reflect.TypeFor[EmptyWord](), `EmptyWord.ID: idempotency:"": there is no word ""; the nearest is "-"`},
		{"a word twice", reflect.TypeFor[TwiceInOneTag](), `TwiceInOneTag.ID: idempotency:"scope,scope": the word "scope" is given twice`},
		{"two keys", reflect.TypeFor[TwoKeys](), `TwoKeys.Other: idempotency:"key": TwoKeys.ID is the key already`},
		{"key and scope", reflect.TypeFor[KeyAndScope](), `KeyAndScope.ID: idempotency:"key,scope": "key" and "scope": a key that is its own scope keeps nobody apart`},
		{"a key that counts", reflect.TypeFor[KeyThatCounts](), `KeyThatCounts.ID: idempotency:"key,fingerprint": "key" and "fingerprint": the key never counts`},
		{"counts and does not", reflect.TypeFor[CountsAndNot](), `CountsAndNot.ID: idempotency:"fingerprint,-": "fingerprint" and "-" contradict each other`},
		{"chosen and excluded", reflect.TypeFor[ChosenAndExcluded](), `ChosenAndExcluded.Amount: idempotency:"fingerprint": ChosenAndExcluded.Comment has "-"; what does not count is either what is not chosen or what is excluded`},
		{"a float as key", reflect.TypeFor[FloatKey](), `FloatKey.ID: idempotency:"key": float64 has no text form: it must be a string, an integer, or an encoding.TextMarshaler`},
		{"bytes as key", reflect.TypeFor[BytesKey](), `BytesKey.ID: idempotency:"key": []uint8 has no text form: it must be a string, an integer, or an encoding.TextMarshaler`},
		{"a bool as key", reflect.TypeFor[BoolKey](), `BoolKey.ID: idempotency:"key": a bool is no key: it tells two requests apart at most`},
		{"a struct as scope", reflect.TypeFor[StructScope](), `StructScope.Tenant: idempotency:"scope": struct { Name string } has no text form: it must be a string, an integer, or an encoding.TextMarshaler`},
		{"an interface as key", reflect.TypeFor[InterfaceKey](), `InterfaceKey.ID: idempotency:"key": interface {} has no text form: it must be a string, an integer, or an encoding.TextMarshaler`},
		{"an unexported field", reflect.TypeFor[Unexported](), `Unexported.id: idempotency:"key": the field is not exported`},
		{"below a slice", reflect.TypeFor[BelowSlice](), `Line.ID: idempotency:"key": it is below a slice, where no tag has an effect`},
		{"below a slice of pointers", reflect.TypeFor[BelowPointer](), `Line.ID: idempotency:"key": it is below a slice, where no tag has an effect`},
		{"below an array", reflect.TypeFor[BelowArray](), `Line.ID: idempotency:"key": it is below a slice, where no tag has an effect`},
		{"below a map", reflect.TypeFor[BelowMap](), `Line.ID: idempotency:"key": it is below a map, where no tag has an effect`},
		{"below own JSON", reflect.TypeFor[BelowOwnJSON](), `OwnJSON.Amount: idempotency:"-": it is in a type that writes its own JSON, where no tag has an effect`},
		{"recursive", reflect.TypeFor[Recursive](), `Recursive.Next: tagged_test.Recursive contains itself, and its tags cannot hold at every depth`},
		{"not in JSON", reflect.TypeFor[NotInJSON](), `NotInJSON.Secret: idempotency:"fingerprint": JSON leaves the field out (json:"-"), so it cannot count`},
		{"a channel", reflect.TypeFor[*Channel](), `Channel.Done: a chan has no JSON form: leave it out by json:"-" or idempotency:"-"`},
		{"a func", reflect.TypeFor[Func](), `Func.Then: a func has no JSON form: leave it out by json:"-" or idempotency:"-"`},
		{"a channel alone", reflect.TypeFor[chan int](), `chan int: a chan has no JSON form`},
		{"nothing exported", reflect.TypeFor[WithMute](), `WithMute.Price: nothing in it is exported, so it would not count: give its type a MarshalText and an UnmarshalText, or say idempotency:"-"`},
		{"nothing exported, in a container", reflect.TypeFor[WithMutes](), `WithMutes.Prices: nothing in it is exported, so it would not count: give its type a MarshalText and an UnmarshalText, or say idempotency:"-"`},
		{"nothing exported at all", reflect.TypeFor[Mute](), `tagged_test.Mute: nothing in it is exported, so it would not count: give its type a MarshalText and an UnmarshalText`},
		{"two fields of one name", reflect.TypeFor[Twins](), `Right.Name: Left.Name has the JSON name "Name", too`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := tagged.OfWhole(tt.of)
			assert.EqualError(t, err, tt.want)
		})
	}
}

func TestAllMistakesOfATypeAreTold(t *testing.T) {
	t.Parallel()
	_, err := tagged.OfWhole(reflect.TypeFor[struct {
		A UnknownWord
		B TwoKeys
		C Channel
	}]())
	assert.ErrorContains(t, err, "UnknownWord.ID")
	assert.ErrorContains(t, err, "TwoKeys.Other")
	assert.ErrorContains(t, err, "Channel.Done")
}

func TestWhatLooksLikeAMistakeAndIsNone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		of   reflect.Type
	}{
		{"a tree through a slice", reflect.TypeFor[tree]()},
		{"a list", reflect.TypeFor[list]()},
		{"an excluded channel", reflect.TypeFor[struct {
			Done chan int `idempotency:"-"`
		}]()},
		{"a func that JSON leaves out", reflect.TypeFor[struct {
			Then func() `json:"-"`
		}]()},
		{"types that write themselves", reflect.TypeFor[struct {
			At  time.Time
			Raw json.RawMessage
			N   json.Number
		}]()},
		{"an empty message", reflect.TypeFor[*emptypb.Empty]()},
		{"any message", reflect.TypeFor[*testpb.Order]()},
		{"no struct", reflect.TypeFor[[]string]()},
		{"no fields", reflect.TypeFor[struct{}]()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plan, err := tagged.OfWhole(tt.of)
			assert.NoError(t, err)
			assert.False(t, plan.HasKey() || plan.HasScope())
		})
	}
}

type list struct {
	Name string
	Next *list
}

type tree struct {
	Name     string
	Children []tree
}

// What Go would not read, or reads as a tag of another name, is found for whatever
// names a caller knows.
func TestCheckTag(t *testing.T) {
	t.Parallel()
	malformed := func(tag string) string {
		return "the tag `" + tag + "` is not in the form name:\"value\", so that Go does not read it"
	}
	tests := []struct{ name, tag, want string }{
		{"none", ``, ""},
		{"its own", `idempotency:"key" json:"a"`, ""},
		{"others'", `json:"a" db:"b" hash:"c" yaml:"d"`, ""},
		{"misspelt", `idempotncy:"key"`, `there is no tag "idempotncy"; the nearest is "idempotency"`},
		{"in capitals", `PATH:"id"`, `there is no tag "PATH"; the nearest is "path"`},
		{"a short one, misspelt", `pth:"id"`, `there is no tag "pth"; the nearest is "path"`},
		{"twice", `path:"a" path:"b"`, `the tag "path" is there twice`},
		{"another's twice", `json:"a" json:"b"`, ""},
		{"a comma between", `json:"a",idempotency:"key"`, malformed(`json:"a",idempotency:"key"`)},
		{"no quotes", `idempotency:key`, malformed(`idempotency:key`)},
		{"misspelt and malformed", `pth: "id"`, malformed(`pth: "id"`)},
		{"another's, malformed", `json: "a"`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tagged.CheckTag(reflect.StructTag(tt.tag), "path")
			if tt.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, tt.want)
		})
	}
}
