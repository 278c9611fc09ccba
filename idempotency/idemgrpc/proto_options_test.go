package idemgrpc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/internal/optionpb"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/policypb"
	"github.com/reprise-go/reprise/store/memstore"
)

func declaredMethod(t *testing.T, service, method string) protoreflect.MethodDescriptor {
	t.Helper()
	return methodIn(t, optionpb.File_option_proto, service, method)
}

func methodIn(t *testing.T, file protoreflect.FileDescriptor, service, method string) protoreflect.MethodDescriptor {
	t.Helper()
	sd := file.Services().ByName(protoreflect.Name(service))
	require.NotNil(t, sd)
	md := sd.Methods().ByName(protoreflect.Name(method))
	require.NotNil(t, md, method)
	return md
}

func fullSettings() methodSettings {
	return methodSettings{
		policy: idempotency.Policy{
			Key:       idempotency.KeyOptional,
			KeyFormat: idempotency.KeyUUIDv7,
			Retention: time.Hour,
			Lease:     5 * time.Second,
			Wait:      1500 * time.Millisecond,
			MaxHold:   time.Minute,
			Orphan:    idempotency.OrphanRerunUnmarked,
			Record:    idempotency.RecordSuccess,
			Failure:   idempotency.FailureUnknown,
			Stream:    idempotency.StreamPass,
			StoreDown: idempotency.StoreDownOpen,
			Headers:   []string{"x-cost", "x-proof-bin"},
		},
		keyField:       "request_id",
		keyFieldFormat: idempotency.KeyUUIDv4,
		scopeField:     "order.shop",
		exclude:        []string{"order.sent", "labels"},
		said:           true,
	}
}

func TestAMethodIsProtectedAsItsProtoSays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string // the method's
		want methodSettings
	}{
		{"Plain", methodSettings{}},
		{"Empty", methodSettings{said: true}},
		{"Full", fullSettings()},
		{"NoWait", methodSettings{said: true, keyField: "order.id", policy: idempotency.Policy{Wait: idempotency.NoWait}}},
		{"FieldOnly", methodSettings{said: true, keyField: "request_id", keyFieldFormat: idempotency.KeyUUIDv7}},
		{"Off", methodSettings{said: true, policy: idempotency.Policy{Key: idempotency.KeyOff}}},
		{"Shadow", methodSettings{said: true, policy: idempotency.Policy{Key: idempotency.KeyShadow}}},
		{"Read", methodSettings{readOnly: true}},
		{"ReadOff", methodSettings{said: true, readOnly: true, policy: idempotency.Policy{Key: idempotency.KeyOff}}},
		{"Idempotent", methodSettings{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := methodOptions(declaredMethod(t, "Good", tt.name))
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestAWrongDeclarationSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, want string }{
		{"ReadWithKey", `idempotency_level = NO_SIDE_EFFECTS contradicts its policy: remove one of them, or say key: KEY_OFF`},
		{"ReadWithPolicy", `idempotency_level = NO_SIDE_EFFECTS contradicts its policy: remove one of them, or say key: KEY_OFF`},
		{"OffWithMore", `key: KEY_OFF contradicts all else in its policy`},
		{"WaitFalse", `no_wait: only true has a meaning; say for how long with wait`},
		{"NoLease", `lease: 0s is not above zero`},
		{"NegativeWait", `wait: -1ns is not above zero`},
		{"EndlessRetention", `retention: {seconds: 315576000001 nanos: 0} is no duration`},
		{"KeyTypo", `key_field: field "requestId": optiontest.v1.Request has no field "requestId"; the nearest is "request_id"`},
		{"KeyOfMessage", `key_field: field "order": its type message has no text form: it must be a string, an integer or an enum`},
		{"KeyOfBytes", `key_field: field "digest": its type bytes has no text form: it must be a string, an integer or an enum`},
		{"KeyInList", `key_field: field "orders.id": orders has many values, so it does not name one`},
		{"ScopeInMap", `scope_field: field "labels.value": there is nothing below labels`},
		{"ScopeIsKey", `key_field and scope_field are both "request_id"`},
		{"ExcludeTypo", `exclude: field "order.idd": optiontest.v1.Order has no field "idd"; the nearest is "id"`},
		{"ExcludeTwice", `exclude: "order.sent" is there twice`},
		{"TwoFaults", "lease: 0s is not above zero\n" + `key_field: field "nothing.like_it": optiontest.v1.Request has no field "nothing"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := methodOptions(declaredMethod(t, "Wrong", tt.name))
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestAServerDoesNotStartOnAWrongDeclarationAndNamesEveryMethod(t *testing.T) {
	t.Parallel()
	store, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(store)
	require.NoError(t, err)
	in, err := New(guard, GlobalScope())
	require.NoError(t, err)
	service := optionpb.File_option_proto.Services().ByName("Wrong")
	err = in.Protect(service)
	require.ErrorContains(t, err, `optiontest.v1.Wrong/ReadWithKey: idempotency_level = NO_SIDE_EFFECTS contradicts its policy`)
	for i := range service.Methods().Len() {
		assert.ErrorContains(t, err, operationName(service.Methods().Get(i))+": ")
	}
}

// A duration longer than Go's is the longest there is, and fails where ranges are
// checked.
func TestADurationBeyondGosIsNotShortened(t *testing.T) {
	t.Parallel()
	got, err := methodOptions(declaredMethod(t, "Wrong", "LongRetention"))
	require.NoError(t, err)
	require.ErrorContains(t, idempotency.DefaultPolicy().Override(got.policy).Validate(), "Retention is 2562047h47m16.854775807s, not within")
}

// A reflection client, a .protoset or a dynamic registry has the option as bytes,
// or as a message of another Go type.
func TestTheOptionIsReadInWhateverFormTheDescriptorHasIt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		resolver func(*testing.T) interface {
			protoregistry.MessageTypeResolver
			protoregistry.ExtensionTypeResolver
		}
	}{
		{"unknown bytes", func(*testing.T) interface {
			protoregistry.MessageTypeResolver
			protoregistry.ExtensionTypeResolver
		} {
			return new(protoregistry.Types)
		}},
		{"dynamic message", func(*testing.T) interface {
			protoregistry.MessageTypeResolver
			protoregistry.ExtensionTypeResolver
		} {
			return dynamicpb.NewTypes(protoregistry.GlobalFiles)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			raw, err := proto.Marshal(protodesc.ToFileDescriptorProto(optionpb.File_option_proto))
			require.NoError(t, err)
			parsed := new(descriptorpb.FileDescriptorProto)
			require.NoError(t, proto.UnmarshalOptions{Resolver: tt.resolver(t)}.Unmarshal(raw, parsed))
			file, err := protodesc.NewFile(parsed, protoregistry.GlobalFiles)
			require.NoError(t, err)

			got, err := methodOptions(methodIn(t, file, "Good", "Full"))
			require.NoError(t, err)
			assert.Equal(t, fullSettings(), got)
		})
	}
}

func TestWhatANewerProtoSaysIsRefusedAndNotOverlooked(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		policy func() *policypb.Policy
		want   string
	}{
		{"a field", func() *policypb.Policy {
			p := &policypb.Policy{Key: policypb.Key_KEY_REQUIRED}
			p.ProtoReflect().SetUnknown(protoreflect.RawFields{0xa0, 0x06, 0x01}) // field 100: 1
			return p
		}, "its policy says something that this version of the library does not know: its .proto is newer"},
		{"a word", func() *policypb.Policy {
			return &policypb.Policy{Key: 9, Orphan: -1, KeyFieldFormat: 5}
		}, "key_field_format: 5 is a value that this version of the library does not know\nkey: 9 is a value that this version of the library does not know\norphan: -1 is a value that this version of the library does not know"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var set methodSettings
			require.EqualError(t, set.read(tt.policy()), tt.want)
		})
	}
}
