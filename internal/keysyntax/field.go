package keysyntax

import (
	"encoding"
	"fmt"
	"reflect"
)

// CheckField finds a format that no key of a field's type can have, by the word that a
// policy has for it: a number is never a UUID. What a string holds, and what a type
// writes by a MarshalText of its own, only its values tell. Pointers are followed.
//
// The error names the format and the type; put the field's name before it.
func CheckField(t reflect.Type, word string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	text := reflect.TypeFor[encoding.TextMarshaler]()
	if !isUUIDFormat(word) || t.Kind() == reflect.String || t.Implements(text) || reflect.PointerTo(t).Implements(text) {
		return nil
	}
	return fmt.Errorf("KeyFormat is %q, and %v is never a UUID: make the field a string", word, t)
}
