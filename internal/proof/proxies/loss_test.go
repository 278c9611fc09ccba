package proxies_test

import (
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// What both instances are started with where duplicates wait. An attempt that
// has died is taken over unless it was marked.
func waiting(more ...string) []string {
	return append([]string{"-wait", "5s", "-orphan", "rerun-unmarked"}, more...)
}

// completion is the number of the completion among the requests of a payment
// that name its record: after the claim, the GET with it, and the mark.
const completion = 4

func TestInstanceKilledBeforeItsMarkIsSucceeded(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		s := newStage(t, kind, setting{args: waiting("-lease", "1500ms")})
		const key = "k"
		first := s.start(t, key, "tok_slow_1s")
		s.await(t, key, "A runs it", running)
		s.a.Kill()

		got := next(t, "the answer", first)
		require.Equal(t, http.StatusCreated, got.Status, got.Body)
		assert.Equal(t, "executed", got.Header.Get("Idempotency-Status"))
		assert.Equal(t, 2, s.lookup(t, key).Attempt)
		s.requireOneChargeBy(t, s.b, key, got)
		again := s.pay(t, key, "tok_slow_1s")
		assert.Equal(t, "true", again.Header.Get("Idempotent-Replayed"))
		assert.Equal(t, got.Body, again.Body)
		t.Logf("201 after %v, of which 1s is the handler's and up to 1.5s what was left of A's lease", got.After)
	})
}

func TestAnswerLostAfterItWasRecordedIsReplayed(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		s := newStage(t, kind, setting{args: waiting("-lease", "3s")})
		const key = "k"
		lost := s.line.SwallowReply(recordOf(key).String(), completion)
		first := s.start(t, key, "tok_visa")
		next(t, "the completion", lost.First())
		require.Len(t, s.charges(t, key), 1)
		s.a.Kill()

		got := next(t, "the answer", first)
		require.Equal(t, http.StatusCreated, got.Status, got.Body)
		assert.Equal(t, "true", got.Header.Get("Idempotent-Replayed"))
		s.requireOneChargeBy(t, s.a, key, got)
		t.Logf("201 after %v", got.After)
	})
}

// The charge was made, and nobody but the ledger knows. The client learns that
// it has to be looked up, and neither proxy tries again because of that.
func TestInstanceKilledBetweenChargeAndRecordIsNotSucceeded(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		s := newStage(t, kind, setting{args: waiting("-lease", "1500ms")})
		const key = "k"
		held := s.line.Hold(recordOf(key).String(), completion)
		first := s.start(t, key, "tok_visa")
		next(t, "the completion", held.First())
		s.a.Kill()

		got := next(t, "the answer", first)
		requireProblem(t, got, 409, "outcome_unknown")
		s.requireOneChargeBy(t, s.a, key, got)
		t.Logf("outcome_unknown after %v", got.After)
	})
}

func TestProxyThatIsNotPatientEnoughGetsTheAnswerFromTheOtherInstance(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		s := newStage(t, kind, setting{timeout: 2 * time.Second, args: waiting("-lease", "3s")})
		const key = "k"
		got := s.pay(t, key, "tok_slow_2300ms")
		require.Equal(t, http.StatusCreated, got.Status, got.Body)
		assert.Equal(t, "true", got.Header.Get("Idempotent-Replayed"), "B waited for A")
		assert.Equal(t, 1, s.lookup(t, key).Attempt)
		s.requireOneChargeBy(t, s.a, key, got)
		t.Logf("201 after %v: A ran for 2.3s, the proxy gave it up after 2s", got.After)
	})
}

// A stands still for longer than its lease and than the proxy is patient. When
// it goes on, its handler is cancelled and may not charge any more.
func TestInstanceThatStandsStillBeforeItsMarkIsSucceeded(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		s := newStage(t, kind, setting{timeout: 2 * time.Second, args: waiting("-lease", "1s")})
		const key = "k"
		first := s.start(t, key, "tok_slow_1s")
		s.await(t, key, "A runs it", running)
		s.a.Signal(t, syscall.SIGSTOP)

		got := next(t, "the answer", first)
		require.Equal(t, http.StatusCreated, got.Status, got.Body)
		assert.Equal(t, "executed", got.Header.Get("Idempotency-Status"))
		s.a.Signal(t, syscall.SIGCONT)
		assert.Zero(t, s.a.Stop(t), "its handler has ended")
		assert.Equal(t, 2, s.lookup(t, key).Attempt)
		s.requireOneChargeBy(t, s.b, key, got)
		t.Logf("201 after %v", got.After)
	})
}

// With its mark A has said that it may charge at any moment from then on, and it
// does, late. Its record is accepted, since nobody has taken over.
func TestInstanceThatStandsStillAfterItsMarkIsNotSucceeded(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		s := newStage(t, kind, setting{timeout: 2 * time.Second, args: waiting("-lease", "1s")})
		const key = "k"
		first := s.start(t, key, "tok_stubborn_900ms")
		s.await(t, key, "A marks it", marked)
		end := s.lookup(t, key).LeaseEnd
		// Only then has A certainly read that its mark was taken.
		s.await(t, key, "A renews", func(rec store.Record) bool { return rec.LeaseEnd > end })
		s.a.Signal(t, syscall.SIGSTOP)

		requireProblem(t, next(t, "the answer", first), 409, "outcome_unknown")
		assert.Empty(t, s.charges(t, key))
		s.a.Signal(t, syscall.SIGCONT)
		assert.Zero(t, s.a.Stop(t), "its handler has ended")
		got := s.pay(t, key, "tok_stubborn_900ms")
		require.Equal(t, http.StatusCreated, got.Status, got.Body)
		assert.Equal(t, "true", got.Header.Get("Idempotent-Replayed"))
		s.requireOneChargeBy(t, s.a, key, got)
	})
}

// Without waiting the 409 of B is what the client gets: to a proxy it is an
// answer like any other. The client asks again, as Retry-After says.
func TestWithoutWaitingTheClientIsToldToComeBack(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		s := newStage(t, kind, setting{args: []string{"-orphan", "rerun-unmarked", "-lease", "1500ms"}})
		const key, source = "k", "tok_slow_1s"
		first := s.start(t, key, source)
		s.await(t, key, "A runs it", running)
		s.a.Kill()

		got := next(t, "the answer", first)
		told := 0
		for ; got.Status == http.StatusConflict; told++ {
			require.Less(t, told, 5)
			requireProblem(t, got, 409, "in_progress")
			after, err := strconv.Atoi(got.Header.Get("Retry-After"))
			require.NoError(t, err)
			time.Sleep(time.Duration(after) * time.Second) // as told
			got = s.pay(t, key, source)
		}
		assert.Positive(t, told)
		require.Equal(t, http.StatusCreated, got.Status, got.Body)
		s.requireOneChargeBy(t, s.b, key, got)
		t.Logf("told to come back %d times", told)
	})
}

// By a 5xx of its own a handler says that nothing happened, and by one after its
// mark that it does not know. The proxy makes no difference, the middleware does.
func TestServerErrorIsSentToTheOtherInstance(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		s := newStage(t, kind, setting{args: waiting()})
		t.Run("nothing happened", func(t *testing.T) {
			got := s.pay(t, "k1", "tok_outage_once")
			require.Equal(t, http.StatusCreated, got.Status, got.Body)
			assert.Equal(t, "executed", got.Header.Get("Idempotency-Status"))
			s.requireOneChargeBy(t, s.b, "k1", got)
		})
		t.Run("504 after the charge", func(t *testing.T) {
			got := s.pay(t, "k2", "tok_ambiguous")
			requireProblem(t, got, 409, "outcome_unknown")
			s.requireOneChargeBy(t, s.a, "k2", got)
		})
		t.Run("panic after the charge", func(t *testing.T) {
			got := s.pay(t, "k3", "tok_panic_after_charge")
			requireProblem(t, got, 409, "outcome_unknown")
			s.requireOneChargeBy(t, s.a, "k3", got)
		})
	})
}
