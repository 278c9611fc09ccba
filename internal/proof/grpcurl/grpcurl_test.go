package grpcurl_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The commands, to the letter as a README can show them.
const (
	listServices = `grpcurl -plaintext localhost:9090 list`

	describeService = `grpcurl -plaintext localhost:9090 describe payments.v1.PaymentService`

	checkHealth = `grpcurl -plaintext localhost:9090 grpc.health.v1.Health/Check`

	pay = `grpcurl -v -plaintext \
  -H 'authorization: Bearer sk_test_acme' \
  -H 'idempotency-key: 8e03978e-40d5-43dd-bc93-6894a57f9324' \
  -d '{"amount": 1999, "currency": "EUR", "source": "tok_visa"}' \
  localhost:9090 payments.v1.PaymentService/CreatePayment`

	payOther = `grpcurl -v -plaintext \
  -H 'authorization: Bearer sk_test_acme' \
  -H 'idempotency-key: 8e03978e-40d5-43dd-bc93-6894a57f9324' \
  -d '{"amount": 2999, "currency": "EUR", "source": "tok_visa"}' \
  localhost:9090 payments.v1.PaymentService/CreatePayment`

	payWithRequestID = `grpcurl -v -plaintext \
  -H 'authorization: Bearer sk_test_acme' \
  -d '{"request_id": "8E03978E-40D5-43DD-BC93-6894A57F9324", "amount": 1999, "currency": "EUR", "source": "tok_visa"}' \
  localhost:9090 payments.v1.PaymentService/CreatePayment`

	payWithTwoKeys = `grpcurl -v -plaintext \
  -H 'authorization: Bearer sk_test_acme' \
  -H 'idempotency-key: 8e03978e-40d5-43dd-bc93-6894a57f9324' \
  -d '{"request_id": "5f0c6f5e-9d8b-4b6e-9c70-5b2d9c4f1a7e", "amount": 1999, "currency": "EUR", "source": "tok_visa"}' \
  localhost:9090 payments.v1.PaymentService/CreatePayment`

	payWithoutKey = `grpcurl -v -plaintext \
  -H 'authorization: Bearer sk_test_acme' \
  -d '{"amount": 1999, "currency": "EUR", "source": "tok_visa"}' \
  localhost:9090 payments.v1.PaymentService/CreatePayment`

	payDeclined = `grpcurl -v -plaintext \
  -H 'authorization: Bearer sk_test_acme' \
  -H 'idempotency-key: 0b1c5a52-6f0e-4d53-9a3e-2f6a8f3f7f10' \
  -d '{"amount": 1999, "currency": "EUR", "source": "tok_declined"}' \
  localhost:9090 payments.v1.PaymentService/CreatePayment`

	payMany = `grpcurl -v -plaintext \
  -H 'authorization: Bearer sk_test_acme' \
  -H 'idempotency-key: f2f0d8b1-4f39-4a65-8d0c-b3d0c6c3d6a9' \
  -d '{"payments": [{"amount": 1999, "currency": "EUR", "source": "tok_visa"}, {"amount": 2999, "currency": "EUR", "source": "tok_visa"}]}' \
  localhost:9090 payments.v1.PaymentService/CreatePayments`

	get = `grpcurl -plaintext \
  -H 'authorization: Bearer sk_test_acme' \
  -d '{"id": "PAYMENT"}' \
  localhost:9090 payments.v1.PaymentService/GetPayment`
)

// grpcurl ends with 64 and the code of the status.
const (
	invalidArgument    = 64 + 3
	failedPrecondition = 64 + 9
)

func TestG27_ReflectionTellsServicesAndPolicies(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.ok(t, listServices).requireLines(t, "payments.v1.PaymentService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection")
	s.ok(t, describeService).requireLines(t,
		"rpc CreatePayment ( .payments.v1.CreatePaymentRequest ) returns ( .payments.v1.Payment ) {",
		"option (.reprise.idempotency.v1.policy) = {", `key_field: "request_id",`,
		"option idempotency_level = NO_SIDE_EFFECTS;")
}

func TestG27_HealthIsForEverybody(t *testing.T) {
	t.Parallel()
	newShell(t).ok(t, checkHealth).requireLines(t, `"status": "SERVING"`)
}

func TestG1_TheSameCommandTwiceIsOnePayment(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	first, second := s.ok(t, pay), s.ok(t, pay)
	require.Len(t, first.ids(), 1)
	assert.Equal(t, first.ids(), second.ids())
	first.requireLines(t, "idempotency-status: executed")
	assert.NotContains(t, first.out, "idempotent-replayed")
	second.requireLines(t, "idempotent-replayed: true", "idempotency-status: replayed")
	s.requireCharges(t, 1)
}

func TestG2_TheKeyInTheFieldInUpperCaseIsTheSame(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	first, second := s.ok(t, pay), s.ok(t, payWithRequestID)
	assert.Equal(t, first.ids(), second.ids())
	second.requireLines(t, "idempotent-replayed: true")
	s.requireCharges(t, 1)
}

func TestG3_TwoKeysThatDifferAreRefused(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	r := s.run(t, payWithTwoKeys)
	assert.Equal(t, invalidArgument, r.exit, r.out)
	r.requireLines(t, "Code: InvalidArgument", `"reason": "IDEMPOTENCY_KEY_INVALID"`, "idempotency-status: rejected",
		`"field": "request_id",`, `"description": "invalid key: the call carries two that differ",`)
	s.requireCharges(t, 0)
}

func TestG4_AMissingKeyIsRefusedAndItsFieldNamed(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	r := s.run(t, payWithoutKey)
	assert.Equal(t, invalidArgument, r.exit, r.out)
	r.requireLines(t, "Code: InvalidArgument", "Message: this method requires an idempotency key",
		`"reason": "IDEMPOTENCY_KEY_MISSING"`, `"field": "request_id",`, "idempotency-status: rejected")
	s.requireCharges(t, 0)
}

func TestG6_AnotherRequestUnderTheKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.ok(t, pay)
	r := s.run(t, payOther)
	assert.Equal(t, failedPrecondition, r.exit, r.out)
	r.requireLines(t, "Code: FailedPrecondition", `"reason": "IDEMPOTENCY_KEY_REUSED"`, `"safe_new_key": "true"`, "idempotency-status: mismatch")
	s.requireCharges(t, 1)
}

func TestG10_ADeclinedCardIsReplayedWithItsDetails(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	first, second := s.run(t, payDeclined), s.run(t, payDeclined)
	assert.Equal(t, failedPrecondition, first.exit, first.out)
	assert.Equal(t, failedPrecondition, second.exit, second.out)
	first.requireLines(t, "Code: FailedPrecondition", `"reason": "CARD_DECLINED"`, "idempotency-status: executed")
	assert.Equal(t, first.problem(), second.problem())
	second.requireLines(t, "idempotent-replayed: true", "idempotency-status: replayed")
	s.requireCharges(t, 0)
}

func TestG18_AStreamIsReplayedInItsOrder(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	first, second := s.ok(t, payMany), s.ok(t, payMany)
	require.Len(t, first.ids(), 2)
	assert.Equal(t, first.ids(), second.ids())
	first.requireLines(t, "idempotency-status: executed")
	second.requireLines(t, "idempotent-replayed: true", "idempotency-status: replayed")
	s.requireCharges(t, 2)
}

func TestG17_ReadingTakesNoKey(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	paid := s.ok(t, pay)
	require.Len(t, paid.ids(), 1)
	read := s.ok(t, strings.ReplaceAll(get, "PAYMENT", paid.ids()[0]))
	assert.Equal(t, paid.ids(), read.ids())
	read.requireLines(t, `"amount": "1999",`)
}
