package tagged

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// value is how a value of one type is written.
type value struct {
	kind    kind
	form    reflect.Kind
	members []member // of a kindObject
	flaw    string   // why JSON may write less than it holds; "" if it does not
}

// countable tells a value that would count, were it not excluded, from one that could
// not.
func (v value) countable() bool { return v.kind != kindNone && v.flaw == "" }

// member is a field that may count.
type member struct {
	name   string // in JSON
	label  string // the name in quotes, and a colon
	field  string // Type.Field
	index  []int  // from the struct that the member is in
	said   said
	placed bool // the path or the query has it, and not JSON
	value  value
}

// kind is how a value is written. The common ones need neither the encoder nor an
// allocation.
type kind uint8

const (
	kindNone kind = iota // has no JSON form
	kindObject
	kindString
	kindInt
	kindUint
	kindBool
	kindAny // by the encoder
)

func kindOf(t reflect.Type) kind {
	switch t.Kind() {
	case reflect.String:
		if t == reflect.TypeFor[json.Number]() {
			return kindAny
		}
		return kindString
	case reflect.Bool:
		return kindBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return kindInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return kindUint
	case reflect.Float32, reflect.Float64, reflect.Interface, reflect.Map, reflect.Slice, reflect.Array:
		return kindAny
	default:
		return kindNone
	}
}

// Fingerprint returns what counts of a value, in canonical form: equal bytes for
// equal requests. Nil for a nil pointer.
//
// Errors name the field and quote no value: text that is not UTF-8, a number that JSON
// cannot write, or what a type that writes its own JSON says, which is behind [Unquoted].
func (p *Plan) Fingerprint(v reflect.Value) ([]byte, error) { return p.appendWithout(nil, v, nil) }

func (p *Plan) appendWithout(dst []byte, v reflect.Value, without []*member) ([]byte, error) {
	v, ok := p.value(v)
	if !ok {
		return dst, nil
	}
	w := writer{p.asJSON, without}
	dst, err := w.append(dst, v, &p.whole)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", typeName(p.typ), err)
	}
	return dst, nil
}

// writer appends values in canonical form.
type writer struct {
	options jsonv2.Options
	without []*member
}

func (w writer) append(dst []byte, v reflect.Value, how *value) ([]byte, error) {
	switch how.kind {
	case kindObject:
		return w.object(dst, v, how.members)
	case kindString:
		return jsontext.AppendQuote(dst, v.String())
	case kindInt:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case kindUint:
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	case kindBool:
		return strconv.AppendBool(dst, v.Bool()), nil
	default:
		return w.appendAny(dst, v)
	}
}

func (w writer) object(dst []byte, v reflect.Value, members []member) ([]byte, error) {
	dst = append(dst, '{')
	first := len(dst)
	for i := range members {
		before := len(dst)
		if before > first {
			dst = append(dst, ',')
		}
		after, err := w.member(dst, v, &members[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", members[i].field, err)
		}
		if len(after) == len(dst) { // it is left out
			after = dst[:before]
		}
		dst = after
	}
	return append(dst, '}'), nil
}

// errSet says that a value has something which the other process does not know.
var errSet = errors.New("a field is set that must not count")

// member appends one member, or nothing if it is left out.
func (w writer) member(dst []byte, v reflect.Value, m *member) ([]byte, error) {
	after, err := w.setMember(dst, v, m)
	if len(after) > len(dst) && slices.Contains(w.without, m) {
		return nil, errSet
	}
	return after, err
}

func (w writer) setMember(dst []byte, v reflect.Value, m *member) ([]byte, error) {
	v, ok := field(v, m.index)
	if !ok || v.IsZero() {
		return dst, nil
	}
	held := v.Kind() == reflect.Pointer // that somebody set it, says something
	if v, ok = behind(v); !ok {
		return dst, nil
	}
	before, start := len(dst), len(dst)+len(m.label)
	dst, err := w.append(append(dst, m.label...), v, &m.value)
	if err == nil && !held && m.value.kind == kindObject && len(dst) == start+len("{}") {
		return dst[:before], nil // nothing of it counts that is set
	}
	return dst, err
}

// field returns the field at a path, which may be a pointer itself; false if an
// embedded pointer on the way is nil.
func field(v reflect.Value, index []int) (reflect.Value, bool) {
	last := len(index) - 1
	v, ok := at(v, index[:last])
	if !ok {
		return v, false
	}
	return v.Field(index[last]), true
}

// appendAny writes a value as encoding/json would, and brings that into canonical
// form. Unlike it, it refuses text that is not UTF-8: replaced, two different
// requests would look the same.
func (w writer) appendAny(dst []byte, v reflect.Value) ([]byte, error) {
	var raw bytes.Buffer
	if err := jsonv2.MarshalWrite(&raw, v.Addr().Interface(), w.options); err != nil {
		return nil, Unquoted(err)
	}
	return jsontext.AppendFormat(dst, raw.Bytes(), jsontext.AllowDuplicateNames(true), jsontext.ReorderRawObjects(true))
}

func asJSON() jsonv2.Options {
	return jsonv2.JoinOptions(
		jsonv1.DefaultOptionsV1(),
		// Else a value in a map, which has no address, would not be asked by its methods
		// with pointer receivers, and {} would stand for all of them.
		jsonv1.CallMethodsWithLegacySemantics(false),
		jsonv2.Deterministic(true),
		jsontext.AllowInvalidUTF8(false),
		jsontext.EscapeForHTML(false),
		// The standard library's numbers are strings to this one, and 1 would be "1".
		jsonv2.WithMarshalers(jsonv2.MarshalToFunc(func(out *jsontext.Encoder, n json.Number) error {
			return out.WriteValue(jsontext.Value(cmp.Or(n, "0")))
		})),
	)
}
