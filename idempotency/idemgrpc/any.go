package idemgrpc

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// maxAny is how many messages within one another are looked up by an Any's URL.
const maxAny = 4

// Numbers of the fields of google.protobuf.Any.
const (
	anyURL   protoreflect.FieldNumber = 1
	anyValue protoreflect.FieldNumber = 2
)

func isAny(m protoreflect.Message) bool {
	return m.Descriptor().FullName() == "google.protobuf.Any"
}

// blindAny prepends an Any whose value may hold a map, and reports whether it did:
// by the schema of its type, if this program has that, else without order.
func (b *backward) blindAny(m protoreflect.Message) bool {
	url, value := anyField(m, anyURL).String(), anyField(m, anyValue).Bytes()
	if len(m.GetUnknown()) > 0 || !mayHoldMap(value, maxDepth) {
		return false
	}
	before := b.len()
	if inner, ok := b.resolve(url, value); ok {
		b.blind = append(b.blind, url+" by its schema")
		b.within++
		b.message(inner, nil)
		b.within--
	} else {
		b.blind = append(b.blind, url)
		b.prepend(unordered(value))
	}
	b.varint(uint64(b.len() - before))
	b.tag(anyValue, protowire.BytesType)
	b.framed(func() { b.prepend([]byte(url)) })
	b.tag(anyURL, protowire.BytesType)
	return true
}

// resolve reads an Any's value as what it is.
func (b *backward) resolve(url string, value []byte) (protoreflect.Message, bool) {
	if b.within == maxAny {
		return nil, false
	}
	known, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err != nil {
		return nil, false
	}
	inner := known.New()
	err = proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(value, inner.Interface())
	return inner, err == nil
}

func anyField(m protoreflect.Message, number protoreflect.FieldNumber) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByNumber(number))
}
