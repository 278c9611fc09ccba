package tagged

import (
	"cmp"
	"reflect"
	"strings"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonName returns a field's name in JSON, whether its tag says it, and whether
// JSON writes the field at all.
func jsonName(field reflect.StructField) (name string, named, written bool) {
	tag := field.Tag.Get("json")
	if tag == "-" {
		return "", false, false
	}
	name, _, _ = strings.Cut(tag, ",")
	if name == "" {
		return field.Name, false, true
	}
	return name, true, true
}

// placeName names a field that JSON leaves out and that a request's path or query
// gives: the function gets it, so it counts. Else the name stays, and placed is false.
func placeName(field reflect.StructField, name string, written bool) (_ string, placed bool) {
	for _, place := range []string{"path", "query"} {
		if at, ok := field.Tag.Lookup(place); ok && !written {
			return place + " " + cmp.Or(at, field.Name), true
		}
	}
	return name, false
}

// label is how a member begins.
func label(name string) string {
	quoted, _ := jsontext.AppendQuote(nil, name) // a name in Go's source is UTF-8
	return string(quoted) + ":"
}

// compareUTF16 orders names as RFC 8785, section 3.2.3, does.
func compareUTF16(a, b string) int {
	x, y := utf16.Encode([]rune(a)), utf16.Encode([]rune(b))
	for i := range min(len(x), len(y)) {
		if c := cmp.Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}
