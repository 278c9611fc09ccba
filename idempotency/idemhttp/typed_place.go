package idemhttp

import (
	"encoding"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// The tags of fields that do not come from the body.
const (
	placePath  = "path"
	placeQuery = "query"
)

// placeField is a field that comes from the request's path or query.
type placeField struct {
	field string
	index []int
	kind  string // placePath or placeQuery
	name  string
	set   func(v reflect.Value, text string) error
	// chosen says that the field's tag says what anybody may take for: only this counts.
	chosen bool
}

// newPlaceField reads the tags of a field. False if it comes from the body.
func newPlaceField(f reflect.StructField) (placeField, bool, error) {
	path, inPath := f.Tag.Lookup(placePath)
	query, inQuery := f.Tag.Lookup(placeQuery)
	words := wordsOf(f)
	p := placeField{
		field: f.Name, index: f.Index, kind: placePath, name: path,
		set: setterOf(f.Type), chosen: slices.Contains(words, tagChosen),
	}
	if inQuery {
		p.kind, p.name = placeQuery, query
	}
	said := p.said()
	switch {
	case !inPath && !inQuery:
		return p, false, nil
	case inPath && inQuery:
		return p, false, errors.New("path and query: a value comes from one place")
	case p.name == "":
		return p, false, fmt.Errorf("%s: the name is empty", said)
	case strings.ContainsAny(p.name, ", \t\r\n"):
		return p, false, fmt.Errorf("%s: it is a name and nothing else, without spaces and commas", said)
	case !f.IsExported():
		return p, false, fmt.Errorf("%s: the field is not exported", said)
	case f.Tag.Get("json") != "-":
		return p, false, fmt.Errorf(`%s: the body could set it, too: say json:"-"`, said)
	case slices.Contains(words, tagExcluded):
		return p, false, fmt.Errorf(`%s: idempotency:"-": the path and the query always count`, said)
	case p.set == nil:
		return p, false, fmt.Errorf("%s: %v cannot be read from text: it must be a string, an integer, a bool, "+
			"or an encoding.TextUnmarshaler", said, f.Type)
	}
	return p, true, nil
}

// said is the tag, for errors.
func (p placeField) said() string { return fmt.Sprintf("%s:%q", p.kind, p.name) }

// setterOf returns how a field of a type is set from text, or nil.
func setterOf(t reflect.Type) func(reflect.Value, string) error {
	if has[encoding.TextUnmarshaler](t) {
		return func(v reflect.Value, text string) error {
			u, _ := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr())
			return u.UnmarshalText([]byte(text))
		}
	}
	switch t.Kind() {
	case reflect.String:
		return func(v reflect.Value, text string) error { v.SetString(text); return nil }
	case reflect.Bool:
		return func(v reflect.Value, text string) error {
			b, err := strconv.ParseBool(text)
			v.SetBool(b)
			return err
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(v reflect.Value, text string) error {
			n, err := strconv.ParseInt(text, 10, t.Bits())
			v.SetInt(n)
			return err
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(v reflect.Value, text string) error {
			n, err := strconv.ParseUint(text, 10, t.Bits())
			v.SetUint(n)
			return err
		}
	default:
		return nil
	}
}

// read sets the field of v. What the request does not have stays zero.
func (p placeField) read(r *http.Request, v reflect.Value, find func(*http.Request, string) string) error {
	text, given := p.inPath(r, find), true
	if p.kind == placeQuery {
		values := r.URL.Query()[p.name]
		if len(values) > 1 {
			return badRequest(nil, "The query has %q more than once.", p.name)
		}
		text, given = strings.Join(values, ""), len(values) == 1
	}
	if !given {
		return nil
	}
	if err := p.set(fieldAt(v, p.index), text); err != nil {
		return badRequest(err, "The value of %q in the %s is not allowed.", p.name, p.kind)
	}
	return nil
}

// inPath returns what the router has for the field; "" if nothing, or if the field is
// not from the path. find may be nil.
func (p placeField) inPath(r *http.Request, find func(*http.Request, string) string) string {
	if p.kind != placePath {
		return ""
	}
	text := r.PathValue(p.name)
	if text == "" && find != nil {
		text = find(r, p.name)
	}
	return text
}

// fieldAt returns a field, and makes the embedded structs on the way to it.
func fieldAt(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}
