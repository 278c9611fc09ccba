package idemgrpc_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/internal/optionpb"
)

// G9: grpc-go tells that an attempt is a repeated one.
func TestAllAttemptsOfACallCarryOneKey(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opts []idemgrpc.ClientOption
		call func(context.Context, optionpb.GoodClient) error
		key  func(attempt) string
	}{
		{"unary, in the metadata", nil, func(ctx context.Context, c optionpb.GoodClient) error {
			_, err := c.Empty(ctx, &optionpb.Request{})
			return err
		}, func(a attempt) string { return strings.Join(a.metadata, "+") }},
		{"unary, in the request", []idemgrpc.ClientOption{idemgrpc.SendKeyInField("request_id")}, func(ctx context.Context, c optionpb.GoodClient) error {
			_, err := c.Empty(ctx, &optionpb.Request{})
			return err
		}, func(a attempt) string { return a.field }},
		{"server stream, in its key field", nil, func(ctx context.Context, c optionpb.GoodClient) error {
			stream, err := c.Listed(ctx, &optionpb.Request{})
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		}, func(a attempt) string { return a.field }},
		{"bidi stream, in the metadata", nil, func(ctx context.Context, c optionpb.GoodClient) error {
			stream, err := c.Talk(ctx)
			if err != nil {
				return err
			}
			if err := stream.Send(&optionpb.Request{}); err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		}, func(a attempt) string { return strings.Join(a.metadata, "+") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &keyWitness{failures: 2}
			client := optionpb.NewGoodClient(dialWitness(t, w, tt.opts...))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			require.NoError(t, tt.call(ctx, client))
			seen := w.attempts()
			require.Len(t, seen, 3)
			assert.Regexp(t, uuidOf("4"), tt.key(seen[0]))
			assert.Equal(t, tt.key(seen[0]), tt.key(seen[1]))
			assert.Equal(t, tt.key(seen[0]), tt.key(seen[2]))
			assert.Equal(t, []string{"2"}, seen[2].previous)
		})
	}
}

// G8, from the client's side: hedges are calls side by side.
func TestCallsSideBySideUnderOneContextCarryOneKey(t *testing.T) {
	t.Parallel()
	w := &keyWitness{}
	client := optionpb.NewGoodClient(dialWitness(t, w))
	ctx := idemgrpc.WithKey(t.Context(), "")
	var hedges sync.WaitGroup
	for range 3 {
		hedges.Go(func() {
			_, err := client.Empty(ctx, &optionpb.Request{})
			assert.NoError(t, err)
		})
	}
	hedges.Wait()
	key, ok := idemgrpc.KeyFromContext(ctx)
	require.True(t, ok)
	seen := w.attempts()
	require.Len(t, seen, 3)
	for _, a := range seen {
		assert.Equal(t, []string{key}, a.metadata)
	}
}

func TestTwoCallsAreTwoOperations(t *testing.T) {
	t.Parallel()
	w := &keyWitness{}
	client := optionpb.NewGoodClient(dialWitness(t, w))
	for range 2 {
		_, err := client.Empty(t.Context(), &optionpb.Request{})
		require.NoError(t, err)
	}
	seen := w.attempts()
	require.Len(t, seen, 2)
	assert.NotEqual(t, seen[0].metadata, seen[1].metadata)
}

func TestOnlyMethodsThatWantAKeyGetOne(t *testing.T) {
	t.Parallel()
	all := idemgrpc.SendKeysWhere(func(string) bool { return true })
	none := idemgrpc.SendKeysWhere(func(string) bool { return false })
	tests := []struct {
		name   string
		method string
		opts   []idemgrpc.ClientOption
		want   bool
	}{
		{"declared", "Empty", nil, true},
		{"not declared", "Plain", nil, false},
		{"declared off", "Off", nil, false},
		{"declared in shadow", "Shadow", nil, true},
		{"without side effects", "Read", nil, false},
		{"method listed", "Plain", []idemgrpc.ClientOption{idemgrpc.SendKeysFor("optiontest.v1.Good/Plain")}, true},
		{"method listed with a slash", "Plain", []idemgrpc.ClientOption{idemgrpc.SendKeysFor("/optiontest.v1.Good/Plain")}, true},
		{"service listed", "Plain", []idemgrpc.ClientOption{idemgrpc.SendKeysFor("optiontest.v1.Good")}, true},
		{"another listed", "Plain", []idemgrpc.ClientOption{idemgrpc.SendKeysFor("optiontest.v1.Good/Empty")}, false},
		{"without side effects, and listed", "Read", []idemgrpc.ClientOption{idemgrpc.SendKeysFor("optiontest.v1.Good")}, false},
		{"function says yes", "Plain", []idemgrpc.ClientOption{all}, true},
		{"function says no", "Empty", []idemgrpc.ClientOption{none}, false},
		{"off, and the function says yes", "Off", []idemgrpc.ClientOption{all}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &keyWitness{}
			conn := dialWitness(t, w, tt.opts...)
			require.NoError(t, conn.Invoke(t.Context(), "/optiontest.v1.Good/"+tt.method, &optionpb.Request{}, new(optionpb.Answer)))
			assert.Equal(t, tt.want, len(w.only(t).metadata) == 1)
		})
	}
}

func TestTheCallersKeyIsNeverChanged(t *testing.T) {
	t.Parallel()
	withMetadata := func(ctx context.Context, values ...string) context.Context {
		for _, value := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", value)
		}
		return ctx
	}
	inField := idemgrpc.SendKeyInField("request_id")
	tests := []struct {
		name    string
		opts    []idemgrpc.ClientOption
		ctx     func(context.Context) context.Context
		request *optionpb.Request
		want    attempt
	}{
		{"metadata", nil, func(ctx context.Context) context.Context { return withMetadata(ctx, "mine") }, &optionpb.Request{}, attempt{metadata: []string{"mine"}}},
		{"metadata, before the context's", nil, func(ctx context.Context) context.Context {
			return idemgrpc.WithKey(withMetadata(ctx, "mine"), "context's")
		}, &optionpb.Request{}, attempt{metadata: []string{"mine"}}},
		{"metadata, where keys go into the request", []idemgrpc.ClientOption{inField}, func(ctx context.Context) context.Context {
			return withMetadata(ctx, "mine")
		}, &optionpb.Request{}, attempt{metadata: []string{"mine"}}},
		{"metadata twice and blank", nil, func(ctx context.Context) context.Context { return withMetadata(ctx, "", "mine", "mine") }, &optionpb.Request{}, attempt{metadata: []string{"mine"}}},
		{"declared field", nil, func(ctx context.Context) context.Context { return ctx }, &optionpb.Request{RequestId: "mine"}, attempt{field: "mine"}},
		{"declared field, the same as the context's", nil, func(ctx context.Context) context.Context {
			return idemgrpc.WithKey(ctx, "mine")
		}, &optionpb.Request{RequestId: "mine"}, attempt{field: "mine"}},
		{"declared field beside blank metadata", nil, func(ctx context.Context) context.Context {
			return withMetadata(ctx, "", " ")
		}, &optionpb.Request{RequestId: "mine"}, attempt{field: "mine"}},
		{"both, which is the server's to judge", nil, func(ctx context.Context) context.Context {
			return withMetadata(ctx, "one")
		}, &optionpb.Request{RequestId: "other"}, attempt{metadata: []string{"one"}, field: "other"}},
		{"context", nil, func(ctx context.Context) context.Context {
			return idemgrpc.WithKey(ctx, "context's")
		}, &optionpb.Request{}, attempt{metadata: []string{"context's"}}},
		{"context, into the request", []idemgrpc.ClientOption{inField}, func(ctx context.Context) context.Context {
			return idemgrpc.WithKey(ctx, "context's")
		}, &optionpb.Request{}, attempt{field: "context's"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &keyWitness{}
			client := optionpb.NewGoodClient(dialWitness(t, w, tt.opts...))
			before := proto.Clone(tt.request)
			_, err := client.Full(tt.ctx(t.Context()), tt.request)
			require.NoError(t, err)
			got := w.only(t)
			assert.Equal(t, tt.want, attempt{metadata: got.metadata, field: got.field})
			assert.True(t, proto.Equal(before, tt.request), "the caller's message was changed")
		})
	}
}

func TestAStreamKeepsTheCallersKey(t *testing.T) {
	t.Parallel()
	w := &keyWitness{}
	client := optionpb.NewGoodClient(dialWitness(t, w))
	stream, err := client.Listed(t.Context(), &optionpb.Request{RequestId: "mine"})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.NoError(t, err)
	assert.Equal(t, attempt{field: "mine"}, w.only(t))
}

func TestAKeyThatCannotBeSentFailsTheCallAndIsNotTold(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		ctx  func(context.Context) context.Context
		want string
	}{
		{"two in the metadata", func(ctx context.Context) context.Context {
			return metadata.AppendToOutgoingContext(ctx, "idempotency-key", "secret1", "idempotency-key", "secret2")
		}, "idemgrpc: the metadata has different keys in idempotency-key"},
		{"not ASCII, in the metadata", func(ctx context.Context) context.Context {
			return metadata.AppendToOutgoingContext(ctx, "idempotency-key", "secrét")
		}, "idemgrpc: the key in metadata idempotency-key holds a byte that is not printable ASCII"},
		{"not ASCII", func(ctx context.Context) context.Context { return idemgrpc.WithKey(ctx, "secrét") }, "idemgrpc: the key cannot be sent: invalid key: it holds a byte that is not printable ASCII"},
		{"too long", func(ctx context.Context) context.Context {
			return idemgrpc.WithKey(ctx, strings.Repeat("secret", 43))
		}, "idemgrpc: the key cannot be sent: invalid key: it has more than 255 characters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &keyWitness{}
			client := optionpb.NewGoodClient(dialWitness(t, w))
			_, err := client.Empty(tt.ctx(t.Context()), &optionpb.Request{})
			assert.Equal(t, codes.InvalidArgument, status.Code(err))
			assert.Equal(t, tt.want, status.Convert(err).Message())
			_, err = client.Talk(tt.ctx(t.Context()))
			assert.Equal(t, tt.want, status.Convert(err).Message())
			assert.Empty(t, w.attempts())
		})
	}
}

// WithKey says one operation and the request another.
func TestAKeyInTheRequestThatIsNotTheContextsFailsTheCall(t *testing.T) {
	t.Parallel()
	const upper, lower = "5F0C6F5E-9D8B-4B6E-9C70-5B2D9C4F1A7E", "5f0c6f5e-9d8b-4b6e-9c70-5b2d9c4f1a7e"
	tests := []struct {
		name, context, field string
		ok                   bool
	}{
		{"the same", "secret", "secret", true},
		{"another", "secret", "secret2", false},
		{"a UUID in upper case", lower, upper, true},
		{"a UUID in lower case", upper, lower, true},
		{"no UUID in upper case", "secret", "SECRET", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &keyWitness{}
			client := optionpb.NewGoodClient(dialWitness(t, w))
			ctx, cancel := context.WithCancel(idemgrpc.WithKey(t.Context(), tt.context))
			defer cancel()
			request := &optionpb.Request{RequestId: tt.field}
			_, unary := client.Full(ctx, request)
			stream, err := client.Listed(ctx, request)
			if err == nil {
				_, err = stream.Recv()
			}
			for _, got := range []error{unary, err} {
				if tt.ok {
					require.NoError(t, got)
					continue
				}
				require.Equal(t, codes.InvalidArgument, status.Code(got))
				assert.Equal(t, "idemgrpc: the request has another key in its field than WithKey gave the context", status.Convert(got).Message())
			}
			if !tt.ok {
				assert.Empty(t, w.attempts())
			}
		})
	}
}

func TestAKeyWithOtherCharactersIsQuotedInTheMetadataOnly(t *testing.T) {
	t.Parallel()
	w := &keyWitness{}
	ctx := idemgrpc.WithKey(t.Context(), ` a "b"; c`)
	_, err := optionpb.NewGoodClient(dialWitness(t, w)).Empty(ctx, &optionpb.Request{})
	require.NoError(t, err)
	assert.Equal(t, []string{`" a \"b\"; c"`}, w.only(t).metadata)

	w = &keyWitness{}
	_, err = optionpb.NewGoodClient(dialWitness(t, w, idemgrpc.SendKeyInField("request_id"))).Empty(ctx, &optionpb.Request{})
	require.NoError(t, err)
	assert.Equal(t, ` a "b"; c`, w.only(t).field)
}

func TestKeysComeFromTheFunctionGiven(t *testing.T) {
	t.Parallel()
	w := &keyWitness{}
	client := optionpb.NewGoodClient(dialWitness(t, w, idemgrpc.SendKeyFrom(func(_ context.Context, method string, req any) (string, error) {
		order, _ := req.(*optionpb.Request)
		if order.GetOrder() == nil {
			return "", errNoOrder
		}
		return method[1:] + " " + order.GetOrder().GetShop(), nil
	})))
	_, err := client.Empty(t.Context(), &optionpb.Request{Order: &optionpb.Order{Shop: "7"}})
	require.NoError(t, err)
	assert.Equal(t, []string{`"optiontest.v1.Good/Empty 7"`}, w.only(t).metadata)

	_, err = client.Empty(t.Context(), &optionpb.Request{})
	require.ErrorIs(t, err, errNoOrder)
	assert.Len(t, w.attempts(), 1)
}

var errNoOrder = errors.New("no order")

func TestAWrongClientOptionIsNamed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opt  idemgrpc.ClientOption
		want string
	}{
		{"nil", nil, "idemgrpc: a nil client option"},
		{"binary metadata", idemgrpc.SendKeyIn("key-bin"), `idemgrpc: SendKeyIn: "key-bin" is no name of text metadata, or has another meaning`},
		{"gRPC's metadata", idemgrpc.SendKeyIn("grpc-timeout"), `idemgrpc: SendKeyIn: "grpc-timeout" is no name of text metadata, or has another meaning`},
		{"no name", idemgrpc.SendKeyIn(""), `idemgrpc: SendKeyIn: "" is no name of text metadata, or has another meaning`},
		{"path", idemgrpc.SendKeyInField("a..b"), `idemgrpc: SendKeyInField: "a..b" is no path of field names`},
		{"method", idemgrpc.SendKeysFor("a.B/c/d"), `idemgrpc: SendKeysFor: "a.B/c/d" is no service and no method`},
		{"where", idemgrpc.SendKeysWhere(nil), "idemgrpc: SendKeysWhere: the function is nil"},
		{"from", idemgrpc.SendKeyFrom(nil), "idemgrpc: SendKeyFrom: the function is nil"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := idemgrpc.NewClient(tt.opt)
			require.EqualError(t, err, tt.want)
		})
	}
}
