package tagged

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// CheckResult finds what encoding/json could not write of a type's values, could not
// read back, or would leave out altogether: a chan, a func, a complex number, an
// interface with methods, a struct of which JSON writes nothing, a type that writes its
// own JSON and does not read it, a map whose keys are no text. All mistakes are joined;
// each names the field, as Type.Field. A type that contains itself is looked at once.
//
// An empty interface is none: JSON writes what is in it and reads a map[string]any, a
// float64 and the like.
func CheckResult(t reflect.Type) error {
	if t == nil {
		return errors.New("the type of the result is not known")
	}
	return checkType(t, true)
}

// CheckWritten is [CheckResult] for what is written and not read back: an interface
// with methods, and a type that does not read its own JSON, are none.
func CheckWritten(t reflect.Type) error { return checkType(t, false) }

func checkType(t reflect.Type, read bool) error {
	c := resultChecker{seen: make(map[visit]bool), read: read}
	c.value(t, typeName(t), true)
	return errors.Join(c.errs...)
}

// resultChecker goes over a type once.
type resultChecker struct {
	seen map[visit]bool
	read bool // it is to be read back
	errs []error
}

// visit is a type where JSON can take its address, or where it cannot: in a map. There
// methods with pointer receivers are not called.
type visit struct {
	t                     reflect.Type
	addressable, embedded bool
}

func (c *resultChecker) fail(name, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s: %w", name, fmt.Errorf(format, args...)))
}

func (c *resultChecker) value(t reflect.Type, name string, addressable bool) {
	if t.Kind() == reflect.Interface {
		if t.NumMethod() > 0 && c.read {
			c.fail(name, "%s is an interface with methods, and JSON cannot know what to read into it", t)
		}
		return
	}
	at := visit{t: t, addressable: addressable}
	if c.seen[at] {
		return
	}
	c.seen[at] = true
	if t.Kind() == reflect.Pointer {
		c.value(t.Elem(), name, true)
		return
	}
	if !c.own(at, name) {
		c.parts(at, name)
	}
}

// own looks at a type that has JSON of its own; false if it has not.
func (c *resultChecker) own(at visit, name string) bool {
	t := at.t
	writes := t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
	reads := implements[json.Unmarshaler](t) || implements[encoding.TextUnmarshaler](t)
	if !writes && writesItself(t) {
		if !at.addressable && reads {
			c.fail(name, "%s writes its own JSON by a method with a pointer receiver, which is not called in a map: use *%s", t, t)
			return true
		}
		writes = at.addressable
	}
	for _, methods := range [][]string{{"MarshalJSON", "MarshalText"}, {"UnmarshalJSON", "UnmarshalText"}} {
		if method := firstMethod(t, methods); Inherits(t, method) {
			c.fail(name, "%s gets its %s from what it embeds, and its other fields are left out: give the embedded field a name", t, method)
			return true
		}
	}
	if writes && !reads && c.read {
		c.fail(name, "%s writes its own JSON and does not read it: give it an UnmarshalJSON or an UnmarshalText", t)
	}
	return writes
}

// firstMethod returns the one that JSON calls, "" if there is none.
func firstMethod(t reflect.Type, methods []string) string {
	for _, method := range methods {
		if hasMethod(t, method) {
			return method
		}
	}
	return ""
}

// parts looks at what JSON writes of a type by itself.
func (c *resultChecker) parts(at visit, name string) {
	t := at.t
	switch t.Kind() {
	case reflect.Struct:
		if isUnwritten(t) {
			c.fail(name, "JSON writes nothing of a %s: export its fields, or give it a MarshalJSON and an UnmarshalJSON", t)
			return
		}
		c.fields(at, name)
	case reflect.Slice:
		c.value(t.Elem(), name, true)
	case reflect.Array:
		c.value(t.Elem(), name, at.addressable)
	case reflect.Map:
		c.mapKey(t.Key(), name)
		c.value(t.Elem(), name, false)
	case reflect.Complex64, reflect.Complex128, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		c.fail(name, "a %s has no JSON form", t.Kind())
	default:
	}
}

func (c *resultChecker) fields(at visit, above string) {
	for field := range at.t.Fields() {
		name := nameOf(at.t, above) + "." + field.Name
		switch inner, how := writtenAs(field); how {
		case asMember:
			c.value(field.Type, name, at.addressable || field.Type.Kind() == reflect.Pointer)
		case asItsFields:
			if flaw := embeddedFlaw(field); flaw != "" {
				c.fail(name, "%s", flaw)
				continue
			}
			inside := visit{inner, at.addressable || field.Type.Kind() == reflect.Pointer, true}
			if !c.seen[inside] { // it may embed itself
				c.seen[inside] = true
				c.fields(inside, name)
			}
		case notAtAll:
		}
	}
}

// mapKey looks at what becomes the names of an object's members. JSON takes a string as
// it is, asks MarshalText of anything else, and can write an integer itself.
func (c *resultChecker) mapKey(t reflect.Type, name string) {
	writes := t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
	reads := reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
	isInt := kindOf(t) == kindInt || kindOf(t) == kindUint
	switch {
	case t.Kind() == reflect.String, writes && (reads || !c.read), isInt && !writes && !reads:
	default:
		c.fail(name, "the keys of the map are %s: JSON reads and writes strings, integers, and types with both MarshalText and UnmarshalText", t)
	}
}

// writing is what JSON makes of a field.
type writing uint8

const (
	notAtAll    writing = iota
	asMember            // a member with its name
	asItsFields         // an embedded struct: what is in it, as if that were the outer one's
)

// writtenAs also returns the struct behind an embedded field.
func writtenAs(field reflect.StructField) (reflect.Type, writing) {
	_, named, written := jsonName(field)
	inner := field.Type
	if inner.Kind() == reflect.Pointer {
		inner = inner.Elem()
	}
	embedded := field.Anonymous && inner.Kind() == reflect.Struct
	switch {
	case !written, !field.IsExported() && !embedded:
		return inner, notAtAll
	case embedded && !named:
		return inner, asItsFields
	default:
		return inner, asMember
	}
}

// isUnwritten knows the structs that hold something of which JSON writes nothing. What
// an empty protobuf message holds is protobuf's own.
func isUnwritten(t reflect.Type) bool {
	_, message := reflect.PointerTo(t).MethodByName("ProtoReflect")
	holds := false
	for field := range t.Fields() {
		ofMessage := field.Tag.Get("protobuf") != ""
		holds = holds || field.Type.Size() > 0 && (!message || ofMessage)
	}
	return holds && !writesAny(t, nil)
}

func writesAny(t reflect.Type, open []reflect.Type) bool {
	if slices.Contains(open, t) {
		return false
	}
	for field := range t.Fields() {
		inner, how := writtenAs(field)
		if how == asMember || how == asItsFields && writesAny(inner, append(slices.Clip(open), t)) {
			return true
		}
	}
	return false
}
