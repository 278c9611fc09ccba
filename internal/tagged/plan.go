package tagged

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
)

// Plan says where a type has its key and its scope, and what of it counts. Made by
// [Of]. Safe for concurrent use.
//
// Its methods take values of the type it was made for, or pointers to such, to any
// depth. An addressable value spares them a copy.
type Plan struct {
	typ     reflect.Type // without pointers
	key     *source
	scopes  []source
	chooses bool
	whole   value // of typ: all that counts
	shape   shape
	spare   sync.Pool // of *[]byte

	asJSON jsonv2.Options
}

// Of returns the plan of a type. A type that is no struct has no key and no scope,
// and counts as a whole.
//
// All mistakes of a type are joined. Each names the field, as Type.Field, and the
// word: one that does not exist (and the nearest that does), a key or a scope of a
// type without a text form, a second key, a word on an unexported field or below a
// slice, map or interface, words that contradict each other, words in a
// struct that contains itself, a field that counts and has no JSON form, or holds
// nothing that is exported.
func Of(t reflect.Type) (*Plan, error) { return of(t, &walker{}) }

// OfWhole is [Of] for values that are compared by their fingerprint alone: that their
// JSON may say less than they hold is a mistake, too.
func OfWhole(t reflect.Type) (*Plan, error) { return of(t, &walker{whole: true}) }

func of(t reflect.Type, w *walker) (*Plan, error) {
	if t == nil {
		return nil, errors.New("the type of the request is not known: it is a nil interface")
	}
	t = pointed(t)
	whole := w.root(t)
	if err := errors.Join(w.errs...); err != nil {
		return nil, err
	}
	p := &Plan{typ: t, key: w.key, scopes: w.scopes, chooses: w.chooses, whole: whole, asJSON: asJSON()}
	p.shape = p.shapeWithout(nil)
	p.spare.New = func() any { return new([]byte) }
	return p, nil
}

// HasKey reports whether the type has a key field.
func (p *Plan) HasKey() bool { return p.key != nil }

// HasScope reports whether the type has a scope field.
func (p *Plan) HasScope() bool { return len(p.scopes) > 0 }

// Chooses reports whether tags say what counts: one with "fingerprint", or one with
// "-" on a field that could count. The key never counts, and is no choice.
func (p *Plan) Chooses() bool { return p.chooses }

// NumberKey returns the type of the key field if its text is a number's, which is
// never a UUID, and its name as Type.Field; nil for any other.
func (p *Plan) NumberKey() (of reflect.Type, name string) {
	if p.key == nil || !p.key.number {
		return nil, ""
	}
	return p.key.typ, p.key.name
}

// TypeName names the plan's type as in Type.Field, one without a name as "struct".
func (p *Plan) TypeName() string { return nameOf(p.typ, "struct") }

// Source is a field that the key or the scope comes from.
type Source struct {
	Name  string // Type.Field
	Word  string // of its tag
	Index []int  // from the plan's type, as in [reflect.Value.FieldByIndex]
}

// Sources returns the fields that key and scope come from.
func (p *Plan) Sources() []Source {
	var list []Source
	if p.key != nil {
		list = append(list, Source{p.key.name, wordKey, p.key.index})
	}
	for _, s := range p.scopes {
		list = append(list, Source{s.name, wordScope, s.index})
	}
	return list
}

// Key returns the text of the key field; false if there is none, if it is empty
// (an empty text, the number 0, a nil pointer, a zero UUID), or if its type cannot
// write it.
func (p *Plan) Key(v reflect.Value) (string, bool) {
	if p.key == nil {
		return "", false
	}
	v, ok := p.value(v)
	if !ok {
		return "", false
	}
	text, err := p.key.read(v)
	return text, err == nil && text != ""
}

// Scope returns the text of the scope field, or of all of them: each with its
// length before it, so that "a", "bc" is another scope than "ab", "c". False if
// there is no such field, or one is empty. An error if a field's type cannot write
// its text.
func (p *Plan) Scope(v reflect.Value) (string, bool, error) {
	v, ok := p.value(v)
	if !ok || len(p.scopes) == 0 {
		return "", false, nil
	}
	if len(p.scopes) == 1 {
		text, err := p.scopes[0].read(v)
		return text, err == nil && text != "", err
	}
	var joined []byte
	for _, field := range p.scopes {
		text, err := field.read(v)
		if err != nil || text == "" {
			return "", false, err
		}
		joined = strconv.AppendInt(joined, int64(len(text)), 10)
		joined = append(append(joined, ':'), text...)
	}
	return string(joined), true, nil
}

// value returns the addressable value of the plan's type; false for a nil pointer.
func (p *Plan) value(v reflect.Value) (reflect.Value, bool) {
	for v.IsValid() && v.Kind() == reflect.Pointer && v.Type() != p.typ {
		v = v.Elem() // of a nil pointer: not valid
	}
	if !v.IsValid() {
		return v, false
	}
	if v.CanAddr() {
		return v, true
	}
	held := reflect.New(p.typ).Elem() // methods with pointer receivers count, too
	held.Set(v)
	return held, true
}

// source is a field that is read as text.
type source struct {
	name   string // Type.Field
	index  []int
	typ    reflect.Type // without pointers
	text   func(reflect.Value) (string, error)
	number bool // the text is that of an integer
}

func (s source) read(v reflect.Value) (string, error) {
	v, ok := at(v, s.index)
	if !ok {
		return "", nil
	}
	text, err := s.text(v)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.name, Unquoted(err))
	}
	return text, nil
}

// at returns the field at a path, behind all pointers; false if one is nil.
func at(v reflect.Value, index []int) (reflect.Value, bool) {
	for _, i := range index {
		var ok bool
		if v, ok = behind(v); !ok {
			return v, false
		}
		v = v.Field(i)
	}
	return behind(v)
}

func behind(v reflect.Value) (reflect.Value, bool) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return v, false
		}
		v = v.Elem()
	}
	return v, true
}

// maxPointers bounds how far pointers are followed: "type P *P" points at itself.
const maxPointers = 64

// pointed is what a type's values point at.
func pointed(t reflect.Type) reflect.Type {
	for range maxPointers {
		if t.Kind() != reflect.Pointer {
			break
		}
		t = t.Elem()
	}
	return t
}
