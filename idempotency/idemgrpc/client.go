package idemgrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/internal/keysyntax"
)

// Client gives calls their idempotency keys: see [NewClient]. Safe for concurrent
// use.
type Client struct {
	opts  clientOptions
	plans sync.Map // full method → clientPlan; as many as the program calls methods
}

// NewClient returns the interceptors for clients of services that honour
// idempotency keys:
//
//	keys, err := idemgrpc.NewClient()
//	conn, err := grpc.NewClient(target,
//		grpc.WithChainUnaryInterceptor(keys.Unary()),
//		grpc.WithChainStreamInterceptor(keys.Stream()))
//
// Every call of a method that wants one goes out under a key: the caller's own,
// in the metadata or in the request's key field, else that of its context
// ([WithKey]), else [SendKeyFrom]'s, else a fresh UUID. A key of the caller's is
// never changed, and blank metadata is no key. Two different ones in the metadata,
// or one in the field and another in the context, fail the call with
// INVALID_ARGUMENT before anything is sent.
//
// Methods want a key if their .proto has the policy option and does not say
// KEY_OFF, or if [SendKeysFor] or [SendKeysWhere] says so. Those without side
// effects (idempotency_level) never do. What a .proto says is known of services
// whose generated code is linked into the program.
//
// Interceptors stand above grpc-go's retries and hedges: all attempts of one call
// carry the same key. A new call is a new operation: whoever repeats a call in a
// loop gives its context a key first, with WithKey. An interceptor that repeats
// calls belongs after this one in a chain: then it repeats the key as well.
//
// The key goes into the metadata, or into the request with [SendKeyInField]. A
// server-streaming method with a key field always has it there: its metadata is
// sent before the request is known. The caller's message is never changed: a copy
// is sent.
//
// Errors name the option that is wrong.
func NewClient(opts ...ClientOption) (*Client, error) {
	o := defaultClientOptions()
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("idemgrpc: a nil client option")
		}
		if err := opt(&o); err != nil {
			return nil, fmt.Errorf("idemgrpc: %w", err)
		}
	}
	return &Client{opts: o}, nil
}

// Unary returns the interceptor of unary calls.
func (c *Client) Unary() grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		ctx, req, err := c.keyedCall(ctx, method, req)
		if err != nil {
			return err
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}
}

// Stream returns the interceptor of streaming calls.
func (c *Client) Stream() grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		ctx, inField, err := c.keyedStream(ctx, desc, method)
		if err != nil {
			return nil, err
		}
		if inField == nil {
			return open(ctx, desc, cc, method, opts...)
		}
		ctx, inField.end = context.WithCancel(ctx)
		if inField.ClientStream, err = open(ctx, desc, cc, method, opts...); err != nil {
			inField.end()
			return nil, err
		}
		return inField, nil
	}
}

// keyedCall returns context and request of a unary call with its key.
func (c *Client) keyedCall(ctx context.Context, method string, req any) (context.Context, any, error) {
	plan := c.plan(method)
	if !plan.wanted {
		return ctx, req, nil
	}
	ctx, own, err := c.ownKey(ctx)
	if err != nil || own {
		return ctx, req, err
	}
	if held := plan.heldKey(req); held != "" {
		return ctx, req, checkHeld(ctx, held)
	}
	inField := c.opts.field != "" && plan.takesKey(req)
	key, err := c.keyFor(ctx, plan.drawn.by(inField), method, req)
	if err != nil {
		return ctx, req, err
	}
	if inField {
		keyed, _ := plan.withKey(req, key)
		return ctx, keyed, nil
	}
	ctx, err = c.inMetadata(ctx, key)
	return ctx, req, err
}

// keyedStream returns the context of a stream with its key, or a stream that
// puts the key into the request when it is sent.
func (c *Client) keyedStream(ctx context.Context, desc *grpc.StreamDesc, method string) (context.Context, *keyInField, error) {
	plan := c.plan(method)
	if !plan.wanted {
		return ctx, nil, nil
	}
	ctx, own, err := c.ownKey(ctx)
	if err != nil || own {
		return ctx, nil, err
	}
	inField := isWritable(plan.path) && !desc.ClientStreams
	key, err := c.keyFor(ctx, plan.drawn.by(inField), method, nil)
	if err != nil {
		return ctx, nil, err
	}
	if inField {
		return ctx, &keyInField{plan: plan, key: key, caller: ctx}, nil
	}
	ctx, err = c.inMetadata(ctx, key)
	return ctx, nil, err
}

// ownKey says whether the caller put a key into the metadata, and returns the
// context with that one, or without blank ones.
func (c *Client) ownKey(ctx context.Context) (context.Context, bool, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	values := md.Get(c.opts.metadata)
	if len(values) == 0 {
		return ctx, false, nil
	}
	key := ""
	for _, value := range values {
		value = strings.Trim(value, " \t")
		if key != "" && value != "" && value != key {
			return ctx, false, status.Errorf(codes.InvalidArgument, "idemgrpc: the metadata has different keys in %s", c.opts.metadata)
		}
		key = max(key, value) // "" is the least
	}
	if key == "" {
		md.Delete(c.opts.metadata) // md is a copy
		return metadata.NewOutgoingContext(ctx, md), false, nil
	}
	if err := checkSent(key); err != nil {
		return ctx, false, status.Errorf(codes.InvalidArgument, "idemgrpc: the key in metadata %s %v", c.opts.metadata, err)
	}
	if len(values) > 1 || values[0] != key { // a server wants one
		md.Set(c.opts.metadata, key)
		ctx = metadata.NewOutgoingContext(ctx, md)
	}
	return ctx, true, nil
}

// inMetadata puts a key into metadata that has none.
func (c *Client) inMetadata(ctx context.Context, key string) (context.Context, error) {
	value, err := keysyntax.Field(key, false)
	if err != nil {
		return ctx, status.Error(codes.InvalidArgument, "idemgrpc: the key cannot be sent in metadata")
	}
	return metadata.AppendToOutgoingContext(ctx, c.opts.metadata, value), nil
}

// keyFor returns the key of a call that has none yet, drawn unless something else
// is said. The request is nil for streams.
func (c *Client) keyFor(ctx context.Context, draw func() string, method string, req any) (string, error) {
	key, given := KeyFromContext(ctx)
	if !given && c.opts.draw == nil {
		return draw(), nil
	}
	if !given {
		var err error
		if key, err = c.opts.draw(ctx, method, req); err != nil {
			return "", fmt.Errorf("idemgrpc: SendKeyFrom: %w", err)
		}
	}
	if _, err := keysyntax.Check(key); err != nil {
		return "", status.Errorf(codes.InvalidArgument, "idemgrpc: the key cannot be sent: %v", err)
	}
	return key, nil
}

// keyInField is a stream whose request is sent with a key in it.
type keyInField struct {
	grpc.ClientStream

	plan   clientPlan
	key    string
	caller context.Context //nolint:containedctx // of the call, as long as that lasts
	end    context.CancelFunc
}

// SendMsg sends the request with the key, or with the caller's if it has one. An
// error ends the stream, as one of grpc-go's does.
func (s *keyInField) SendMsg(m any) error {
	err := s.send(m)
	if err != nil && !errors.Is(err, io.EOF) { // with EOF it has ended, and RecvMsg says why
		s.end()
	}
	return err
}

// RecvMsg implements [grpc.ClientStream]. A stream has ended with the first error.
func (s *keyInField) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		s.end()
	}
	return err
}

func (s *keyInField) send(m any) error {
	if held := s.plan.heldKey(m); held != "" {
		if err := checkHeld(s.caller, held); err != nil {
			return err
		}
		return s.ClientStream.SendMsg(m)
	}
	keyed, ok := s.plan.withKey(m, s.key)
	if !ok { // a grpc.PreparedMsg, or a type of another codec
		return status.Errorf(codes.InvalidArgument, "idemgrpc: a key cannot be put into a %T: put it into the metadata", m)
	}
	return s.ClientStream.SendMsg(keyed)
}
