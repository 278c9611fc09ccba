package conformance_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/paytest"
	"github.com/reprise-go/reprise/store"
)

// fleet is two processes of the reference service that share records and
// ledger, and a way to see the records.
type fleet struct {
	one, two  *paytest.Process
	line      *faultproxy.Proxy // between the first process and Redis
	records   store.Store
	namespace string
	ledger    string
}

func newFleet(t *testing.T, args ...string) *fleet {
	t.Helper()
	srv := shared.Server(t)
	f := &fleet{
		line:      faultproxy.Start(t, srv.Addr()),
		namespace: namespaceOf(t),
		ledger:    filepath.Join(t.TempDir(), "ledger.jsonl"),
	}
	f.records = openRedis(t, srv.Client(t), f.namespace)
	args = append(args, "-namespace", f.namespace, "-ledger", f.ledger)
	f.one = startPayments(t, append(args, "-redis", "redis://"+f.line.Addr()+"/0")...)
	f.two = startPayments(t, append(args, "-redis", srv.URL())...)
	return f
}

// paymentID names the record of a payment by pay.
func paymentID(key string) store.ID { return store.NewID("acme", "POST /v1/payments", key) }

// completionOfPayment is the number of the completion among the requests that
// name a payment's record: after the claim, the GET with it, and the mark.
const completionOfPayment = 4

// await waits until the record of a payment is as wanted.
func (f *fleet) await(t *testing.T, key, what string, is func(store.Record) bool) store.Record {
	t.Helper()
	var rec store.Record
	eventually(t, what, func() bool {
		rec = lookup(t, f.records, paymentID(key))
		return is(rec)
	})
	return rec
}

func running(rec store.Record) bool { return rec.State == store.Running }
func marked(rec store.Record) bool  { return rec.State == store.Running && rec.Marked }

// die starts a call whose answer never comes.
func die(t *testing.T, url string, c call) <-chan error {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		_, err := trySend(t, url, c)
		failed <- err
	}()
	return failed
}

func TestL2_L3_L4_F03_KilledInMidHandler(t *testing.T) {
	t.Parallel()
	const lease, work = time.Second, 700 * time.Millisecond
	tests := []struct {
		name, orphan, source string
		reached              func(store.Record) bool
		reruns               bool
	}{
		{"refuse", "refuse", "tok_slow_700ms", running, false},
		{"rerun-unmarked, nothing marked", "rerun-unmarked", "tok_slow_700ms", running, true},
		{"rerun-unmarked, marked", "rerun-unmarked", "tok_stubborn_700ms", marked, false},
		{"rerun, marked", "rerun", "tok_stubborn_700ms", marked, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "-lease", lease.String(), "-orphan", test.orphan)
			c := pay(newKey(), test.source)
			failed := die(t, f.one.URL, c)
			f.await(t, c.key, "the handler runs", test.reached)
			f.one.Kill()
			killed := time.Now()
			require.Error(t, next(t, "the client's error", failed))

			p := requireProblem(t, send(t, f.two.URL, c), 409, "in_progress")
			assert.True(t, p.Retryable)
			second := <-afterLease(t, f.two.URL, c)
			if !test.reruns {
				assert.LessOrEqual(t, time.Since(killed), lease+time.Second)
				requireProblem(t, second, 409, "outcome_unknown")
				requireProblem(t, send(t, f.two.URL, c), 409, "outcome_unknown")
				assert.Empty(t, paytest.Entries(t, f.ledger))
				return
			}
			assert.LessOrEqual(t, time.Since(killed), lease+work+time.Second)
			requireExecuted(t, second)
			requireReplay(t, second, send(t, f.two.URL, c))
			assert.Len(t, paytest.Entries(t, f.ledger), 1)
			assert.Equal(t, 2, lookup(t, f.records, paymentID(c.key)).Attempt)
		})
	}
}

// The ledger shows what the record cannot: the effect has happened.
func TestL6_F04_KilledAfterTheEffectAndBeforeTheRecord(t *testing.T) {
	t.Parallel()
	loadScripts(t, shared.Server(t))
	for orphan, effects := range map[string]int{"refuse": 1, "rerun-unmarked": 1, "rerun": 2} {
		t.Run(orphan, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "-lease", "1500ms", "-orphan", orphan)
			c := pay(newKey(), "tok_visa")
			completion := f.line.Hold(paymentID(c.key).String(), completionOfPayment)
			failed := die(t, f.one.URL, c)
			next(t, "the completion", completion.First())
			assert.Len(t, paytest.Entries(t, f.ledger), 1)
			f.one.Kill()
			require.Error(t, next(t, "the client's error", failed))
			requireProblem(t, send(t, f.two.URL, c), 409, "in_progress")
			second := <-afterLease(t, f.two.URL, c)
			assert.Len(t, paytest.Entries(t, f.ledger), effects)
			if effects == 1 {
				requireProblem(t, second, 409, "outcome_unknown")
				return
			}
			requireExecuted(t, second)
			list := paytest.Entries(t, f.ledger)
			assert.Greater(t, list[1].Token, list[0].Token)
			completion.Deliver() // the dead process's answer comes too late
			requireReplay(t, second, send(t, f.two.URL, c))
		})
	}
}

func TestL7_F05_KilledAfterTheRecordAndBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	loadScripts(t, shared.Server(t))
	f := newFleet(t, "-lease", "3s", "-orphan", "refuse")
	c := pay(newKey(), "tok_visa")
	completion := f.line.SwallowReply(paymentID(c.key).String(), completionOfPayment)
	failed := die(t, f.one.URL, c)
	next(t, "the completion", completion.First())
	f.one.Kill()
	require.Error(t, next(t, "the client's error", failed))
	second := send(t, f.two.URL, c)
	assert.Equal(t, "replayed", second.Header.Get("Idempotency-Status"))
	assert.Equal(t, 201, second.Status)
	list := paytest.Entries(t, f.ledger)
	require.Len(t, list, 1)
	assert.Contains(t, second.Body, list[0].Payment)
}

func TestL8_L10_F08_PausedOwnerThatFinishesLateGivesTheHeirsAnswer(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "-lease", "800ms", "-orphan", "rerun")
	c := pay(newKey(), "tok_stubborn_1500ms")
	first := background(t, f.one.URL, c)
	before := f.await(t, c.key, "the first marks", marked)
	// One that is stopped before it reads that its mark was taken answers that it was not.
	f.await(t, c.key, "the first works on", func(rec store.Record) bool { return rec.LeaseEnd > before.LeaseEnd })
	f.one.Signal(t, syscall.SIGSTOP)
	second := <-afterLease(t, f.two.URL, c)
	requireExecuted(t, second)
	f.one.Signal(t, syscall.SIGCONT)

	requireReplay(t, second, <-first)
	requireReplay(t, second, send(t, f.one.URL, c))
	requireReplay(t, second, send(t, f.two.URL, c))
	list := paytest.Entries(t, f.ledger)
	require.Len(t, list, 2, "rerun allows a second effect; the token tells the late one")
	assert.Greater(t, list[0].Token, list[1].Token)
	assert.Contains(t, second.Body, list[0].Payment)
}

func TestL8_F08_PausedOwnerIsCancelledAndItsReleaseRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "-lease", "800ms", "-orphan", "rerun", "-log", "json")
	c := pay(newKey(), "tok_slow_2500ms")
	first := background(t, f.one.URL, c)
	f.await(t, c.key, "the first runs", running)
	f.one.Signal(t, syscall.SIGSTOP)
	second := afterLease(t, f.two.URL, c)
	taken := f.await(t, c.key, "the take-over", func(rec store.Record) bool { return rec.Attempt == 2 })
	f.one.Signal(t, syscall.SIGCONT)

	resp := <-first
	assert.Equal(t, 503, resp.Status, resp.Body)
	assert.NotEqual(t, "executed", resp.Header.Get("Idempotency-Status"))
	eventually(t, "the loss is logged", func() bool { return strings.Contains(f.one.Log(), "lease lost") })
	rec := lookup(t, f.records, paymentID(c.key))
	assert.Equal(t, store.Running, rec.State, "the release did not end the heir's attempt")
	assert.Equal(t, taken.Owner, rec.Owner)
	answer := <-second
	requireExecuted(t, answer)
	requireReplay(t, answer, send(t, f.one.URL, c))
	assert.Len(t, paytest.Entries(t, f.ledger), 1)
}

// The heir dies, so nobody renews, and whatever the zombie sends when it wakes
// up would show in the record.
func TestL9_AwakenedOwnerDoesNotTouchTheHeirsRecord(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "-lease", "800ms", "-orphan", "rerun")
	c := pay(newKey(), "tok_stubborn_1500ms")
	first := background(t, f.one.URL, c)
	f.await(t, c.key, "the first marks", marked)
	f.one.Signal(t, syscall.SIGSTOP)
	broken := afterLeaseLost(t, f.two.URL, c)
	f.await(t, c.key, "the take-over", func(rec store.Record) bool { return rec.Attempt == 2 })
	f.two.Kill()
	<-broken

	rdb := shared.Server(t).Client(t)
	name := recordName(f.namespace, paymentID(c.key))
	before, ttl := rdb.Get(t.Context(), name).Val(), rdb.PTTL(t.Context(), name).Val()
	f.one.Signal(t, syscall.SIGCONT)
	awakened := <-first
	assert.Equal(t, 503, awakened.Status)
	// It may have been stopped before it read that its mark was taken.
	assert.Regexp(t, `"code":"(lease_lost|effect_not_marked)"`, awakened.Body)
	assert.Equal(t, before, rdb.Get(t.Context(), name).Val())
	assert.LessOrEqual(t, rdb.PTTL(t.Context(), name).Val(), ttl)

	third := <-afterLease(t, f.one.URL, c)
	requireExecuted(t, third)
	assert.Equal(t, 3, lookup(t, f.records, paymentID(c.key)).Attempt)
}

// afterLeaseLost is afterLease for a server that will be killed meanwhile.
func afterLeaseLost(t *testing.T, url string, c call) <-chan struct{} {
	t.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
			resp, err := trySend(t, url, c)
			if err != nil || resp.Header.Get("Idempotency-Status") != "conflict" {
				return
			}
			time.Sleep(20 * time.Millisecond) // between two polls
		}
	}()
	return over
}
