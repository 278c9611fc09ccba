package main

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/examples/payments/paymentspb"
)

func (c caller) payWith(ctx context.Context, requestID string, keys ...string) answer {
	in := euros("tok_visa")
	in.RequestId = requestID
	return c.create(ctx, in, keys...)
}

// G1, G2: the key is the same wherever it stands and however its letters are
// written, and it is no part of what is asked for.
func TestGRPC_KeyInMetadataOrField(t *testing.T) {
	t.Parallel()
	service := launch(t)
	upper := strings.ToUpper(uuid)
	for _, test := range []struct {
		name          string
		first, second string // the field
		keys, again   []string
	}{
		{"metadata", "", "", []string{"order-1"}, []string{"order-1"}},
		{"field", uuid, uuid, nil, nil},
		{"field in other letters", uuid, upper, nil, nil},
		{"both", uuid, uuid, []string{uuid}, []string{uuid}},
		{"both in other letters", upper, uuid, []string{uuid}, []string{upper}},
		{"field, then metadata", uuid, "", nil, []string{uuid}},
		{"metadata, then field", "", uuid, []string{upper}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			acme := service.caller(t, strings.ReplaceAll(strings.ReplaceAll(test.name, " ", "-"), ",", ""))
			first := acme.payWith(t.Context(), test.first, test.keys...)
			require.NoError(t, first.err)
			assert.Equal(t, []string{"executed"}, first.header.Get("idempotency-status"))
			acme.payWith(t.Context(), test.second, test.again...).assertReplayOf(t, first)
			assert.Equal(t, 1, service.charges(t, acme.tenant))
		})
	}
}

// G3, G4, G5.
func TestGRPC_KeysThatAreRefused(t *testing.T) {
	t.Parallel()
	service := launch(t)
	acme := service.caller(t, "acme")
	for _, test := range []struct {
		name, field string
		keys        []string
		reason      string
		place       string // of the key that is wrong
	}{
		{"missing", "", nil, "IDEMPOTENCY_KEY_MISSING", "request_id"},
		{"empty entry", "", []string{""}, "IDEMPOTENCY_KEY_INVALID", "idempotency-key"},
		{"field that is no UUID", "order-1", nil, "IDEMPOTENCY_KEY_INVALID", "request_id"},
		{"field with a UUID of another version", "5f0c6f5e-9d8b-7b6e-9c70-5b2d9c4f1a7e", nil, "IDEMPOTENCY_KEY_INVALID", "request_id"},
		{"two entries", "", []string{"order-1", "order-1"}, "IDEMPOTENCY_KEY_INVALID", "idempotency-key"},
		{"two places that differ", uuid, []string{"order-1"}, "IDEMPOTENCY_KEY_INVALID", "request_id"},
		{"too long", "", []string{strings.Repeat("k", 256)}, "IDEMPOTENCY_KEY_INVALID", "idempotency-key"},
	} {
		t.Run(test.name, func(t *testing.T) { // one after the other, for the sum below
			got := acme.payWith(t.Context(), test.field, test.keys...)
			assert.Equal(t, codes.InvalidArgument, got.code(), got.err)
			assert.Equal(t, test.reason, got.reason())
			assert.Equal(t, []string{test.place}, violations(got.err))
		})
	}
	t.Run("on every method", func(t *testing.T) {
		for name, got := range map[string]answer{
			"refund": acme.refund(t.Context(), &paymentspb.RefundPaymentRequest{PaymentId: "pay_1", Amount: 1}),
			"stream": acme.stream(t.Context(), several("tok_visa")),
		} {
			assert.Equal(t, "IDEMPOTENCY_KEY_MISSING", got.reason(), name)
		}
	})
	assert.Zero(t, service.charges(t, "acme"))
}

// violations are the fields that an error's BadRequest names.
func violations(err error) []string {
	var fields []string
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}

// G6.
func TestGRPC_OtherRequestUnderTheSameKeyIsAMismatch(t *testing.T) {
	t.Parallel()
	service := launch(t)
	acme := service.caller(t, "acme")
	require.NoError(t, acme.pay(t.Context(), "tok_visa", "k").err)
	got := acme.pay(t.Context(), "tok_declined", "k")
	assert.Equal(t, codes.FailedPrecondition, got.code())
	assert.Equal(t, "IDEMPOTENCY_KEY_REUSED", got.reason())
	assert.Zero(t, got.pause(), "a retry does not help")
	assert.Equal(t, 1, service.charges(t, "acme"))
}

func TestGRPC_BadOrdersAreRecorded(t *testing.T) {
	t.Parallel()
	service := launch(t)
	acme := service.caller(t, "acme")
	for name, in := range map[string]*paymentspb.CreatePaymentRequest{
		"no-amount":   {Currency: "EUR", Source: "tok_visa"},
		"negative":    {Amount: -1, Currency: "EUR", Source: "tok_visa"},
		"no-currency": {Amount: 1, Source: "tok_visa"},
	} {
		first := acme.create(t.Context(), in, name)
		assert.Equal(t, codes.InvalidArgument, first.code(), name)
		assert.Equal(t, "INVALID_REQUEST", first.reason(), name)
		acme.create(t.Context(), in, name).assertReplayOf(t, first)
	}
	assert.Zero(t, service.charges(t, "acme"))
}

// One business under both transports: refunds and reads find each other's
// payments. Keys do not meet, because operations have different names.
func TestGRPC_AndHTTPShareTheLedgerAndNotTheKeys(t *testing.T) {
	t.Parallel()
	service := launch(t)
	acme := service.caller(t, "acme")
	mine := acme.pay(t.Context(), "tok_visa", "k").payment(t)
	other := service.send(t, post("acme", "k", "tok_visa"))
	require.Equal(t, 201, other.status)
	assert.False(t, other.replayed())
	assert.NotEqual(t, mine.GetId(), other.payment(t).ID)

	over := service.send(t, get("acme", "/v1/payments/"+mine.GetId())).payment(t)
	assert.Equal(t, payment{mine.GetId(), 1999, "EUR", "succeeded", ""}, over)
	assert.Equal(t, other.payment(t).ID, acme.read(t.Context(), other.payment(t).ID).payment(t).GetId())

	entries := service.ledger(t, "acme")
	require.Len(t, entries, 2)
	assert.NotEqual(t, entries[0].KeyHash, entries[1].KeyHash)
	assert.Len(t, entries[0].KeyHash, 16)
	assert.NotZero(t, entries[0].Token)
}

func TestGRPC_Refunds(t *testing.T) {
	t.Parallel()
	service := launch(t)
	acme, other := service.caller(t, "acme"), service.caller(t, "other")
	p := acme.pay(t.Context(), "tok_visa", "k").payment(t)
	in := &paymentspb.RefundPaymentRequest{PaymentId: p.GetId(), Amount: 7}
	first := acme.refund(t.Context(), in, "r")
	require.NoError(t, first.err)
	given, ok := first.messages[0].(*paymentspb.Refund)
	require.True(t, ok)
	assert.Equal(t, p.GetId(), given.GetPaymentId())
	assert.EqualValues(t, 7, given.GetAmount())
	acme.refund(t.Context(), in, "r").assertReplayOf(t, first)

	missing := other.refund(t.Context(), in, "r")
	assert.Equal(t, codes.NotFound, missing.code(), "another tenant's")
	assert.Equal(t, "NOT_FOUND", missing.reason())
	other.refund(t.Context(), in, "r").assertReplayOf(t, missing)

	nothing := acme.refund(t.Context(), &paymentspb.RefundPaymentRequest{PaymentId: p.GetId()}, "zero")
	assert.Equal(t, codes.InvalidArgument, nothing.code())
	list := service.ledger(t, "acme")
	require.Len(t, list, 2)
	assert.Equal(t, kindRefund, list[1].Kind)
}

// G17: a method without side effects needs no key and records nothing.
func TestGRPC_ReadsAreNotProtected(t *testing.T) {
	t.Parallel()
	service := launch(t)
	acme := service.caller(t, "acme")
	p := acme.pay(t.Context(), "tok_visa", "k").payment(t)
	require.Equal(t, 200, service.send(t, request{
		"PATCH", "/v1/payments/" + p.GetId(), "acme", "", `{"description":"changed"}`,
	}).status)
	for range 2 {
		got := acme.read(t.Context(), p.GetId(), "k")
		assert.Equal(t, "changed", got.payment(t).GetDescription())
		assert.Equal(t, []string{"ignored"}, got.trailer.Get("idempotency-status"))
		assert.False(t, got.replayed())
	}
	assert.Equal(t, codes.NotFound, acme.read(t.Context(), "pay_nowhere").code())
}

// G25.
func TestGRPC_TenantsDoNotMeet(t *testing.T) {
	t.Parallel()
	service := launch(t)
	acme, other := service.caller(t, "acme"), service.caller(t, "other")
	mine, theirs := acme.pay(t.Context(), "tok_visa", "k"), other.pay(t.Context(), "tok_visa", "k")
	assert.False(t, theirs.replayed())
	assert.NotEqual(t, mine.payment(t).GetId(), theirs.payment(t).GetId())
	assert.Equal(t, codes.NotFound, other.read(t.Context(), mine.payment(t).GetId()).code())
}

func TestGRPC_CallsWithoutATenantAreUnauthenticated(t *testing.T) {
	t.Parallel()
	service := launch(t)
	for _, tenant := range []string{"", "a b", "a, Bearer sk_test_b"} {
		nobody := service.caller(t, tenant)
		for name, got := range map[string]answer{
			"unary":  nobody.pay(t.Context(), "tok_visa", "k"),
			"stream": nobody.stream(t.Context(), several("tok_visa"), "k"),
			"read":   nobody.read(t.Context(), "pay_1"),
		} {
			assert.Equal(t, codes.Unauthenticated, got.code(), name)
			assert.Equal(t, "UNAUTHENTICATED", got.reason(), name)
			assert.Empty(t, got.trailer.Get("idempotency-status"), "idempotency is further inside")
		}
	}
}

// G27: health and reflection ask for no tenant.
func TestGRPC_HealthAndReflectionArePublic(t *testing.T) {
	t.Parallel()
	service := launch(t)
	health := healthpb.NewHealthClient(service.dial(t))
	for _, name := range []string{"", "payments.v1.PaymentService"} {
		got, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
		require.NoError(t, err)
		assert.Equal(t, healthpb.HealthCheckResponse_SERVING, got.GetStatus())
	}
	_, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "payments.v1.Nothing"})
	assert.Equal(t, codes.NotFound, status.Code(err))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reflection, err := reflectionpb.NewServerReflectionClient(service.dial(t)).ServerReflectionInfo(ctx)
	require.NoError(t, err)
	require.NoError(t, reflection.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{ListServices: "*"},
	}))
	got, err := reflection.Recv()
	require.NoError(t, err)
	var names []string
	for _, s := range got.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	assert.Contains(t, names, "payments.v1.PaymentService")
	assert.Contains(t, names, "grpc.health.v1.Health")
}

// As over HTTP: the store decides whether the service is healthy, and calls fail
// closed without it (G23).
func TestGRPC_HealthIsThatOfTheStore(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	service := launch(t, "-redis", "redis://"+server.Addr())
	health := healthpb.NewHealthClient(service.dial(t))
	watch, err := health.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	next := func() healthpb.HealthCheckResponse_ServingStatus {
		got, err := watch.Recv()
		require.NoError(t, err)
		return got.GetStatus()
	}
	assert.Equal(t, healthpb.HealthCheckResponse_SERVING, next())
	server.SetError("ERR out of order")
	assert.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, next())
	got, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	assert.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, got.GetStatus())
	refused := service.caller(t, "acme").pay(t.Context(), "tok_visa", "k")
	assert.Equal(t, codes.Unavailable, refused.code())
	assert.Equal(t, "STORE_UNAVAILABLE", refused.reason())
	assert.NotZero(t, refused.pause())
	server.SetError("")
	assert.Equal(t, healthpb.HealthCheckResponse_SERVING, next())
	assert.Zero(t, service.charges(t, "acme"))
}

// G7: whoever does not wait is told to come back.
func TestGRPC_DuplicateOfARunningCallWithoutWaiting(t *testing.T) {
	t.Parallel()
	service := launch(t, "-grpc-wait", "0s")
	acme := service.caller(t, "acme")
	answers := make(chan answer, 2)
	for range 2 {
		go func() { answers <- acme.pay(t.Context(), "tok_slow_500ms", "k") }()
	}
	second := arrived(t, answers)
	assert.Equal(t, codes.Aborted, second.code(), second.err)
	assert.Equal(t, "IN_PROGRESS", second.reason())
	assert.NotZero(t, second.pause())
	assert.NotEmpty(t, second.trailer.Get("grpc-retry-pushback-ms"))
	assert.Empty(t, second.header, "trailers only, or grpc-go would not retry")
	require.NoError(t, arrived(t, answers).err)
	assert.Equal(t, 1, service.charges(t, "acme"))
}

// G8: -wait is for HTTP, and the default of gRPC is to wait.
func TestGRPC_DuplicatesWaitAndGetTheOneSuccess(t *testing.T) {
	t.Parallel()
	service := launch(t)
	acme := service.caller(t, "acme")
	answers := make([]answer, 3)
	var all sync.WaitGroup
	for n := range answers {
		all.Go(func() { answers[n] = acme.pay(t.Context(), "tok_slow_300ms", "k") })
	}
	all.Wait()
	replays := 0
	for _, a := range answers {
		assert.Equal(t, answers[0].payment(t).GetId(), a.payment(t).GetId())
		if a.replayed() {
			replays++
		}
	}
	assert.Equal(t, 2, replays)
	assert.Equal(t, 1, service.charges(t, "acme"))
}
