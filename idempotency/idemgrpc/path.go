package idemgrpc

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// fieldPath leads from a message to one value in it.
type fieldPath []protoreflect.FieldDescriptor

// valuePath finds a field that has one value with a text form, through messages
// that are neither repeated nor maps. Names are those of the .proto, joined by
// dots. The error names the path and what is wrong with it.
func valuePath(md protoreflect.MessageDescriptor, path string) (fieldPath, error) {
	found, err := findPath(md, path)
	if err != nil {
		return nil, err
	}
	for _, fd := range found {
		if fd.Cardinality() == protoreflect.Repeated {
			return nil, fmt.Errorf("field %q: %s has many values, so it does not name one", path, fd.Name())
		}
	}
	if last := found[len(found)-1]; !hasText(last) {
		return nil, fmt.Errorf("field %q: its type %v has no text form: it must be a string, an integer or an enum", path, last.Kind())
	}
	return found, nil
}

// findPath finds any field, also within repeated messages and the values of
// maps.
func findPath(md protoreflect.MessageDescriptor, path string) (fieldPath, error) {
	var found fieldPath
	for name := range strings.SplitSeq(path, ".") {
		if md == nil {
			return nil, fmt.Errorf("field %q: there is nothing below %s", path, found[len(found)-1].Name())
		}
		fd := md.Fields().ByName(protoreflect.Name(name))
		if fd == nil {
			return nil, fmt.Errorf("field %q: %s has no field %q", path, md.FullName(), name)
		}
		found = append(found, fd)
		md = below(fd)
	}
	return found, nil
}

// below returns what a field's values hold; nil for scalars.
func below(fd protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if fd.IsMap() {
		return fd.MapValue().Message()
	}
	return fd.Message()
}

func hasText(fd protoreflect.FieldDescriptor) bool {
	switch fd.Kind() {
	case protoreflect.StringKind, protoreflect.EnumKind,
		protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind,
		protoreflect.Uint32Kind, protoreflect.Fixed32Kind,
		protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return true
	default:
		return false
	}
}

// String is the path as the .proto would spell it.
func (p fieldPath) String() string {
	names := make([]string, len(p))
	for i, fd := range p {
		names[i] = string(fd.Name())
	}
	return strings.Join(names, ".")
}

// text returns the value as text; false if it is not there. In a message of
// another type, which has none of these fields, nothing is.
func (p fieldPath) text(m protoreflect.Message) (string, bool) {
	for i, fd := range p {
		if m.Descriptor() != fd.ContainingMessage() || !m.Has(fd) {
			return "", false
		}
		if i < len(p)-1 {
			m = m.Get(fd).Message()
		}
	}
	last := p[len(p)-1]
	value := m.Get(last)
	switch last.Kind() {
	case protoreflect.StringKind:
		return value.String(), true
	case protoreflect.EnumKind:
		return strconv.FormatInt(int64(value.Enum()), 10), true
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return strconv.FormatUint(value.Uint(), 10), true
	default:
		return strconv.FormatInt(value.Int(), 10), true
	}
}

// exclusion is a tree of fields that do not count, by number.
type exclusion struct {
	whole bool
	below map[protoreflect.FieldNumber]*exclusion
}

func (e *exclusion) add(path fieldPath) {
	for _, fd := range path {
		next := e.below[fd.Number()]
		if next == nil {
			next = &exclusion{}
			if e.below == nil {
				e.below = make(map[protoreflect.FieldNumber]*exclusion)
			}
			e.below[fd.Number()] = next
		}
		e = next
	}
	e.whole = true
}

// of returns what is excluded of a field; nil if nothing is.
func (e *exclusion) of(number protoreflect.FieldNumber) *exclusion {
	if e == nil {
		return nil
	}
	return e.below[number]
}
