package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/reprise-go/reprise/internal/redistest"
)

// Two instances on one Redis and one ledger are one service.
func TestGRPC_TwoInstancesShareOneRecord(t *testing.T) {
	t.Parallel()
	flags := []string{"-redis", redistest.Start(t).URL(), "-ledger", filepath.Join(t.TempDir(), "ledger.jsonl")}
	one, two := launch(t, flags...), launch(t, flags...)
	here, there := one.caller(t, "acme"), two.caller(t, "acme")

	first := here.pay(t.Context(), "tok_visa", "k")
	there.pay(t.Context(), "tok_visa", "k").assertReplayOf(t, first)
	streamed := there.stream(t.Context(), several("tok_visa", "tok_declined"), "s")
	here.stream(t.Context(), several("tok_visa", "tok_declined"), "s").assertReplayOf(t, streamed)
	assert.Equal(t, first.payment(t).GetId(), there.read(t.Context(), first.payment(t).GetId()).payment(t).GetId())
	assert.Equal(t, 2, two.charges(t, "acme"))

	outage := here.pay(t.Context(), "tok_outage_once", "attempts")
	assert.Equal(t, "PROCESSOR_DOWN", outage.reason())
	assert.NoError(t, there.pay(t.Context(), "tok_outage_once", "attempts").err, "the second attempt, on another instance")

	answers := make(chan answer, 2)
	for _, c := range []caller{here, there} {
		go func() { answers <- c.pay(t.Context(), "tok_slow_300ms", "at-once") }()
	}
	a, b := arrived(t, answers), arrived(t, answers)
	assert.Equal(t, a.payment(t).GetId(), b.payment(t).GetId(), "the duplicate waits for the other instance")
}

// F1: after kill -9 a retry on another instance gets what -orphan says.
func TestGRPC_RetryAfterAKill(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, orphan, source string
		marked               bool
		code                 codes.Code
		reason               string
		charges              int
	}{
		{"marked, refuse", "refuse", "tok_stubborn_5s", true, codes.FailedPrecondition, "OUTCOME_UNKNOWN", 0},
		{"marked, rerun-unmarked", "rerun-unmarked", "tok_stubborn_5s", true, codes.FailedPrecondition, "OUTCOME_UNKNOWN", 0},
		{"marked, rerun", "rerun", "tok_stubborn_5s", true, codes.OK, "", 1},
		{"unmarked, refuse", "refuse", "tok_slow_5s", false, codes.FailedPrecondition, "OUTCOME_UNKNOWN", 0},
		{"unmarked, rerun-unmarked", "rerun-unmarked", "tok_slow_5s", false, codes.OK, "", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			flags := []string{
				"-redis", redistest.Start(t).URL(), "-ledger", filepath.Join(t.TempDir(), "ledger.jsonl"),
				"-lease", "1s", "-orphan", test.orphan,
			}
			dying := launch(t, append(flags, "-log", "text", "-admin", "127.0.0.1:0")...)
			survivor := launch(t, append(flags, "-grpc-wait", "20s")...)
			dead := make(chan answer, 1)
			victim := dying.caller(t, "acme")
			go func() { dead <- victim.pay(t.Context(), test.source, "k") }()
			awaitRecord(t, adminOf(t, dying), fmt.Sprintf(`"marked":%v`, test.marked))
			require.NoError(t, dying.process.Kill())
			assert.Equal(t, codes.Unavailable, arrived(t, dead).code())

			got := survivor.caller(t, "acme").pay(t.Context(), test.source, "k")
			assert.Equal(t, test.code, got.code(), got.err)
			assert.Equal(t, test.reason, got.reason())
			assert.False(t, got.replayed())
			assert.Equal(t, test.charges, survivor.charges(t, "acme"))
		})
	}
}

// awaitRecord waits until the operator's page shows an attempt of CreatePayment
// that runs, with what is said of it.
func awaitRecord(t *testing.T, admin, says string) {
	t.Helper()
	require.Eventually(t, func() bool {
		status, list := operate(t, "GET", admin+"records?state=running", "", "")
		return status == 200 && strings.Contains(list, `payments.v1.PaymentService/CreatePayment"`) && strings.Contains(list, says)
	}, 5*time.Second, 5*time.Millisecond)
}
