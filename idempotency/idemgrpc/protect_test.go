package idemgrpc

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/keysyntax"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store/memstore"
)

func receiptDescriptor() protoreflect.MessageDescriptor {
	return testpb.File_orders_proto.Messages().ByName("Receipt")
}

func ordersService() protoreflect.ServiceDescriptor {
	return testpb.File_orders_proto.Services().ByName("Orders")
}

func newGuard(t testing.TB, opts ...idempotency.Option) *idempotency.Guard {
	t.Helper()
	st, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(st, opts...)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = guard.Shutdown(ctx)
	})
	return guard
}

func TestMistakesOfConstructionAreErrors(t *testing.T) {
	t.Parallel()
	scope := func(context.Context) (string, error) { return "s", nil }
	tests := []struct {
		name string
		opts []Option
		want string
	}{
		{"no scope", nil, "no scope"},
		{"nil scope", []Option{Scope(nil)}, "Scope: the function is nil"},
		{"two scopes", []Option{Scope(scope), GlobalScope()}, "the scope is set twice"},
		{"nil option", []Option{nil}, "a nil option"},
		{"key in authorization", []Option{GlobalScope(), KeyMetadata("Authorization")}, "another meaning"},
		{"key in grpc-", []Option{GlobalScope(), KeyMetadata("grpc-key")}, "another meaning"},
		{"key named twice", []Option{GlobalScope(), KeyMetadata("k", "K")}, "named twice"},
		{"cookie recorded", []Option{GlobalScope(), RecordMetadata("Set-Cookie")}, "one client's session"},
		{"grpc- recorded", []Option{GlobalScope(), RecordMetadata("grpc-status-details-bin")}, "gRPC's own"},
		{"mark recorded", []Option{GlobalScope(), RecordMetadata("idempotency-status")}, "the interceptor itself"},
		{"no name", []Option{GlobalScope(), RecordMetadata("a b")}, "not a metadata name"},
		{"no domain", []Option{GlobalScope(), ErrorDomain("")}, "ErrorDomain"},
		{"negative wait", []Option{GlobalScope(), Wait(-5)}, "Wait"},
		{"long wait", []Option{GlobalScope(), Wait(time.Hour)}, "Wait"},
		{"nil replay guard", []Option{GlobalScope(), ReplayGuard(nil)}, "ReplayGuard"},
	}
	guard := newGuard(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := New(guard, test.opts...)
			require.ErrorContains(t, err, test.want)
		})
	}
	_, err := New(nil, GlobalScope())
	require.ErrorContains(t, err, "the guard is nil")
}

func TestMistakesOfProtectionNameTheMethod(t *testing.T) {
	t.Parallel()
	resolver := func(context.Context, proto.Message) (string, error) { return "", nil }
	tests := []struct {
		name   string
		method ServiceMethod
		want   string
	}{
		{"unknown method", Method("Crate"), `reprise.test.v1.Orders has no method "Crate"; the nearest is "Create"`},
		{"two mistakes", Method("Create", KeyFieldFormat(idempotency.KeyUUID), idempotency.Policy{Lease: time.Millisecond, Headers: []string{"Cookie", "Date"}}),
			"idemgrpc: reprise.test.v1.Orders/Create: KeyFieldFormat is said, and there is no KeyField that it could be about\n" +
				"idemgrpc: reprise.test.v1.Orders/Create: Policy.Headers: metadata \"Cookie\" cannot be recorded: it belongs to one client's session\n" +
				"idemgrpc: reprise.test.v1.Orders/Create: metadata \"Date\" cannot be recorded: the transport sets it on every answer\n" +
				"idemgrpc: reprise.test.v1.Orders/Create: Lease is 1ms"},
		{"a conflict's HTTP status", Method("Create", idempotency.Policy{Conflict: idempotency.Conflict425}), `Orders/Create: Policy.Conflict is "425", which is for HTTP`},
		{"a limit that is the server's", Method("Create", idempotency.Policy{MaxRequestBody: 10}), "Orders/Create: Policy.MaxRequestBody is for HTTP"},
		{"a function's option", Method("Create", idempotency.WithCodec(idempotency.JSONCodec())), "WithCodec is for Do, Wrap and Weave"},
		{"unknown field", Method("Create", KeyField("request")), `Orders/Create: field "request": reprise.test.v1.Order has no field "request"`},
		{"unknown field below", Method("Create", KeyField("meta.none")), `reprise.test.v1.Meta has no field "none"`},
		{"below a scalar", Method("Create", KeyField("currency.code")), "there is nothing below currency"},
		{"a message as key", Method("Create", KeyField("meta")), "has no text form"},
		{"a float as key", Method("Create", KeyField("weight")), "has no text form"},
		{"bytes as key", Method("Create", KeyField("token")), "has no text form"},
		{"a list as key", Method("Create", KeyField("tags")), "tags has many values"},
		{"through a list", Method("Create", KeyField("items.name")), "items has many values"},
		{"a map as scope", Method("Create", ScopeField("counts")), "counts has many values"},
		{"unknown exclusion", Method("Create", Exclude("tags.x")), "there is nothing below tags"},
		{"two keys", Method("Create", KeyField("request_id"), KeyField("currency")), "KeyField is given twice"},
		{"two sources", Method("Create", KeyField("request_id"), KeyFrom(resolver)), "exclude each other"},
		{"a format of no field", Method("Create", KeyFieldFormat(idempotency.KeyUUID)), "Orders/Create: KeyFieldFormat is said, and there is no KeyField"},
		{"two formats", Method("Create", KeyFieldFormat(idempotency.KeyUUID), KeyFieldFormat(idempotency.KeyUUIDv4)), "Orders/Create: KeyFieldFormat is given twice"},
		{"no format", Method("Create", KeyField("request_id"), KeyFieldFormat("guid")), `KeyFieldFormat is "guid", which is no format of keys`},
		{"a number that is a UUID", Method("Create", KeyField("amount"), KeyFieldFormat(idempotency.KeyUUID)), `KeyFieldFormat is "uuid", and amount is never a UUID: its type is int64`},
		{"a former path that is unknown", Method("Create", FormerFingerprint(Exclude("none"))), `FormerFingerprint: field "none"`},
		{"a former nothing", Method("Create", FormerFingerprint()), "FormerFingerprint: it says nothing"},
		{"a former policy", Method("Create", FormerFingerprint(KeyField("request_id"), idempotency.Policy{Lease: time.Second})), "FormerFingerprint: only KeyField, Exclude and"},
		{"a former scope", Method("Create", FormerFingerprint(KeyField("request_id"), ScopeField("currency"))), "FormerFingerprint: only KeyField, Exclude and"},
		{"a former nil", Method("Create", FormerFingerprint(nil)), "a nil option"},
		{"nil resolver", Method("Create", KeyFrom(nil)), "KeyFrom: the function is nil"},
		{"nil option", Method("Create", nil), "a nil option"},
		{"JSON", Method("Create", idempotency.Policy{Fingerprint: idempotency.FingerprintJSON}), "JSON is for HTTP"},
		{"bad policy", Method("Create", idempotency.Policy{Lease: time.Millisecond}), "Lease"},
		{"unsafe metadata", Method("Create", idempotency.Policy{Headers: []string{"Cookie"}}), "one client's session"},
		{"a read that is protected", Method("Read", idempotency.Policy{Key: idempotency.KeyRequired}), "NO_SIDE_EFFECTS"},
	}
	guard := newGuard(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in, err := New(guard, GlobalScope())
			require.NoError(t, err)
			err = in.Protect(ordersService(), test.method)
			require.ErrorContains(t, err, test.want)
			assert.Nil(t, in.method("/reprise.test.v1.Orders/Change"), "nothing is protected then")
		})
	}
	assert.Empty(t, guard.Operations())
}

// What a guard says for all its transports is no mistake of one.
func TestWhatIsForHTTPMayBeTheGuards(t *testing.T) {
	t.Parallel()
	in, err := New(newGuard(t, idempotency.WithPolicy(idempotency.Policy{Conflict: idempotency.Conflict503, MaxRequestBody: 10})), GlobalScope())
	require.NoError(t, err)
	require.NoError(t, in.Protect(ordersService(), Method("Create", idempotency.Policy{Conflict: idempotency.Conflict409})))
}

// A guard that lets the answers of all streams pass has not said that a client
// stream is to run unprotected.
func TestOnlyAMethodsOwnWordLeavesAClientStreamUnprotected(t *testing.T) {
	t.Parallel()
	uploads := testpb.File_orders_proto.Services().ByName("Uploads")
	pass := idempotency.Policy{Stream: idempotency.StreamPass}
	tests := []struct {
		name    string
		guard   idempotency.Policy
		methods []ServiceMethod
		ok      bool
	}{
		{"nobody says anything", idempotency.Policy{}, nil, false},
		{"the guard lets pass", pass, nil, false},
		{"one of two is said", pass, []ServiceMethod{Method("Collect", Off())}, false},
		{"both are said", idempotency.Policy{}, []ServiceMethod{Method("Collect", Off()), Method("Talk", pass)}, true},
		{"the guard protects nothing", idempotency.Policy{Key: idempotency.KeyOff}, nil, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in, err := New(newGuard(t, idempotency.WithPolicy(test.guard)), GlobalScope())
			require.NoError(t, err)
			err = in.Protect(uploads, test.methods...)
			if test.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "Uploads/Talk: a client stream cannot be protected: if it is to run unprotected, say `key: KEY_OFF`")
		})
	}
}

func TestOptionsOfMethodsAreForNothingElse(t *testing.T) {
	t.Parallel()
	guard := newGuard(t)
	for name, option := range map[string]idempotency.OperationOption{
		"KeyField":          KeyField("id"),
		"KeyFieldFormat":    KeyFieldFormat(idempotency.KeyUUID),
		"ScopeField":        ScopeField("id"),
		"Exclude":           Exclude("id"),
		"FormerFingerprint": FormerFingerprint(Exclude("id")),
		"KeyFrom":           KeyFrom(func(context.Context, proto.Message) (string, error) { return "", nil }),
	} {
		_, err := guard.Operation("POST /orders", option)
		require.ErrorContains(t, err, `operation "POST /orders": idemgrpc.`+name+" is for idemgrpc.Method")
		_, err = idempotency.Wrap(guard, "order", func(context.Context, struct{}) (int, error) { return 0, nil },
			idempotency.GlobalScope(), option)
		require.ErrorContains(t, err, "idemgrpc."+name+" is for idemgrpc.Method")
	}
	assert.Empty(t, guard.Operations())
}

func TestWhatIsNotSaidIsInherited(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		guard idempotency.Policy
		opts  []Option
		said  idempotency.Policy
		want  time.Duration
	}{
		{"by default", idempotency.Policy{}, nil, idempotency.Policy{}, DefaultWait},
		{"the guard's", idempotency.Policy{Wait: time.Second}, nil, idempotency.Policy{}, time.Second},
		{"the interceptor's", idempotency.Policy{Wait: time.Second}, []Option{Wait(idempotency.NoWait)}, idempotency.Policy{}, idempotency.NoWait},
		{"the method's", idempotency.Policy{}, []Option{Wait(time.Second)}, idempotency.Policy{Wait: idempotency.NoWait}, idempotency.NoWait},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			guard := newGuard(t, idempotency.WithPolicy(test.guard))
			in, err := New(guard, append(test.opts, GlobalScope())...)
			require.NoError(t, err)
			require.NoError(t, in.Protect(ordersService(), Method("Create", test.said)))
			op, ok := guard.Registered("reprise.test.v1.Orders/Create")
			require.True(t, ok)
			assert.Equal(t, test.want, op.Policy().Wait)
			require.ErrorContains(t, in.Protect(ordersService()), "protected already")
			assert.True(t, in.method("/reprise.test.v1.Orders/Change").protected())
			assert.False(t, in.method("/reprise.test.v1.Orders/Read").protected())
		})
	}
}

func TestDeclarationAndCodeMayNotContradictEachOther(t *testing.T) {
	t.Parallel()
	declared := methodSettings{policy: idempotency.Policy{Lease: time.Second, Headers: []string{"a"}}, keyField: "request_id", exclude: []string{"x"}}
	merged, err := declared.merge(methodSettings{policy: idempotency.Policy{Lease: time.Second, Retention: time.Hour, Headers: []string{"b"}}, exclude: []string{"y"}})
	require.NoError(t, err)
	assert.Equal(t, time.Hour, merged.policy.Retention)
	assert.Equal(t, []string{"a", "b"}, merged.policy.Headers)
	assert.Equal(t, []string{"x", "y"}, merged.exclude)
	assert.Equal(t, "request_id", merged.keyField)
	_, err = declared.merge(methodSettings{policy: idempotency.Policy{Lease: time.Minute}, keyField: "currency"})
	require.ErrorContains(t, err, "Policy.Lease is 1s in the .proto and 1m0s in the code")
	require.ErrorContains(t, err, `KeyField is "request_id" in the .proto and "currency" in the code`)

	declared.keyFieldFormat = idempotency.KeyUUIDv4
	merged, err = declared.merge(methodSettings{keyFieldFormat: idempotency.KeyUUIDv4})
	require.NoError(t, err)
	assert.Equal(t, idempotency.KeyUUIDv4, merged.keyFieldFormat)
	_, err = declared.merge(methodSettings{keyFieldFormat: idempotency.KeyUUID})
	require.ErrorContains(t, err, `KeyFieldFormat is "uuid4" in the .proto and "uuid" in the code`)
}

func TestKeysOfEveryTextualType(t *testing.T) {
	t.Parallel()
	tests := []struct {
		path  string
		order *testpb.Order
		want  string
	}{
		{"request_id", &testpb.Order{RequestId: "k"}, "k"},
		{"amount", &testpb.Order{Amount: -7}, "-7"},
		{"serial", &testpb.Order{Serial: 1 << 63}, "9223372036854775808"},
		{"size", &testpb.Order{Size: testpb.Size_SIZE_SMALL}, "1"},
		{"meta.number", &testpb.Order{Meta: &testpb.Meta{Number: proto.Int64(0)}}, "0"},
		{"meta.number", &testpb.Order{Meta: &testpb.Meta{}}, ""},
		{"meta.id", &testpb.Order{}, ""},
		{"note", &testpb.Order{Note: new("n")}, "n"},
		{"card", &testpb.Order{Payment: &testpb.Order_Token{}}, ""},
	}
	for _, test := range tests {
		t.Run(test.path+"="+test.want, func(t *testing.T) {
			t.Parallel()
			path, err := valuePath(test.order.ProtoReflect().Descriptor(), test.path)
			require.NoError(t, err)
			m := &method{in: &Interceptor{}, keyField: path}
			key, err := m.key(t.Context(), test.order)
			if test.want == "" {
				require.ErrorIs(t, err, keysyntax.ErrNone)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, key)
		})
	}
}

func TestScopesWithinScopesAreNeverSpelledAlike(t *testing.T) {
	t.Parallel()
	assert.NotEqual(t, ScopeWithin("ab", "c"), ScopeWithin("a", "bc"))
	assert.NotEqual(t, ScopeWithin("1:a", ""), ScopeWithin("", "1:a"))
}
