package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// Each source is charged twice under one key. The tenant has the source's name,
// so that its ledger is the source's own.
func TestGRPC_Sources(t *testing.T) {
	t.Parallel()
	service := launch(t, "-redis", "embedded")
	for _, test := range []struct {
		name, source string
		code         codes.Code // of the first answer
		reason       string
		again        codes.Code // of the second
		againReason  string
		replay       bool // the second is a replay of the first
		charges      int  // after both
	}{
		{"charges", "tok_visa", codes.OK, "", codes.OK, "", true, 1},
		{"declined is recorded", "tok_declined", codes.FailedPrecondition, "CARD_DECLINED", codes.FailedPrecondition, "CARD_DECLINED", true, 0},
		{"slow charges", "tok_slow_30ms", codes.OK, "", codes.OK, "", true, 1},
		{"stubborn charges", "tok_stubborn_30ms", codes.OK, "", codes.OK, "", true, 1},
		{"cancelled charges when nothing cancels it", "tok_cancelled_30ms", codes.OK, "", codes.OK, "", true, 1},
		{"outage is not recorded", "tok_outage", codes.Unavailable, "PROCESSOR_DOWN", codes.Unavailable, "PROCESSOR_DOWN", false, 0},
		{"outage once charges at the second attempt", "tok_outage_once", codes.Unavailable, "PROCESSOR_DOWN", codes.OK, "", false, 1},
		{"limit is not recorded", "tok_limit", codes.ResourceExhausted, "RATE_LIMITED", codes.ResourceExhausted, "RATE_LIMITED", false, 0},
		{"ambiguous is unknown", "tok_ambiguous", codes.DeadlineExceeded, "PROCESSOR_TIMEOUT", codes.FailedPrecondition, "OUTCOME_UNKNOWN", false, 1},
		{"panic before an effect runs again", "tok_panic", codes.Internal, "INTERNAL", codes.Internal, "INTERNAL", false, 0},
		{"panic after the charge is unknown", "tok_panic_after_charge", codes.Internal, "INTERNAL", codes.FailedPrecondition, "OUTCOME_UNKNOWN", false, 1},
		{"abort is unknown", "tok_abort", codes.Internal, "INTERNAL", codes.FailedPrecondition, "OUTCOME_UNKNOWN", false, 1},
		{"big", "tok_big_100000", codes.OK, "", codes.OK, "", true, 1},
		{"over the limit is not kept", "tok_big_1048577", codes.OK, "", codes.FailedPrecondition, "RESULT_UNAVAILABLE", false, 1},
		{"binary", "tok_binary", codes.OK, "", codes.OK, "", true, 1},
		{"cookie", "tok_cookie", codes.OK, "", codes.OK, "", true, 1},
		{"headers", "tok_headers", codes.OK, "", codes.OK, "", true, 1},
		{"empty", "tok_empty", codes.OK, "", codes.OK, "", true, 1},
		{"early hints", "tok_early_hints", codes.OK, "", codes.OK, "", true, 1},
		{"stream", "tok_stream_100", codes.OK, "", codes.OK, "", true, 1},
		{"unknown source is recorded", "tok_nonsense", codes.InvalidArgument, "UNKNOWN_SOURCE", codes.InvalidArgument, "UNKNOWN_SOURCE", true, 0},
		{"unknown argument is recorded", "tok_slow_soon", codes.InvalidArgument, "UNKNOWN_SOURCE", codes.InvalidArgument, "UNKNOWN_SOURCE", true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			acme := service.caller(t, test.source)
			first := acme.pay(t.Context(), test.source, "k")
			assert.Equal(t, test.code, first.code(), first.err)
			assert.Equal(t, test.reason, first.reason())
			assert.False(t, first.replayed())
			second := acme.pay(t.Context(), test.source, "k")
			assert.Equal(t, test.again, second.code(), second.err)
			assert.Equal(t, test.againReason, second.reason())
			if test.replay {
				second.assertReplayOf(t, first)
			}
			assert.Equal(t, test.replay, second.replayed())
			assert.Equal(t, test.charges, service.charges(t, test.source))
		})
	}
}

func TestGRPC_SourceAnswers(t *testing.T) {
	t.Parallel()
	service := launch(t)
	acme := service.caller(t, "acme")
	for _, test := range []struct {
		name, source string
		check        func(*testing.T, answer)
	}{
		{"visa", "tok_visa", func(t *testing.T, a answer) {
			p := a.payment(t)
			assert.Regexp(t, `^pay_[A-Z2-7]{26}$`, p.GetId())
			assert.EqualValues(t, 1999, p.GetAmount())
			assert.Equal(t, "EUR", p.GetCurrency())
			assert.Equal(t, "succeeded", p.GetStatus())
			assert.Empty(t, p.GetDescription())
			assert.Empty(t, a.header.Get("x-request-cost"))
		}},
		{"limit", "tok_limit", func(t *testing.T, a answer) {
			assert.Equal(t, time.Second, a.pause())
		}},
		{"big", "tok_big_5000", func(t *testing.T, a answer) {
			size := proto.Size(a.payment(t))
			assert.GreaterOrEqual(t, size, 5000)
			assert.Less(t, size, 5010, "what a longer field costs besides")
		}},
		{"big is never smaller than a payment", "tok_big_1", func(t *testing.T, a answer) {
			assert.Empty(t, a.payment(t).GetDescription())
		}},
		{"cookie", "tok_cookie", func(t *testing.T, a answer) {
			assert.Equal(t, []string{"7"}, a.header.Get("x-request-cost"))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.check(t, acme.pay(t.Context(), test.source, test.source))
		})
	}
}

func TestGRPC_MetadataThatIsNotOnTheListIsNotReplayed(t *testing.T) {
	t.Parallel()
	acme := launch(t).caller(t, "acme")
	first := acme.pay(t.Context(), "tok_cookie", "k")
	second := acme.pay(t.Context(), "tok_cookie", "k")
	second.assertReplayOf(t, first)
	assert.Empty(t, second.header.Get("x-request-cost"))
}
