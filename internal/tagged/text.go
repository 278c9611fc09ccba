package tagged

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
)

// textOf returns how a key or scope of that type is read; nil if the type has no
// text form. The result is "" for what is empty.
func textOf(t reflect.Type) func(reflect.Value) (string, error) {
	if writesText(t) {
		return marshaledText
	}
	switch t.Kind() {
	case reflect.String:
		return func(v reflect.Value) (string, error) { return v.String(), nil }
	case reflect.Bool: // both values say something
		return func(v reflect.Value) (string, error) { return strconv.FormatBool(v.Bool()), nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(v reflect.Value) (string, error) {
			if v.Int() == 0 {
				return "", nil
			}
			return strconv.FormatInt(v.Int(), 10), nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(v reflect.Value) (string, error) {
			if v.Uint() == 0 {
				return "", nil
			}
			return strconv.FormatUint(v.Uint(), 10), nil
		}
	default:
		return nil
	}
}

// writesText reports whether a type says itself what its text is.
func writesText(t reflect.Type) bool {
	return t.Kind() != reflect.Interface && implements[encoding.TextMarshaler](t)
}

func marshaledText(v reflect.Value) (string, error) {
	if v.IsZero() { // the UUID of zeros is what a UUID is before somebody sets it
		return "", nil
	}
	m, ok := reflect.TypeAssert[encoding.TextMarshaler](v.Addr())
	if !ok {
		return "", nil // never: the plan has checked it
	}
	text, err := m.MarshalText()
	return string(text), err
}

// implements reports whether values of a type have an interface's methods, those
// with pointer receivers included.
func implements[I any](t reflect.Type) bool {
	i := reflect.TypeFor[I]()
	return t.Implements(i) || reflect.PointerTo(t).Implements(i)
}

// writesItself reports whether a type decides about its JSON.
func writesItself(t reflect.Type) bool {
	return implements[json.Marshaler](t) || implements[encoding.TextMarshaler](t)
}
