package idemhttp

import (
	"context"
	"net/http"
	"reflect"
	"slices"
)

// structOf returns the struct that a type is or points to, or nil.
func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// heldType returns the type of a field, or of what it holds if it is an interface.
func heldType(f reflect.StructField, v reflect.Value) reflect.Type {
	if f.Type.Kind() != reflect.Interface || v.IsNil() {
		return f.Type
	}
	return v.Elem().Type()
}

// hasRoutes reports whether a struct, or one in it, has a field with a route, or with a
// tag that is meant for one; or a container of such, which is a mistake.
func hasRoutes(t reflect.Type, around []reflect.Type) bool {
	t = structOf(elementOf(t))
	if t == nil || slices.Contains(around, t) {
		return false
	}
	around = append(slices.Clone(around), t)
	for f := range t.Fields() {
		_, tagged := f.Tag.Lookup(tagRoute)
		if tagged || isHandlerType(f.Type) && isMeant(f) || !isHandlerType(f.Type) && hasRoutes(f.Type, around) {
			return true
		}
	}
	return false
}

// isMeant reports whether a handler has tags of a table but for the route, misspelt ones
// among them.
func isMeant(f reflect.StructField) bool {
	tags, err := readTableTags(f)
	return err != nil || tags.any()
}

// holdsHandlers reports whether a field that is no handler holds some. What an interface
// with other methods holds is the program's own business.
func holdsHandlers(field, held reflect.Type) bool {
	if field.Kind() == reflect.Interface && field.NumMethod() > 0 {
		return false
	}
	element := elementOf(held)
	return isHandlerType(element) || isHandlerType(reflect.PointerTo(element))
}

// isHandlerType knows what can be mounted: handlers, and functions of a
// handler's form.
func isHandlerType(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[http.Handler]()) || isHandlerFunc(t)
}

func isHandlerFunc(t reflect.Type) bool {
	return t.Kind() == reflect.Func && t.ConvertibleTo(reflect.TypeFor[http.HandlerFunc]())
}

// embedsHandler reports whether a struct is one that handles requests by what it embeds.
func embedsHandler(t reflect.Type) bool {
	t = structOf(t)
	if t == nil {
		return false
	}
	for f := range t.Fields() {
		if f.Anonymous && (isHandlerType(f.Type) || isHandlerType(reflect.PointerTo(f.Type))) {
			return true
		}
	}
	return false
}

// isTypedFunc knows what [JSON] makes a handler of.
func isTypedFunc(t reflect.Type) bool {
	return t.Kind() == reflect.Func && t.NumIn() == 2 && t.NumOut() == 2 &&
		t.In(0) == reflect.TypeFor[context.Context]() && t.Out(1) == reflect.TypeFor[error]()
}
