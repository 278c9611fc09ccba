package idemgrpc_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/internal/optionpb"
)

func TestAKeyIsDrawnAsTheMethodWantsIt(t *testing.T) {
	t.Parallel()
	w := &keyWitness{}
	client := optionpb.NewGoodClient(dialWitness(t, w, idemgrpc.SendKeyIn("X-Request-Key")))
	_, err := client.Full(t.Context(), &optionpb.Request{}) // KEY_FORMAT_UUID7
	require.NoError(t, err)
	assert.Regexp(t, uuidOf("7"), strings.Join(w.only(t).metadata, "+"))
}

// Each place has a format of its own, as the .proto says.
func TestADrawnKeyFitsThePlaceWhereItIsPut(t *testing.T) {
	t.Parallel()
	inField := idemgrpc.SendKeyInField("request_id")
	tests := []struct {
		name, method, version string
		opts                  []idemgrpc.ClientOption
	}{
		{"key_format, in the metadata", "Full", "7", nil},
		{"key_field_format, in the field", "Full", "4", []idemgrpc.ClientOption{inField}},
		{"key_field_format alone, in the field", "FieldOnly", "7", []idemgrpc.ClientOption{inField}},
		{"key_field_format alone, in the metadata", "FieldOnly", "4", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &keyWitness{}
			conn := dialWitness(t, w, tt.opts...)
			require.NoError(t, conn.Invoke(t.Context(), "/optiontest.v1.Good/"+tt.method, &optionpb.Request{}, new(optionpb.Answer)))
			sent := w.only(t)
			assert.Equal(t, tt.opts == nil, sent.field == "")
			assert.Regexp(t, uuidOf(tt.version), strings.Join(append(sent.metadata, sent.field), ""))
		})
	}
}

func TestANestedKeyFieldIsMade(t *testing.T) {
	t.Parallel()
	w := &keyWitness{}
	client := optionpb.NewGoodClient(dialWitness(t, w, idemgrpc.SendKeyInField("request_id")))
	request := &optionpb.Request{}
	_, err := client.NoWait(t.Context(), request) // key_field: "order.id"
	require.NoError(t, err)
	assert.Regexp(t, uuidOf("4"), w.only(t).field)
	assert.Nil(t, request.GetOrder(), "the caller's message was changed")
}

func TestAMethodWithoutTheFieldGetsItsKeyInTheMetadata(t *testing.T) {
	t.Parallel()
	w := &keyWitness{}
	client := optionpb.NewGoodClient(dialWitness(t, w, idemgrpc.SendKeyInField("nowhere.at_all")))
	_, err := client.Empty(t.Context(), &optionpb.Request{})
	require.NoError(t, err)
	assert.Len(t, w.only(t).metadata, 1)
}

func TestADynamicMessageKeepsItsKeyAndGetsOne(t *testing.T) {
	t.Parallel()
	file, err := protodesc.NewFile(protodesc.ToFileDescriptorProto(new(optionpb.Request).ProtoReflect().Descriptor().ParentFile()), protoregistry.GlobalFiles)
	require.NoError(t, err)
	for _, raw := range []*optionpb.Request{{}, {RequestId: "mine"}} {
		w := &keyWitness{}
		conn := dialWitness(t, w, idemgrpc.SendKeyInField("request_id"))
		request := dynamicpb.NewMessage(file.Messages().ByName("Request"))
		bytes, err := proto.Marshal(raw)
		require.NoError(t, err)
		require.NoError(t, proto.Unmarshal(bytes, request))
		require.NoError(t, conn.Invoke(t.Context(), "/optiontest.v1.Good/Full", request, new(optionpb.Answer)))
		got := w.only(t)
		assert.Empty(t, got.metadata)
		if raw.GetRequestId() != "" {
			assert.Equal(t, "mine", got.field)
			continue
		}
		assert.Regexp(t, uuidOf("4"), got.field)
	}
}
