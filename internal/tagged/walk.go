package tagged

import (
	"fmt"
	"reflect"
	"slices"
)

// walker goes over a type once. It collects the key, the scopes and the mistakes.
type walker struct {
	whole  bool // what JSON leaves out is a mistake
	key    *source
	scopes []source
	errs   []error

	// The first field of each kind, for the error if both occur.
	chosen, excluded string
	chooses          bool // a field is chosen, or one that could count is excluded

	open []reflect.Type // what the walk is in
}

// place is where the walk is.
type place struct {
	name  string // Type.Field, for errors
	index []int  // from the root
	// unreachable says why a tag would have no effect here; "" if it has one.
	unreachable string
}

func (w *walker) fail(name, format string, args ...any) {
	w.errs = append(w.errs, fmt.Errorf("%s: %w", name, fmt.Errorf(format, args...)))
}

// root walks over a type that is no field, and leaves of it what counts.
func (w *walker) root(t reflect.Type) value {
	v := w.value(t, place{name: typeName(t)})
	if w.chosen != "" && w.excluded != "" {
		w.fail(w.chosen, `%s:"fingerprint": %s has "-"; what does not count is either what is not chosen or what is excluded`,
			tagName, w.excluded)
	}
	switch {
	case v.kind == kindNone:
		w.fail(typeName(t), "a %s has no JSON form", t.Kind())
	case v.flaw != "" && w.whole:
		w.fail(typeName(t), "%s", v.flaw)
	}
	v.members = w.counting(v.members, w.chosen == "")
	return v
}

// counting leaves the members that count, in the order of RFC 8785. all says that
// they count unless they are excluded.
func (w *walker) counting(members []member, all bool) []member {
	kept := make([]member, 0, len(members))
	for _, m := range w.distinct(members) {
		all := all || m.said.counts
		w.chooses = w.chooses || m.said.counts || m.said.never && m.value.countable()
		m.value.members = w.counting(m.value.members, all)
		switch {
		case m.said.never, !all && len(m.value.members) == 0:
			continue
		case m.value.kind == kindNone:
			w.fail(m.field, `a %s has no JSON form: leave it out by json:"-" or %s:"-"`, m.value.form, tagName)
		case m.value.flaw != "" && w.whole:
			w.fail(m.field, `%s, or say %s:"-"`, m.value.flaw, tagName)
		}
		kept = append(kept, m)
	}
	slices.SortFunc(kept, func(a, b member) int { return compareUTF16(a.name, b.name) })
	return kept
}

// distinct leaves one of several members with one name as JSON does: that of the
// struct which embeds the others'.
func (w *walker) distinct(members []member) []member {
	kept := make([]member, 0, len(members))
	for _, m := range members {
		i := slices.IndexFunc(kept, func(k member) bool { return k.name == m.name })
		switch {
		case i < 0:
			kept = append(kept, m)
		case len(m.index) < len(kept[i].index):
			kept[i] = m
		case len(m.index) == len(kept[i].index):
			w.fail(m.field, "%s has the JSON name %q, too", kept[i].field, m.name)
		}
	}
	return kept
}

// members lists the members of a struct as JSON would write them.
func (w *walker) members(t reflect.Type, at place) []member {
	w.open = append(w.open, t)
	defer func() { w.open = w.open[:len(w.open)-1] }()
	found := make([]member, 0, t.NumField())
	for i := range t.NumField() {
		field := t.Field(i)
		inside := at
		inside.name = nameOf(t, at.name) + "." + field.Name
		inside.index = append(slices.Clip(at.index), i)
		found = append(found, w.field(field, inside)...)
	}
	return found
}

// typeName names a type that is no field in errors. The text of a struct without a name
// is all of its source.
func typeName(t reflect.Type) string {
	if t.Kind() == reflect.Struct && t.Name() == "" {
		return "struct"
	}
	return t.String()
}

// nameOf names a type in errors, one without a name by where it stands.
func nameOf(t reflect.Type, above string) string {
	if t.Name() != "" {
		return t.Name()
	}
	return above
}

// field returns the members that a field stands for: itself, those of an embedded
// struct, or none.
func (w *walker) field(field reflect.StructField, at place) []member {
	if err := CheckTag(field.Tag); err != nil {
		w.fail(at.name, "%w", err)
		return nil
	}
	tag, err := readTag(field)
	if err != nil {
		w.fail(at.name, "%s:%q: %w", tagName, field.Tag.Get(tagName), err)
		return nil
	}
	inner := pointed(field.Type)
	embedded := field.Anonymous && inner.Kind() == reflect.Struct
	if !field.IsExported() && !embedded {
		if tag.tag != "" {
			w.fail(at.name, "%s: the field is not exported", tag)
		}
		return nil
	}
	w.note(tag, inner, at)
	name, named, counts := jsonName(field)
	name, placed := placeName(field, name, counts)
	counts = counts || placed
	if tag.counts && !counts {
		w.fail(at.name, `%s: JSON leaves the field out (json:"-"), so it cannot count`, tag)
	}
	if flaw := embeddedFlaw(field); flaw != "" && w.whole && counts && !tag.never {
		w.fail(at.name, `%s, or say %s:"-"`, flaw, tagName)
		return nil
	}
	if embedded && !named && !writesItself(inner) && !slices.Contains(w.open, inner) {
		return w.embedded(inner, tag, at, counts)
	}
	last := at.index[len(at.index)-1:]
	m := member{name: name, label: label(name), field: at.name, index: last, said: tag, placed: placed, value: w.value(inner, at)}
	if !counts || tag.key {
		return nil
	}
	return []member{m}
}

// embedded returns the members of an embedded struct, as if they were its own; of one
// that JSON leaves out those that come from elsewhere.
func (w *walker) embedded(t reflect.Type, tag said, at place, written bool) []member {
	found := w.members(t, at)
	if !written {
		found = slices.DeleteFunc(found, func(m member) bool { return !m.placed })
	}
	last := at.index[len(at.index)-1]
	for i := range found {
		found[i].index = append([]int{last}, found[i].index...)
		found[i].said.counts = found[i].said.counts || tag.counts
		found[i].said.never = found[i].said.never || tag.never
	}
	return found
}

// note takes down what a tag says.
func (w *walker) note(tag said, t reflect.Type, at place) {
	if tag.tag == "" {
		return
	}
	if at.unreachable != "" {
		w.fail(at.name, "%s: it is %s, where no tag has an effect", tag, at.unreachable)
		return
	}
	if tag.counts && w.chosen == "" {
		w.chosen = at.name
	}
	if tag.never && w.excluded == "" {
		w.excluded = at.name
	}
	if !tag.key && !tag.scope {
		return
	}
	read := textOf(t)
	switch {
	case read == nil:
		w.fail(at.name, "%s: %s has no text form: it must be a string, an integer, or an encoding.TextMarshaler", tag, t)
	case tag.key && t.Kind() == reflect.Bool:
		w.fail(at.name, "%s: a bool is no key: it tells two requests apart at most", tag)
	case tag.key && w.key != nil:
		w.fail(at.name, "%s: %s is the key already", tag, w.key.name)
	case tag.key:
		number := kindOf(t) == kindInt || kindOf(t) == kindUint
		w.key = &source{name: at.name, index: at.index, typ: t, text: read, number: number && !writesText(t)}
	default:
		w.scopes = append(w.scopes, source{name: at.name, index: at.index, typ: t, text: read})
	}
}

// value returns how a value of that type is written, and looks for tags below it.
func (w *walker) value(t reflect.Type, at place) value {
	switch {
	case writesItself(t):
		w.below(t, at, "in a type that writes its own JSON")
		return value{kind: kindAny, flaw: flawOf(t, nil)}
	case t.Kind() == reflect.Struct && slices.Contains(w.open, t):
		if hasTag(t) {
			w.fail(at.name, "%s contains itself, and its tags cannot hold at every depth", t)
		}
		return value{kind: kindAny}
	case t.Kind() == reflect.Struct:
		return value{kind: kindObject, members: w.members(t, at), flaw: flawOf(t, nil)}
	}
	w.elements(t, at)
	return value{kind: kindOf(t), form: t.Kind(), flaw: flawOf(t, w.open)}
}

// elements looks for tags below slices, arrays and maps.
func (w *walker) elements(t reflect.Type, at place) {
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		w.below(pointed(t.Elem()), at, "below a slice")
	case reflect.Map:
		w.below(pointed(t.Elem()), at, "below a map")
	default:
	}
}

// hasTag reports whether a struct's own fields have tags.
func hasTag(t reflect.Type) bool {
	for field := range t.Fields() {
		if _, ok := field.Tag.Lookup(tagName); ok {
			return true
		}
	}
	return false
}

// below looks for tags that would have no effect.
func (w *walker) below(t reflect.Type, at place, why string) {
	if at.unreachable == "" {
		at.unreachable = why
	}
	if slices.Contains(w.open, t) {
		return // looked at already, or about to be
	}
	w.open = append(w.open, t)
	defer func() { w.open = w.open[:len(w.open)-1] }()
	if t.Kind() != reflect.Struct {
		w.elements(t, at)
		return
	}
	for field := range t.Fields() {
		inside := at
		inside.name = nameOf(t, at.name) + "." + field.Name
		tag, err := readTag(field)
		switch wrong := CheckTag(field.Tag); {
		case wrong != nil:
			w.fail(inside.name, "%w", wrong)
		case err != nil:
			w.fail(inside.name, "%s:%q: %w", tagName, field.Tag.Get(tagName), err)
		case tag.tag != "":
			w.note(tag, pointed(field.Type), inside)
		case field.IsExported() || field.Anonymous:
			w.below(pointed(field.Type), inside, why)
		}
	}
}
