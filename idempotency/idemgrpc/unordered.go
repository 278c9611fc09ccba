package idemgrpc

import (
	"bytes"
	"cmp"
	"errors"
	"iter"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of what is not looked into: it comes from clients, before anything is
// claimed, and costs more to compare than what is known.
const (
	maxUnknown = 10_000 // fields, in the whole request
	maxDepth   = 16     // of messages in it
)

var errTooManyUnknown = errors.New("the request has more fields than can be compared that this server's schema does not know")

// A map is a repeated field on the wire, and many clients write its entries in
// another order each time. Where this server knows a field as a map, the canonical
// form sorts it. In fields that it does not know yet, and in the value of an Any
// whose type it does not know, it cannot tell a map from a list: two tries of one
// call would look like two calls. There, and only there, order does not count.

// unordered returns an encoded message with all order taken out: its fields, and
// those of the messages in it, by number and then by bytes. What is
// length-delimited and reads as a message counts as one, whatever it is.
func unordered(wire []byte) []byte { return unorderedAt(wire, maxDepth) }

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

// mayHoldMap reports whether there is anything in an encoded message that could be
// a map of two entries. What it says does not depend on their order.
func mayHoldMap(wire []byte, depth int) bool {
	fields, ok := split(wire)
	if !ok || depth == 0 {
		return false
	}
	slices.SortFunc(fields, func(a, b wireField) int { return cmp.Compare(a.number, b.number) })
	before := protowire.Number(0)
	for _, f := range fields {
		if f.payload == nil {
			continue
		}
		if f.number == before || mayHoldMap(f.payload, depth-1) {
			return true
		}
		before = f.number
	}
	return false
}

// wireField is a field as it is encoded.
type wireField struct {
	number  protowire.Number
	raw     []byte
	payload []byte // of a length-delimited one; not nil
}

// split takes an encoded message apart; false if it is none, or has too many
// fields to be looked into.
func split(wire []byte) (fields []wireField, ok bool) {
	for len(wire) > 0 {
		number, kind, size := protowire.ConsumeField(wire)
		if size < 0 || len(fields) == maxUnknown {
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

// countFields is quick, and counts what is no field as one.
func countFields(wire []byte) int {
	n := 0
	for len(wire) > 0 {
		_, _, size := protowire.ConsumeField(wire)
		if n++; size < 0 {
			break
		}
		wire = wire[size:]
	}
	return n
}

func numbersOf(fields []wireField) iter.Seq[protowire.Number] {
	return func(yield func(protowire.Number) bool) {
		for _, f := range fields {
			if !yield(f.number) {
				return
			}
		}
	}
}
