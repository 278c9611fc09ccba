package main

import (
	"context"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/reprise-go/reprise/examples/payments/paymentspb"
)

// grpcPayments is the service as gRPC clients see it. It returns nothing but
// statuses: after a plain error nobody could know what happened.
type grpcPayments struct {
	paymentspb.UnimplementedPaymentServiceServer

	service *service
}

// CreatePayment implements [paymentspb.PaymentServiceServer].
func (g grpcPayments) CreatePayment(ctx context.Context, in *paymentspb.CreatePaymentRequest) (*paymentspb.Payment, error) {
	c, err := g.service.charge(ctx, orderOf(in))
	if err != nil {
		return nil, g.fail("CreatePayment", err)
	}
	return c.source.tell(ctx, c), nil
}

// RefundPayment implements [paymentspb.PaymentServiceServer].
func (g grpcPayments) RefundPayment(ctx context.Context, in *paymentspb.RefundPaymentRequest) (*paymentspb.Refund, error) {
	given, err := g.service.refund(ctx, refundOrder{PaymentID: in.GetPaymentId(), Amount: in.GetAmount()})
	if err != nil {
		return nil, g.fail("RefundPayment", err)
	}
	return &paymentspb.Refund{Id: given.ID, PaymentId: given.PaymentID, Amount: given.Amount}, nil
}

// GetPayment implements [paymentspb.PaymentServiceServer].
func (g grpcPayments) GetPayment(ctx context.Context, in *paymentspb.GetPaymentRequest) (*paymentspb.Payment, error) {
	p, err := g.service.find(ctx, in.GetId())
	if err != nil {
		return nil, g.fail("GetPayment", err)
	}
	return messageOf(p), nil
}

// CreatePayments implements [paymentspb.PaymentServiceServer]. All payments are
// one operation: a retry does not take up where an attempt broke off, but gets
// what that one answered.
func (g grpcPayments) CreatePayments(in *paymentspb.CreatePaymentsRequest, out grpc.ServerStreamingServer[paymentspb.Payment]) error {
	charged := false
	for _, item := range in.GetPayments() {
		c, err := g.service.newCharge(orderOf(item))
		if err == nil {
			c.following = charged
			err = c.source.pay(out.Context(), c)
		}
		if err != nil {
			return g.fail("CreatePayments", err)
		}
		charged = true
		if err := out.Send(c.source.tell(out.Context(), c)); err != nil {
			return err
		}
	}
	return nil
}

func (g grpcPayments) fail(method string, err error) error {
	return statusOf(g.service.failureOf(method, err)).Err()
}

func orderOf(in *paymentspb.CreatePaymentRequest) order {
	return order{
		Amount:      in.GetAmount(),
		Currency:    in.GetCurrency(),
		Source:      in.GetSource(),
		Description: in.GetDescription(),
	}
}

func messageOf(p payment) *paymentspb.Payment {
	return &paymentspb.Payment{
		Id:          p.ID,
		Amount:      p.Amount,
		Currency:    p.Currency,
		Status:      p.Status,
		Description: p.Description,
	}
}

// teller makes the answer to a charge that was made, over gRPC.
type teller func(ctx context.Context, c *charge) *paymentspb.Payment

func tellPayment(_ context.Context, c *charge) *paymentspb.Payment { return messageOf(c.payment) }

// tellBig pads the answer to at least the asked number of bytes.
func tellBig(_ context.Context, c *charge) *paymentspb.Payment {
	p := messageOf(c.payment)
	p.Description += strings.Repeat("x", max(0, c.arg.count-proto.Size(p)))
	return p
}

// tellCost sets metadata that is not on the method's list, and not replayed.
func tellCost(ctx context.Context, c *charge) *paymentspb.Payment {
	_ = grpc.SetHeader(ctx, metadata.Pairs("x-request-cost", "7")) // too late within a stream
	return messageOf(c.payment)
}

// tellNothing breaks off after the charge.
func tellNothing(context.Context, *charge) *paymentspb.Payment { panic("tok_abort") }

// errorDomain is where the reasons of the service's own errors are from.
const errorDomain = "payments.example.com"

// statusOf is a failure over gRPC: its code, and details by which programs tell
// what happened.
func statusOf(f failure) *status.Status {
	plain := status.New(codeOf(f), f.detail)
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: strings.ToUpper(f.code), Domain: errorDomain}}
	if f.retryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(f.retryAfter)})
	}
	detailed, err := plain.WithDetails(details...)
	if err != nil {
		return plain
	}
	return detailed
}

// codeOf chooses what says the same of the effect as the HTTP status does: after
// UNAVAILABLE nothing happened, after DEADLINE_EXCEEDED nobody knows.
func codeOf(f failure) codes.Code {
	switch f.status {
	case 400:
		return codes.InvalidArgument
	case 401:
		return codes.Unauthenticated
	case 402:
		return codes.FailedPrecondition
	case 404:
		return codes.NotFound
	case 429:
		return codes.ResourceExhausted
	case 503:
		return codes.Unavailable
	case 504:
		return codes.DeadlineExceeded
	}
	return codes.Internal
}
