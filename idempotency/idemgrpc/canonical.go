package idemgrpc

import (
	"cmp"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// canonical returns the one form of a message that its fingerprint is made of,
// without what is excluded. It is the protobuf wire format with all freedom
// taken out: fields by number; numbers in their shortest form; repeated numbers
// packed if the schema says so; maps sorted by key; every NaN the same one; an
// Any as its type URL and the bytes of its value; unknown fields as they came,
// among the others by their number. A message of which nothing is left but its
// excluded fields counts as absent.
//
// protobuf's own deterministic marshalling promises equal bytes within one
// build only, so this does not use it. That it is the wire format anyway makes
// a server which knows a new field of a request agree with one that does not yet
// know it, as long as the client writes fields in the usual way.
//
// Where there may be a map in what this server does not know, order is taken out
// of that, and the form says where: see [unordered]. The error is errTooManyUnknown.
func canonical(m protoreflect.Message, without *exclusion) (form, error) {
	var b backward
	b.message(m, without)
	slices.Sort(b.blind)
	return form{bytes: b.bytes(), blind: slices.Compact(b.blind)}, b.err
}

// form is a canonical form.
type form struct {
	bytes []byte
	// blind says where order was taken out, and what was unknown there. Forms
	// can be compared only where that is the same.
	blind []string
}

// backward is a buffer that is filled from its end. A length, which stands
// before what it counts, is then known when it is written, and no depth of
// nesting makes bytes be copied again and again.
type backward struct {
	buf   []byte
	start int

	blind   []string
	unknown int // fields so far
	within  int // how many Any-s
	err     error
}

func (b *backward) bytes() []byte { return b.buf[b.start:] }
func (b *backward) len() int      { return len(b.buf) - b.start }

func (b *backward) prepend(p []byte) {
	if len(p) > b.start {
		grown := make([]byte, 2*len(b.buf)+len(p)+64)
		at := len(grown) - b.len()
		copy(grown[at:], b.bytes())
		b.buf, b.start = grown, at
	}
	b.start -= len(p)
	copy(b.buf[b.start:], p)
}

func (b *backward) varint(v uint64) {
	var scratch [10]byte
	b.prepend(protowire.AppendVarint(scratch[:0], v))
}

func (b *backward) tag(number protoreflect.FieldNumber, wire protowire.Type) {
	b.varint(protowire.EncodeTag(number, wire))
}

// framed prepends the length of what write adds.
func (b *backward) framed(write func()) {
	before := b.len()
	write()
	b.varint(uint64(b.len() - before))
}

// part is what a message has under one number: a field, raw bytes, or both.
type part struct {
	number  protoreflect.FieldNumber
	field   protoreflect.FieldDescriptor
	value   protoreflect.Value
	unknown []byte
}

func (b *backward) message(m protoreflect.Message, without *exclusion) {
	if b.err != nil {
		return
	}
	if isAny(m) && b.blindAny(m) {
		return
	}
	for _, p := range slices.Backward(b.parts(m)) {
		excluded := without.of(p.number)
		if excluded != nil && excluded.whole {
			continue
		}
		b.prepend(p.unknown)
		if p.field != nil {
			b.field(p.field, p.value, excluded)
		}
	}
}

// parts returns what a message holds, by number.
func (b *backward) parts(m protoreflect.Message) []part {
	var all []part
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		all = append(all, part{number: fd.Number(), field: fd, value: v})
		return true
	})
	for rest := b.unknownOf(m); len(rest) > 0; {
		number, _, size := protowire.ConsumeField(rest)
		if size < 0 { // not from the wire: somebody has set it. It counts as it is
			number, size = protowire.MaxValidNumber, len(rest)
		}
		all = append(all, part{number: number, unknown: rest[:size]})
		rest = rest[size:]
	}
	// Stable: a known field comes before unknown ones of its number, and those
	// stay in their order.
	slices.SortStableFunc(all, func(a, b part) int { return int(a.number) - int(b.number) })
	return all
}

// unknownOf returns a message's unknown fields, without their order where they may
// hold a map.
func (b *backward) unknownOf(m protoreflect.Message) []byte {
	unknown := m.GetUnknown()
	if b.unknown += countFields(unknown); b.unknown > maxUnknown {
		b.err = errTooManyUnknown
		return nil
	}
	if !mayHoldMap(unknown, maxDepth) {
		return unknown
	}
	fields, _ := split(unknown)
	where := []byte(m.Descriptor().FullName())
	for _, f := range slices.Compact(slices.Sorted(numbersOf(fields))) {
		where = protowire.AppendVarint(append(where, ' '), uint64(f))
	}
	b.blind = append(b.blind, string(where))
	return unordered(unknown)
}

func (b *backward) field(fd protoreflect.FieldDescriptor, v protoreflect.Value, without *exclusion) {
	switch {
	case fd.IsMap():
		b.entries(fd, v.Map(), without)
	case !fd.IsList() && without != nil && fd.Kind() == protoreflect.MessageKind:
		b.remainder(fd, v.Message(), without)
	case !fd.IsList():
		b.tagged(fd, v, without)
	case fd.IsPacked():
		b.framed(func() {
			for i := v.List().Len() - 1; i >= 0; i-- {
				b.value(fd, v.List().Get(i), nil)
			}
		})
		b.tag(fd.Number(), protowire.BytesType)
	default:
		for i := v.List().Len() - 1; i >= 0; i-- {
			b.tagged(fd, v.List().Get(i), without)
		}
	}
}

// remainder prepends what is left of a message once something in it is excluded.
func (b *backward) remainder(fd protoreflect.FieldDescriptor, m protoreflect.Message, without *exclusion) {
	before := b.len()
	b.message(m, without)
	if b.len() > before {
		b.varint(uint64(b.len() - before))
		b.tag(fd.Number(), protowire.BytesType)
	}
}

// tagged prepends one value with its tag.
func (b *backward) tagged(fd protoreflect.FieldDescriptor, v protoreflect.Value, without *exclusion) {
	if fd.Kind() == protoreflect.GroupKind {
		b.tag(fd.Number(), protowire.EndGroupType)
		b.message(v.Message(), without)
		b.tag(fd.Number(), protowire.StartGroupType)
		return
	}
	b.value(fd, v, without)
	b.tag(fd.Number(), wireType(fd.Kind()))
}

// entries prepends a map. An entry has both key and value, as all
// implementations write it.
func (b *backward) entries(fd protoreflect.FieldDescriptor, m protoreflect.Map, without *exclusion) {
	keys := make([]protoreflect.MapKey, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(x, y protoreflect.MapKey) int { return compareKeys(fd.MapKey().Kind(), x, y) })
	for _, k := range slices.Backward(keys) {
		b.framed(func() {
			b.tagged(fd.MapValue(), m.Get(k), without)
			b.tagged(fd.MapKey(), k.Value(), nil)
		})
		b.tag(fd.Number(), protowire.BytesType)
	}
}

// value prepends a value without its tag.
func (b *backward) value(fd protoreflect.FieldDescriptor, v protoreflect.Value, without *exclusion) {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		b.framed(func() { b.message(v.Message(), without) })
	case protoreflect.StringKind:
		b.framed(func() { b.prepend([]byte(v.String())) })
	case protoreflect.BytesKind:
		b.framed(func() { b.prepend(v.Bytes()) })
	default:
		b.scalar(fd.Kind(), v)
	}
}

func (b *backward) scalar(kind protoreflect.Kind, v protoreflect.Value) {
	switch kind {
	case protoreflect.BoolKind:
		b.varint(protowire.EncodeBool(v.Bool()))
	case protoreflect.EnumKind:
		b.varint(uint64(int64(v.Enum())))
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		b.varint(uint64(v.Int()))
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		b.varint(protowire.EncodeZigZag(v.Int()))
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		b.varint(v.Uint())
	case protoreflect.FloatKind:
		b.prepend(protowire.AppendFixed32(nil, float32Bits(v.Float())))
	case protoreflect.DoubleKind:
		b.prepend(protowire.AppendFixed64(nil, float64Bits(v.Float())))
	case protoreflect.Fixed32Kind:
		b.prepend(protowire.AppendFixed32(nil, uint32(v.Uint())))
	case protoreflect.Sfixed32Kind:
		b.prepend(protowire.AppendFixed32(nil, uint32(v.Int())))
	case protoreflect.Fixed64Kind:
		b.prepend(protowire.AppendFixed64(nil, v.Uint()))
	case protoreflect.Sfixed64Kind:
		b.prepend(protowire.AppendFixed64(nil, uint64(v.Int())))
	default: // the kinds of value and tagged
	}
}

// There are many NaNs, and which of them a client sends is an accident. The two
// zeros are two values.
func float32Bits(f float64) uint32 {
	if math.IsNaN(f) {
		return 0x7fc00000
	}
	return math.Float32bits(float32(f))
}

func float64Bits(f float64) uint64 {
	if math.IsNaN(f) {
		return 0x7ff8000000000000
	}
	return math.Float64bits(f)
}

func wireType(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.FloatKind, protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return protowire.Fixed32Type
	case protoreflect.DoubleKind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return protowire.Fixed64Type
	default:
		return protowire.VarintType
	}
}

// compareKeys orders the keys of a map: numbers by size, strings by bytes,
// false before true.
func compareKeys(kind protoreflect.Kind, x, y protoreflect.MapKey) int {
	switch kind {
	case protoreflect.BoolKind:
		return cmp.Compare(protowire.EncodeBool(x.Bool()), protowire.EncodeBool(y.Bool()))
	case protoreflect.StringKind:
		return cmp.Compare(x.String(), y.String())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return cmp.Compare(x.Uint(), y.Uint())
	default:
		return cmp.Compare(x.Int(), y.Int())
	}
}
