package idemhttp

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/internal/tagged"
)

// checkReadable finds what encoding/json could not read into a struct, at any depth:
// every request that has such a member would be refused. All mistakes are joined; each
// names the field, as Type.Field. What a type makes of its own JSON is its own business.
func checkReadable(t reflect.Type) error {
	c := readChecker{seen: make(map[reflect.Type]bool)}
	c.value(t, typeName(t))
	return errors.Join(c.errs...)
}

// readChecker goes over a type once.
type readChecker struct {
	seen map[reflect.Type]bool
	errs []error
}

func (c *readChecker) fail(name, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(name+": "+format, args...))
}

func (c *readChecker) value(t reflect.Type, name string) {
	if c.seen[t] {
		return
	}
	switch method := readMethod(t); {
	case method == "":
		c.parts(t, name)
	case tagged.Inherits(t, method):
		c.fail(name, "%v has its %s from what it embeds, and its other fields are not read: give the embedded field a name", t, method)
	}
}

// parts looks at what JSON reads into a type by itself.
func (c *readChecker) parts(t reflect.Type, name string) {
	switch t.Kind() {
	case reflect.Interface:
		if t.NumMethod() > 0 {
			c.fail(name, "%v is an interface with methods, and JSON cannot know what to read into it", t)
		}
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		c.fail(name, `JSON cannot read a %v: leave it out by json:"-"`, t.Kind())
	case reflect.Pointer, reflect.Slice, reflect.Array:
		c.seen[t] = true
		c.value(t.Elem(), name)
	case reflect.Map:
		c.seen[t] = true
		if !isMapKey(t.Key()) {
			c.fail(name, "the keys of the map are %v, and JSON reads strings, integers, and types with an UnmarshalText", t.Key())
		}
		c.value(t.Elem(), name)
	case reflect.Struct:
		c.seen[t] = true
		if isUnread(t) {
			c.fail(name, `JSON reads nothing into a %v: export its fields, give it an UnmarshalJSON, or leave it out by json:"-"`, t)
			return
		}
		c.fields(t, name)
	default:
	}
}

func (c *readChecker) fields(t reflect.Type, above string) {
	for f := range t.Fields() {
		name := above + "." + f.Name
		inner := structOf(f.Type)
		switch {
		case cannotBeMade(f):
			c.fail(name, "the embedded pointer is to a type that is not exported, "+
				"so that no request can set it: embed %v itself", f.Type.Elem())
		case f.Tag.Get("json") == "-":
		case isFlattened(f) && readsItself(inner):
			c.fail(name, "%v reads its own JSON, which it cannot where it is embedded: give the field a name", inner)
		case isFlattened(f):
			if !c.seen[inner] {
				c.seen[inner] = true
				c.fields(inner, name)
			}
		case f.IsExported():
			c.value(f.Type, name)
		}
	}
}

// cannotBeMade knows embedded pointers that encoding/json and reflect cannot set,
// unless nothing in them is to be set.
func cannotBeMade(f reflect.StructField) bool {
	if !f.Anonymous || f.IsExported() || f.Type.Kind() != reflect.Pointer {
		return false
	}
	return f.Tag.Get("json") != "-" || slices.ContainsFunc(reflect.VisibleFields(f.Type.Elem()), hasPlace)
}

// isFlattened knows embedded structs whose fields JSON takes for the outer one's.
func isFlattened(f reflect.StructField) bool {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return f.Anonymous && structOf(f.Type) != nil && !isMemberName(name)
}

// readMethod returns the method by which JSON lets a type read itself; "" if it has none.
func readMethod(t reflect.Type) string {
	switch {
	case has[json.Unmarshaler](t):
		return "UnmarshalJSON"
	case has[encoding.TextUnmarshaler](t):
		return "UnmarshalText"
	default:
		return ""
	}
}

func hasPlace(f reflect.StructField) bool {
	_, found, err := newPlaceField(f)
	return found || err != nil
}

func isMapKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	default:
		return has[encoding.TextUnmarshaler](t)
	}
}

// isUnread knows structs that hold something, and into which JSON reads nothing. A
// message of protobuf has fields of its own, even where it has none. A tag on what is
// not exported is a mistake of another kind.
func isUnread(t reflect.Type) bool {
	for f := range t.Fields() {
		if _, said := f.Tag.Lookup(tagPolicy); said || hasPlace(f) || f.IsExported() || f.Anonymous {
			return false
		}
	}
	_, message := reflect.PointerTo(t).MethodByName("ProtoReflect")
	return t.NumField() > 0 && !message
}
