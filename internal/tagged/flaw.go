package tagged

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
)

// flawOf says why what a type's JSON holds may be less than its values do, or ""; two
// requests that differ in the rest would look the same. It looks at all that JSON
// writes of it, but for the members of a struct that is written member by member.
func flawOf(t reflect.Type, open []reflect.Type) string {
	t = pointed(t)
	if slices.Contains(open, t) {
		return ""
	}
	if flaw := ownFlaw(t); flaw != "" || writesItself(t) {
		return flaw
	}
	open = append(slices.Clip(open), t)
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		return flawOf(t.Elem(), open)
	case reflect.Map:
		if flaw := keyFlaw(t.Key()); flaw != "" {
			return flaw
		}
		return flawOf(t.Elem(), open)
	case reflect.Struct:
		if len(open) > 1 { // the members of the first are looked at one by one
			return memberFlaw(t, open)
		}
	default:
	}
	return ""
}

func memberFlaw(t reflect.Type, open []reflect.Type) string {
	for field := range t.Fields() {
		_, _, written := jsonName(field)
		if !written || !field.IsExported() && !field.Anonymous {
			continue
		}
		if flaw := embeddedFlaw(field); flaw != "" {
			return flaw
		}
		if flaw := flawOf(field.Type, open); flaw != "" {
			return flaw
		}
	}
	return ""
}

// ownFlaw is what is wrong with a type itself.
func ownFlaw(t reflect.Type) string {
	writes, reads := implements[json.Marshaler](t), implements[json.Unmarshaler](t)
	writesText, readsText := implements[encoding.TextMarshaler](t), implements[encoding.TextUnmarshaler](t)
	switch {
	case t.Kind() == reflect.Interface:
		return ""
	case writes && Inherits(t, "MarshalJSON") || !writes && writesText && Inherits(t, "MarshalText"):
		return fmt.Sprintf("%s is written by what it embeds, and its other fields are left out: give the embedded field a name", t)
	case writes && !reads:
		return fmt.Sprintf("%s has MarshalJSON and no UnmarshalJSON, so it may write less than it holds: give it both", t)
	case !writes && writesText && !readsText:
		return fmt.Sprintf("%s has MarshalText and no UnmarshalText, so it may write less than it holds: give it both", t)
	case !writes && !writesText && (reads || readsText) && hasUnwritten(t):
		return fmt.Sprintf("%s reads its own JSON into fields that JSON does not write: give it a MarshalJSON", t)
	case isMute(t):
		return "nothing in it is exported, so it would not count: give its type a MarshalText and an UnmarshalText"
	}
	return ""
}

// keyFlaw is what is wrong with the keys of a map: only their text counts.
func keyFlaw(t reflect.Type) string {
	if implements[encoding.TextMarshaler](t) && !implements[encoding.TextUnmarshaler](t) && t.Kind() != reflect.String {
		return fmt.Sprintf("%s has MarshalText and no UnmarshalText, so it may write less than it holds: give it both", t)
	}
	return ""
}

// embeddedFlaw knows the embedded structs that reflection cannot set, or not read.
func embeddedFlaw(field reflect.StructField) string {
	if !field.Anonymous || field.IsExported() || pointed(field.Type).Kind() != reflect.Struct {
		return ""
	}
	switch {
	case field.Type.Kind() == reflect.Pointer:
		return fmt.Sprintf("%s is not exported, so nothing can set what an embedded pointer to it points to: embed it without one", field.Type.Elem())
	case writesItself(field.Type):
		return fmt.Sprintf("%s is not exported and writes its own JSON, which embedded it cannot: give the field a name", field.Type)
	}
	return ""
}

// hasUnwritten reports whether a struct has fields that JSON leaves out.
func hasUnwritten(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for field := range t.Fields() {
		if _, _, written := jsonName(field); !written || !field.IsExported() && !field.Anonymous {
			return true
		}
	}
	return false
}

// Inherits reports whether a struct has a method from a field that it embeds, and has
// other fields beside it, of which that method knows nothing.
func Inherits(t reflect.Type, method string) bool {
	if t.Kind() != reflect.Struct || t.NumField() < 2 {
		return false
	}
	for field := range t.Fields() {
		if field.Anonymous && hasMethod(field.Type, method) {
			return hasMethod(t, method) && (t.Name() == "" || isPromoted(t, method))
		}
	}
	return false
}

func hasMethod(t reflect.Type, method string) bool {
	_, own := t.MethodByName(method)
	_, behind := reflect.PointerTo(t).MethodByName(method)
	return own || behind
}

// isPromoted tells a method that the compiler made from an embedded field's from one
// that the type declares: of the former there is no source. Reflection alone shows
// them alike. Where the compiler has put the field's method in its place, the name is
// that method's.
func isPromoted(t reflect.Type, method string) bool {
	m, ok := t.MethodByName(method)
	if !ok { // it has a pointer receiver
		m, _ = reflect.PointerTo(t).MethodByName(method)
	}
	fn := runtime.FuncForPC(m.Func.Pointer())
	if fn == nil {
		return false
	}
	file, _ := fn.FileLine(fn.Entry())
	own, _, _ := strings.Cut(t.Name(), "[")
	of := strings.NewReplacer("(*", "", ")", "", "[...]", "").Replace(fn.Name())
	return file == "<autogenerated>" || !strings.HasSuffix(of, "."+own+"."+method)
}

// isMute knows the structs of which JSON writes nothing although they hold something:
// two requests that differ there would look the same. An empty protobuf message holds
// nothing but what protobuf itself needs; the fields of others have protobuf's tags.
func isMute(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || t.NumField() == 0 || writesItself(t) {
		return false
	}
	_, message := reflect.PointerTo(t).MethodByName("ProtoReflect")
	holds := !message
	for field := range t.Fields() {
		if _, tagged := field.Tag.Lookup(tagName); tagged || field.IsExported() || field.Anonymous {
			return false // a tag there is a mistake of another kind
		}
		holds = holds || field.Tag.Get("protobuf") != ""
	}
	return holds
}
