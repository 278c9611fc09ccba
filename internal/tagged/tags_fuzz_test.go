package tagged

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What is taken for a tag in the conventional form, Go reads; and what Go finds
// in it is among the names.
func FuzzTagNames(f *testing.F) {
	for _, tag := range []string{
		``, ` `, `route:"GET /"`, `route:"GET /" idempotency:"off"`, `route: "x"`, `route:"x`, `route:x`,
		`route:"a\"b" json:"-"`, `:"x"`, `a b:"x"`, "route:`x`", `route:"x"idempotency:"y"`, "route:\"a\nb\"", `a\:"x"`,
	} {
		f.Add(tag)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		names, ok := tagNames(tag)
		for _, known := range []string{"route", tagName, "operation"} {
			if _, found := reflect.StructTag(tag).Lookup(known); found && ok {
				assert.Contains(t, names, known)
			}
		}
		for _, name := range names {
			if _, found := reflect.StructTag(tag).Lookup(name); ok {
				assert.True(t, found, "%q in %q", name, tag)
			}
		}
	})
}
