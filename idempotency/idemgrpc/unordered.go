package idemgrpc

import (
	"bytes"
	"cmp"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxDepth bounds how deep unordered looks into a message. It is part of what the
// form is: two servers must agree on it.
const maxDepth = 32

// A map is a repeated field on the wire, and many clients write its entries in
// another order each time. Where this server knows a field as a map, the canonical
// form sorts it. In a field that it does not know yet, and in the value of an Any,
// it cannot tell a map from a list: two tries of one call would look like two
// calls. Such messages are compared by the unordered form instead. It asks for no
// schema, so that servers which know the field can make it, too.

// unordered returns a canonical form with all order taken out: the fields of every
// message by number and then by bytes. What is length-delimited and reads as a
// message counts as one, whatever it is.
func unordered(form []byte) []byte { return unorderedAt(form, maxDepth) }

func unorderedAt(wire []byte, depth int) []byte {
	fields, ok := split(wire)
	if !ok || depth == 0 {
		return wire
	}
	for i, f := range fields {
		if f.payload != nil {
			payload := unorderedAt(f.payload, depth-1)
			fields[i].raw = protowire.AppendBytes(protowire.AppendTag(nil, f.number, protowire.BytesType), payload)
		}
	}
	slices.SortStableFunc(fields, func(a, b wireField) int {
		return cmp.Or(cmp.Compare(a.number, b.number), bytes.Compare(a.raw, b.raw))
	})
	out := make([]byte, 0, len(wire))
	for _, f := range fields {
		out = append(out, f.raw...)
	}
	return out
}

// mayHoldMap reports whether there is anything in wire that could be a map of two
// entries.
func mayHoldMap(wire []byte, depth int) bool {
	fields, ok := split(wire)
	if !ok || depth == 0 {
		return false
	}
	seen := make(map[protowire.Number]bool, len(fields))
	for _, f := range fields {
		if f.payload == nil {
			continue
		}
		if seen[f.number] || mayHoldMap(f.payload, depth-1) {
			return true
		}
		seen[f.number] = true
	}
	return false
}

// wireField is a field as it is encoded.
type wireField struct {
	number  protowire.Number
	raw     []byte
	payload []byte // of a length-delimited one; not nil
}

// split takes an encoded message apart; false if it is none.
func split(wire []byte) (fields []wireField, ok bool) {
	for len(wire) > 0 {
		number, kind, size := protowire.ConsumeField(wire)
		if size < 0 {
			return nil, false
		}
		f := wireField{number: number, raw: wire[:size]}
		if kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(wire)
			f.payload, _ = protowire.ConsumeBytes(wire[tag:])
		}
		fields, wire = append(fields, f), wire[size:]
	}
	return fields, true
}
