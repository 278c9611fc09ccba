package idemgrpc

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/reprise-go/reprise/internal/testpb"
)

func everyField(string) bool { return true }

// fileWithout is the test service as it was before some fields of a message
// were added.
func fileWithout(t *testing.T, message string, gone func(field string) bool) protoreflect.FileDescriptor {
	t.Helper()
	file := protodesc.ToFileDescriptorProto(testpb.File_orders_proto)
	for _, m := range file.GetMessageType() {
		if m.GetName() != message {
			continue
		}
		var kept []*descriptorpb.FieldDescriptorProto
		for _, field := range m.GetField() {
			if !gone(field.GetName()) {
				kept = append(kept, field)
			}
		}
		m.Field = kept
		if len(kept) == 0 {
			m.OneofDecl, m.NestedType = nil, nil
		}
	}
	old, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	require.NoError(t, err)
	return old
}

func dynamicWithout(t *testing.T, message string, gone func(field string) bool) protoreflect.MessageType {
	t.Helper()
	return dynamicpb.NewMessageType(fileWithout(t, message, gone).Messages().ByName(protoreflect.Name(message)))
}

func TestG21_RecordsOutliveTheirSchema(t *testing.T) {
	t.Parallel()
	present := &method{output: (&testpb.Receipt{}).ProtoReflect().Type()}
	former := &method{output: dynamicWithout(t, "Receipt", func(field string) bool { return field == "data" })}
	receipt := &testpb.Receipt{Id: "r", Run: 7, Data: []byte("new")}
	record := func(m proto.Message) answer {
		encoded, err := proto.Marshal(m)
		require.NoError(t, err)
		return answer{code: codes.OK, typeName: "reprise.test.v1.Receipt", messages: [][]byte{encoded}}
	}

	_, old, err := former.decode(record(receipt).encode(1000))
	require.NoError(t, err)
	again, err := proto.Marshal(old[0])
	require.NoError(t, err)
	var back testpb.Receipt
	require.NoError(t, proto.Unmarshal(again, &back))
	assert.True(t, proto.Equal(receipt, &back), "the former schema keeps what it does not know")

	receipt.Data = nil
	_, fresh, err := present.decode(record(receipt).encode(1000))
	require.NoError(t, err)
	assert.True(t, proto.Equal(receipt, fresh[0]))

	renamed := record(receipt)
	renamed.typeName = "reprise.test.v1.Bill"
	_, _, err = present.decode(renamed.encode(1000))
	require.ErrorIs(t, err, errOtherType)
}

func TestTypesOfADescriptorThatIsNotTheProgramsOwn(t *testing.T) {
	t.Parallel()
	assert.IsType(t, &testpb.Receipt{}, messageType(testpb.File_orders_proto.Messages().ByName("Receipt")).New().Interface())
	other := fileWithout(t, "Receipt", func(string) bool { return false }).Messages().ByName("Receipt")
	assert.IsType(t, &dynamicpb.Message{}, messageType(other).New().Interface())
}
