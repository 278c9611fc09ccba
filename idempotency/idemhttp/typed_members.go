package idemhttp

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// memberPointers are the members of a request that its struct's tags choose or
// exclude, as JSON Pointers (RFC 6901).
type memberPointers struct {
	only, exclude []string
	said          bool // by tags that choose or exclude; the key is excluded anyway
}

// bodyMember is a member that encoding/json reads into a field.
type bodyMember struct {
	field string // Type.Field, for errors
	name  string
	of    reflect.Type
	depth int  // how many embedded structs it is below
	named bool // by its tag
	key   bool // it never counts
	index []int
	lost  bool // another has its name, and encoding/json reads neither
	// What the field's tag says, or that of a struct around it which is embedded.
	chosen, excluded bool
}

// memberWalker goes over the structs that a body is decoded into. The words of
// their tags have been checked.
type memberWalker struct {
	found memberPointers
	read  [][]int        // the fields that a body sets, by their index from the root
	open  []reflect.Type // the structs that the walk is in
	own   bool           // one of them reads itself
	errs  []error
}

// membersOf returns what the tags of a struct say about the members of its JSON, and
// which fields a body sets. Errors name Type.Field.
func membersOf(t reflect.Type) (found memberPointers, read [][]int, err error) {
	var w memberWalker
	w.object(t, bodyMember{field: typeName(t)}, "")
	return w.found, w.read, errors.Join(w.errs...)
}

// object looks at the members of a struct, which stands at a pointer.
func (w *memberWalker) object(t reflect.Type, around bodyMember, at jsontext.Pointer) {
	if slices.Contains(w.open, t) {
		return // it has no tags then
	}
	w.open = append(w.open, t)
	defer func() { w.open = w.open[:len(w.open)-1] }()
	defer func(own bool) { w.own = own }(w.own)
	w.own = w.own || readsItself(t)
	for _, m := range dominant(w.members(t, bodyMember{field: around.field, index: around.index})) {
		if !m.lost {
			w.read = append(w.read, m.index)
		}
		w.member(m, at.AppendToken(m.name))
	}
}

func (w *memberWalker) member(m bodyMember, at jsontext.Pointer) {
	w.found.said = w.found.said || m.chosen || m.excluded
	switch {
	case w.own && (m.chosen || m.excluded):
		w.errs = append(w.errs, fmt.Errorf("%s: idempotency: it is in a type that reads its own JSON, "+
			"so that nobody knows which member it is", m.field))
		return
	case m.excluded, m.key && !w.own:
		w.found.exclude = append(w.found.exclude, string(at))
		return
	case m.chosen:
		w.found.only = append(w.found.only, string(at))
	}
	if of := pointedAt(m.of); of.Kind() == reflect.Struct {
		w.object(of, m, at)
	}
}

// members lists the members of a struct, those of embedded structs among them, as
// if they were its own.
func (w *memberWalker) members(t reflect.Type, around bodyMember) []bodyMember {
	var members []bodyMember
	for f := range t.Fields() {
		m := around.inner(f)
		embedded := f.Anonymous && structOf(f.Type) != nil
		switch {
		case f.Tag.Get("json") == "-" || !f.IsExported() && !embedded:
		case embedded && !m.named:
			if !slices.Contains(w.open, structOf(f.Type)) {
				members = append(members, w.embedded(f, m)...)
			}
		default:
			members = append(members, m)
		}
	}
	return members
}

func (w *memberWalker) embedded(f reflect.StructField, m bodyMember) []bodyMember {
	of := structOf(f.Type)
	w.open = append(w.open, of)
	defer func() { w.open = w.open[:len(w.open)-1] }()
	m.depth++
	return w.members(of, m)
}

// inner returns the member that a field is.
func (m bodyMember) inner(f reflect.StructField) bodyMember {
	m.field, m.of, m.index = m.field+"."+f.Name, f.Type, append(slices.Clone(m.index), f.Index...)
	m.name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
	m.named = isMemberName(m.name)
	if !m.named {
		m.name = f.Name
	}
	words := wordsOf(f)
	m.chosen = m.chosen || slices.Contains(words, tagChosen)
	m.excluded = m.excluded || slices.Contains(words, tagExcluded)
	m.key = m.key || slices.Contains(words, tagKey)
	return m
}

// The words of a field's tag that say more than where the scope is.
const (
	tagKey      = "key"
	tagChosen   = "fingerprint"
	tagExcluded = "-"
)

// wordsOf returns the words of a field's tag.
func wordsOf(f reflect.StructField) []string {
	words := strings.Split(f.Tag.Get(tagPolicy), ",")
	for i, word := range words {
		words[i] = strings.TrimSpace(word)
	}
	return words
}

// isMemberName knows the names that encoding/json takes from a tag; for others it
// takes the field's own.
func isMemberName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// dominant leaves one of several members with one name as encoding/json does: the
// least deep, and among these the one that is named by its tag. What is said of
// a hidden one must not be taken for the other's.
func dominant(members []bodyMember) []bodyMember {
	var kept []bodyMember
	for _, m := range members {
		i := slices.IndexFunc(kept, func(k bodyMember) bool { return k.name == m.name })
		switch {
		case i < 0:
			kept = append(kept, m)
		case m.depth < kept[i].depth, m.depth == kept[i].depth && m.named && !kept[i].named:
			kept[i] = m
		case m.depth == kept[i].depth && m.named == kept[i].named:
			kept[i].lost = true
		}
	}
	return kept
}

// readsItself reports whether a type decides how it is read, also by a method of an
// embedded struct.
func readsItself(t reflect.Type) bool {
	return has[json.Unmarshaler](t) || has[encoding.TextUnmarshaler](t)
}

func has[I any](t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[I]())
}

// pointedAt returns what is behind pointers, as far as elementOf goes.
func pointedAt(t reflect.Type) reflect.Type {
	for range 64 {
		if t.Kind() != reflect.Pointer {
			break
		}
		t = t.Elem()
	}
	return t
}

// elementOf returns what a type holds behind pointers, slices, arrays, maps and
// channels, to a depth that ends: "type S []S" holds nothing but itself.
func elementOf(t reflect.Type) reflect.Type {
	for range 64 {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map, reflect.Chan:
			t = t.Elem()
		default:
			return t
		}
	}
	return t
}
