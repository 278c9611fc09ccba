package idemgrpc

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/policypb"
)

// infoOf is a google.api.field_info option of that format, as a program without its
// package has it: unknown bytes.
func infoOf(format uint64) []byte {
	info := protowire.AppendVarint(protowire.AppendTag(nil, fieldInfoFormat, protowire.VarintType), format)
	return protowire.AppendBytes(protowire.AppendTag(nil, fieldInfo, protowire.BytesType), info)
}

// annotated is a service whose request has a field of that type with options.
func annotated(t *testing.T, kind descriptorpb.FieldDescriptorProto_Type, options []byte, policy *policypb.Policy) protoreflect.ServiceDescriptor {
	t.Helper()
	fieldOptions, methodOptions := &descriptorpb.FieldOptions{}, &descriptorpb.MethodOptions{}
	fieldOptions.ProtoReflect().SetUnknown(options)
	proto.SetExtension(methodOptions, policypb.E_Policy, policy)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("annotated.proto"), Syntax: new("proto3"), Package: new("annotated.v1"),
		Dependency: []string{"reprise/idempotency/v1/policy.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{Name: new("Request"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: new("request_id"), Number: new(int32(1)), Type: &kind,
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Options: fieldOptions,
		}}}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("Service"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: new("Do"), InputType: new(".annotated.v1.Request"), OutputType: new(".annotated.v1.Request"), Options: methodOptions,
		}}}},
	}, protoregistry.GlobalFiles)
	require.NoError(t, err)
	return file.Services().Get(0)
}

func TestAFieldThatIsDeclaredAUUID4HasThatFormat(t *testing.T) {
	t.Parallel()
	const text, number = descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_INT64
	keyed := func(format policypb.KeyFormat) *policypb.Policy {
		return &policypb.Policy{KeyField: "request_id", KeyFieldFormat: format}
	}
	tests := []struct {
		name    string
		kind    descriptorpb.FieldDescriptorProto_Type
		options []byte
		policy  *policypb.Policy
		want    idempotency.KeyFormat
		wrong   string
	}{
		{"declared", text, infoOf(1), keyed(0), idempotency.KeyUUIDv4, ""},
		{"not declared", text, nil, keyed(0), idempotency.KeyAny, ""},
		{"an IPv4 address", text, infoOf(2), keyed(0), idempotency.KeyAny, ""},
		{"declared twice, the last one counts", text, append(infoOf(2), infoOf(1)...), keyed(0), idempotency.KeyUUIDv4, ""},
		{"the same said", text, infoOf(1), keyed(policypb.KeyFormat_KEY_FORMAT_UUID4), idempotency.KeyUUIDv4, ""},
		{"any said", text, infoOf(1), keyed(policypb.KeyFormat_KEY_FORMAT_ANY), idempotency.KeyAny, ""},
		{"a contradiction", text, infoOf(1), keyed(policypb.KeyFormat_KEY_FORMAT_UUID7), "", `annotated.v1.Service/Do: KeyFieldFormat is "uuid7", and request_id is declared a UUID4 by google.api.field_info`},
		{"the policy's format is the metadata's", text, infoOf(1), &policypb.Policy{KeyField: "request_id", KeyFormat: policypb.KeyFormat_KEY_FORMAT_UUID7}, idempotency.KeyUUIDv4, ""},
		{"no text", number, infoOf(1), keyed(0), idempotency.KeyAny, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in, err := New(newGuard(t), GlobalScope())
			require.NoError(t, err)
			err = in.Protect(annotated(t, test.kind, test.options, test.policy))
			if test.wrong != "" {
				require.ErrorContains(t, err, test.wrong)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, in.method("/annotated.v1.Service/Do").fieldFormat)
		})
	}
}

// A client draws what the server wants: in the metadata by key_format, in the field
// by what the field says.
func TestAClientDrawsAUUID4ForAFieldThatIsDeclaredOne(t *testing.T) {
	t.Parallel()
	const text = descriptorpb.FieldDescriptorProto_TYPE_STRING
	v7 := policypb.KeyFormat_KEY_FORMAT_UUID7
	tests := []struct {
		name    string
		options []byte
		policy  *policypb.Policy
		version byte
	}{
		{"declared", infoOf(1), &policypb.Policy{KeyField: "request_id", KeyFormat: v7}, '4'},
		{"not declared", nil, &policypb.Policy{KeyField: "request_id", KeyFormat: v7}, '7'},
		{"another said", infoOf(1), &policypb.Policy{KeyField: "request_id", KeyFieldFormat: v7}, '7'},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client, err := NewClient()
			require.NoError(t, err)
			plan := client.planOf("/annotated.v1.Service/Do", annotated(t, text, test.options, test.policy).Methods().Get(0))
			assert.Equal(t, string(test.version), plan.drawn.by(true)()[14:15])
			if test.policy.GetKeyFormat() == v7 {
				assert.Equal(t, "7", plan.drawn.by(false)()[14:15])
			}
		})
	}
}

func FuzzFieldInfo(f *testing.F) {
	for _, seed := range [][]byte{nil, infoOf(1), infoOf(2), {0xFF}, append(infoOf(1), 0x80)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, options []byte) {
		visited := 0
		eachField(options, fieldInfo, func(value []byte) { visited += len(value) })
		require.LessOrEqual(t, visited, len(options))
	})
}
