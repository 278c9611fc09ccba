package idemgrpc

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// google.api.field_info is an option of fields, a message, whose first field says
// the format of a string (https://google.aip.dev/202). It is read off the wire, so
// that nobody needs the package that declares it.
const (
	fieldInfo       protowire.Number = 291403980
	fieldInfoFormat protowire.Number = 1
	formatUUID4                      = 1
)

// isUUID4 says whether a field is declared to hold a random UUID.
func isUUID4(fd protoreflect.FieldDescriptor) bool {
	options, err := proto.MarshalOptions{AllowPartial: true}.Marshal(fd.Options())
	if err != nil {
		return false
	}
	format := uint64(0)
	eachField(options, fieldInfo, func(info []byte) { // the last one counts, as ever
		eachField(info, fieldInfoFormat, func(value []byte) { format, _ = protowire.ConsumeVarint(value) })
	})
	return format == formatUUID4
}

// eachField visits the values of one number: a message without its length, a number
// as it is encoded.
func eachField(wire []byte, number protowire.Number, visit func(value []byte)) {
	for len(wire) > 0 {
		found, kind, tag := protowire.ConsumeTag(wire)
		if tag < 0 {
			return
		}
		size := protowire.ConsumeFieldValue(found, kind, wire[tag:])
		if size < 0 {
			return
		}
		value := wire[tag : tag+size]
		if found == number && kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		if found == number {
			visit(value)
		}
		wire = wire[tag+size:]
	}
}
