package conformance_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/paytest"
)

// What of a payment's requests that name its record is which: see
// completionOfPayment.
const (
	claimOfPayment  = 1
	answerOfPayment = 2 // the GET of a replay, in the claim's packet
)

// What was never claimed never happened, and the claim of the dead that arrives in
// the end changes nothing.
func TestF01_KilledBeforeTheClaimIsExecuted(t *testing.T) {
	t.Parallel()
	loadScripts(t, shared.Server(t))
	f := newFleet(t, "-orphan", "refuse")
	c := pay(newKey(), "tok_visa")
	claim := f.line.Hold(paymentID(c.key).String(), claimOfPayment)
	failed := die(t, f.one.URL, c)
	next(t, "the claim", claim.First())
	f.one.Kill()
	require.Error(t, next(t, "the client's error", failed))

	second := sendPatiently(t, f.two.URL, c)
	requireExecuted(t, second)
	claim.Deliver()
	requireReplay(t, second, send(t, f.two.URL, c))
	assert.Len(t, paytest.Entries(t, f.ledger), 1)
}

// The record says that an attempt began. That its handler never ran is known to
// nobody, unless the route says that what was not marked may run again.
func TestF02_KilledAfterTheClaimAndBeforeTheHandler(t *testing.T) {
	t.Parallel()
	loadScripts(t, shared.Server(t))
	for orphan, reruns := range map[string]bool{"refuse": false, "rerun-unmarked": true} {
		t.Run(orphan, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "-lease", "1500ms", "-orphan", orphan)
			c := pay(newKey(), "tok_slow_1s")
			claim := f.line.SwallowReply(paymentID(c.key).String(), claimOfPayment)
			failed := die(t, f.one.URL, c)
			next(t, "the claim", claim.First())
			f.one.Kill()
			require.Error(t, next(t, "the client's error", failed))

			second := <-afterLease(t, f.two.URL, c)
			if reruns {
				requireExecuted(t, second)
				assert.Len(t, paytest.Entries(t, f.ledger), 1)
				return
			}
			requireProblem(t, second, 409, "outcome_unknown")
			assert.Empty(t, paytest.Entries(t, f.ledger))
		})
	}
}

func TestF06_KilledInMidReplay(t *testing.T) {
	t.Parallel()
	loadScripts(t, shared.Server(t))
	f := newFleet(t, "-orphan", "refuse")
	c := pay(newKey(), "tok_visa")
	first := sendPatiently(t, f.one.URL, c)
	requireExecuted(t, first)
	answer := f.line.SwallowReply(paymentID(c.key).String(), answerOfPayment)
	failed := die(t, f.one.URL, c)
	next(t, "the answer's way to the process", answer.First())
	f.one.Kill()
	require.Error(t, next(t, "the client's error", failed))
	requireReplay(t, first, sendPatiently(t, f.two.URL, c))
	assert.Len(t, paytest.Entries(t, f.ledger), 1)
}

// A process stands still between the record and the answer to its client: it gives
// the one that others have replayed meanwhile.
func TestF09_PausedAfterTheRecordAndBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	loadScripts(t, shared.Server(t))
	f := newFleet(t, "-lease", "800ms", "-orphan", "refuse")
	c := pay(newKey(), "tok_visa")
	completion := f.line.SwallowReply(paymentID(c.key).String(), completionOfPayment)
	own := background(t, f.one.URL, c)
	next(t, "the completion", completion.First())
	f.one.Signal(t, syscall.SIGSTOP)
	meanwhile := sendPatiently(t, f.two.URL, c)
	assert.Equal(t, "replayed", meanwhile.Header.Get("Idempotency-Status"))
	f.one.Signal(t, syscall.SIGCONT)

	late := next(t, "the late answer", own)
	assert.Equal(t, 201, late.Status)
	assert.Equal(t, meanwhile.Body, late.Body)
	assert.Equal(t, meanwhile.Header.Get("ETag"), late.Header.Get("ETag"))
	assert.Len(t, paytest.Entries(t, f.ledger), 1)
}
