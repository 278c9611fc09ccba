package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/examples/payments/paymentspb"
)

// uuid is a key in the form that request_id has.
const uuid = "5f0c6f5e-9d8b-4b6e-9c70-5b2d9c4f1a7e"

// dial returns a connection of its own to the service's gRPC listener, which does
// not retry by itself.
func (i *instance) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:"+i.grpc,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// caller calls the payment service for one tenant.
type caller struct {
	client paymentspb.PaymentServiceClient
	tenant string
}

func (i *instance) caller(t *testing.T, tenant string) caller {
	t.Helper()
	return caller{paymentspb.NewPaymentServiceClient(i.dial(t)), tenant}
}

// answer is what came back for a call.
type answer struct {
	header, trailer metadata.MD
	messages        []proto.Message
	err             error
}

// with puts tenant and keys into the metadata.
func (c caller) with(ctx context.Context, keys ...string) context.Context {
	if c.tenant != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer sk_test_"+c.tenant)
	}
	for _, key := range keys {
		ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", key)
	}
	return ctx
}

func euros(source string) *paymentspb.CreatePaymentRequest {
	return &paymentspb.CreatePaymentRequest{Amount: 1999, Currency: "EUR", Source: source}
}

// pay charges a source under the keys, of which there is usually one.
func (c caller) pay(ctx context.Context, source string, keys ...string) answer {
	return c.create(ctx, euros(source), keys...)
}

func (c caller) create(ctx context.Context, in *paymentspb.CreatePaymentRequest, keys ...string) answer {
	return unary(ctx, c, c.client.CreatePayment, in, keys...)
}

func (c caller) refund(ctx context.Context, in *paymentspb.RefundPaymentRequest, keys ...string) answer {
	return unary(ctx, c, c.client.RefundPayment, in, keys...)
}

func (c caller) read(ctx context.Context, id string, keys ...string) answer {
	return unary(ctx, c, c.client.GetPayment, &paymentspb.GetPaymentRequest{Id: id}, keys...)
}

func unary[In any, Out proto.Message](
	ctx context.Context, c caller, method func(context.Context, In, ...grpc.CallOption) (Out, error), in In, keys ...string,
) answer {
	var a answer
	out, err := method(c.with(ctx, keys...), in, grpc.Header(&a.header), grpc.Trailer(&a.trailer))
	a.err = err
	if err == nil {
		a.messages = append(a.messages, out)
	}
	return a
}

// stream charges the sources one after the other.
func (c caller) stream(ctx context.Context, in *paymentspb.CreatePaymentsRequest, keys ...string) answer {
	out, err := c.client.CreatePayments(c.with(ctx, keys...), in)
	if err != nil {
		return answer{err: err}
	}
	var a answer
	for {
		var p *paymentspb.Payment
		if p, a.err = out.Recv(); a.err != nil {
			break
		}
		a.messages = append(a.messages, p)
	}
	if errors.Is(a.err, io.EOF) {
		a.err = nil
	}
	a.header, _ = out.Header()
	a.trailer = out.Trailer()
	return a
}

func several(sources ...string) *paymentspb.CreatePaymentsRequest {
	in := &paymentspb.CreatePaymentsRequest{}
	for _, source := range sources {
		in.Payments = append(in.Payments, euros(source))
	}
	return in
}

// running makes a call and returns once it runs on the instance, with a channel
// that gets its answer. It calls twice: the one that is told IN_PROGRESS proves
// that the other runs. The service is one with -grpc-wait 0s.
func (c caller) running(t *testing.T, call func() answer) <-chan answer {
	t.Helper()
	answers := make(chan answer, 2)
	for range 2 {
		go func() { answers <- call() }()
	}
	require.Equal(t, "IN_PROGRESS", arrived(t, answers).reason())
	return answers
}

func arrived(t *testing.T, answers <-chan answer) answer {
	t.Helper()
	select {
	case got := <-answers:
		return got
	case <-time.After(30 * time.Second):
		require.Fail(t, "no answer")
		return answer{}
	}
}

func (a answer) code() codes.Code { return status.Code(a.err) }

// reason returns that of the ErrorInfo.
func (a answer) reason() string {
	for _, detail := range status.Convert(a.err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// pause returns the delay of the RetryInfo, 0 without one.
func (a answer) pause() time.Duration {
	for _, detail := range status.Convert(a.err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func (a answer) payment(t *testing.T) *paymentspb.Payment {
	t.Helper()
	require.NoError(t, a.err)
	require.Len(t, a.messages, 1)
	p, ok := a.messages[0].(*paymentspb.Payment)
	require.True(t, ok)
	return p
}

// replayed looks for the mark where it belongs: in the header of an answer with
// messages, in the trailer of an error. A declined stream has both.
func (a answer) replayed() bool {
	inHeader := strings.Join(a.header.Get("idempotent-replayed"), ",") == "true"
	inTrailer := strings.Join(a.trailer.Get("idempotent-replayed"), ",") == "true"
	return (len(a.messages) == 0 || inHeader) && (a.err == nil || inTrailer) && (inHeader || inTrailer)
}

// assertReplayOf checks that a is the recorded answer first.
func (a answer) assertReplayOf(t *testing.T, first answer) {
	t.Helper()
	assert.True(t, a.replayed(), "%+v", a)
	assert.True(t, proto.Equal(status.Convert(first.err).Proto(), status.Convert(a.err).Proto()), "%v, then %v", first.err, a.err)
	require.Len(t, a.messages, len(first.messages))
	for n := range first.messages {
		assert.True(t, proto.Equal(first.messages[n], a.messages[n]), "%v, then %v", first.messages[n], a.messages[n])
	}
}
