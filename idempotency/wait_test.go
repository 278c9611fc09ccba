package idempotency_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// leastPause lies between two claims of those who wait together.
const leastPause = 25 * time.Millisecond

func TestC3_DuplicatesWaitAndAllGetTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, heard := startListening(t, newBackend())
		op := p.operation(t, waits(5*time.Second))
		owner := begin(t.Context(), op, call("k"), takes(time.Second, "a"))
		synctest.Wait()
		began := time.Now()
		all := duplicates(t.Context(), 99, op, forbidden(t))
		allReplay(t, all, "a")
		assert.LessOrEqual(t, time.Since(began), time.Second+leastPause, "told at once")
		result, err := owner.wait()
		require.NoError(t, err)
		assert.Equal(t, idempotency.Executed, result.Outcome)
		waited := 0
		for _, f := range p.trace.allFinished() {
			if f.Waited >= time.Second {
				waited++
			}
		}
		assert.Equal(t, 99, waited, "the hooks tell how long each waited")
		synctest.Wait()
		assert.Zero(t, heard.listening())
	})
}

func TestC12_ManyDuplicatesCostTheStoreLittle(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"that come later": true, "that come together": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, _ := startListening(t, newBackend())
				op := p.operation(t, waits(5*time.Second))
				owner := begin(t.Context(), op, call("k"), takes(time.Second, "a"))
				if before {
					synctest.Wait()
				}
				all := duplicates(t.Context(), 1000, op, takes(time.Second, "a"))
				for _, r := range append(all, owner) {
					result, err := r.wait()
					require.NoError(t, err)
					require.Equal(t, "a", string(result.Answer.Body))
				}
				assert.Equal(t, 1, p.node.count("complete"), "one ran")
				// The owner's, the first duplicate's, one as soon as notifications are
				// heard, one re-check, one when told.
				assert.LessOrEqual(t, p.node.count("claim"), 5)
			})
		})
	}
}

func TestC4_WaitEndsBeforeTheAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, heard := startListening(t, newBackend())
		op := p.operation(t, waits(2*time.Second), idempotency.Policy{Lease: 30 * time.Second})
		owner := begin(t.Context(), op, call("k"), takes(5*time.Second, "a"))
		time.Sleep(500 * time.Millisecond)
		began := time.Now()
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refused := refusal(t, err, idempotency.ErrInProgress)
		assert.Equal(t, 2*time.Second, time.Since(began))
		assert.Equal(t, 2500*time.Millisecond, refused.RetryAfter.Round(50*time.Millisecond), "as long again as it has taken")
		synctest.Wait()
		assert.Zero(t, heard.listening())
		_, err = owner.wait()
		require.NoError(t, err)
	})
}

func TestWaitEndsBeforeTheCallersOwnDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(5*time.Second))
		owner := begin(t.Context(), op, call("k"), takes(2*time.Second, "a"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := op.Execute(ctx, call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrInProgress)
		assert.Equal(t, 900*time.Millisecond, time.Since(began), "with time left to say so")
		_, err = owner.wait()
		require.NoError(t, err)
	})
}

func TestC6_OneWaiterTakesOverAfterARelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(10*time.Second))
		owner := newWork(t)
		first := begin(t.Context(), op, call("k"), owner.run)
		synctest.Wait()
		other := newWork(t)
		all := duplicates(t.Context(), 5, op, other.run)
		synctest.Wait()
		owner.end <- answer(idempotency.ClassRelease, "503")
		_, err := first.wait()
		require.NoError(t, err)
		time.Sleep(3 * time.Second)
		assert.EqualValues(t, 1, other.runs.Load(), "exactly one of them runs")
		began := time.Now()
		other.end <- recorded("b")
		executed := 0
		for _, r := range all {
			result, err := r.wait()
			require.NoError(t, err)
			require.Equal(t, "b", string(result.Answer.Body))
			if result.Outcome == idempotency.Executed {
				executed++
				assert.Equal(t, 2, result.Attempt)
			}
		}
		assert.Equal(t, 1, executed)
		assert.LessOrEqual(t, time.Since(began), leastPause, "the others were told")
	})
}

func TestC6_OneTakesOverInAllProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		owner, other := newWork(t), newWork(t)
		var all []*running
		for i := range 3 {
			p, _ := startListening(t, b)
			op := p.operation(t, waits(10*time.Second))
			if i == 0 {
				all = append(all, begin(t.Context(), op, call("k"), owner.run))
				synctest.Wait()
			}
			all = append(all, duplicates(t.Context(), 3, op, other.run)...)
		}
		synctest.Wait()
		owner.end <- answer(idempotency.ClassRelease, "503")
		time.Sleep(4 * time.Second)
		assert.EqualValues(t, 1, other.runs.Load())
		other.end <- recorded("b")
		for _, r := range all[1:] {
			result, err := r.wait()
			require.NoError(t, err)
			require.Equal(t, "b", string(result.Answer.Body))
		}
	})
}

func TestC7_LostNotificationsCostTwoSecondsAtMost(t *testing.T) {
	t.Parallel()
	for _, handler := range []time.Duration{300 * time.Millisecond, time.Second, 7 * time.Second} {
		t.Run(handler.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend()) // hears nothing
				op := p.operation(t, waits(time.Minute))
				owner := begin(t.Context(), op, call("k"), takes(handler, "a"))
				synctest.Wait()
				all := duplicates(t.Context(), 10, op, forbidden(t))
				_, err := owner.wait()
				require.NoError(t, err)
				ended := time.Now()
				allReplay(t, all, "a")
				assert.LessOrEqual(t, time.Since(ended), 2*time.Second)
				assert.LessOrEqual(t, p.node.count("claim"), 5+int(handler/time.Second))
			})
		})
	}
}

func TestNotificationBetweenClaimAndSubscriptionIsNotMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, heard := startListening(t, newBackend())
		heard.delay = 100 * time.Millisecond // until the subscription is confirmed
		op := p.operation(t, waits(5*time.Second))
		owner := begin(t.Context(), op, call("k"), takes(50*time.Millisecond, "a"))
		synctest.Wait()
		began := time.Now()
		allReplay(t, duplicates(t.Context(), 2, op, forbidden(t)), "a")
		assert.Equal(t, 100*time.Millisecond, time.Since(began), "it looks again once it hears")
		_, err := owner.wait()
		require.NoError(t, err)
	})
}

func TestC8_SurplusWaitersAreToldAtOnce(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]struct {
		policy idempotency.Policy
		limits idempotency.Limits
	}{
		"of a key": {policy: idempotency.Policy{MaxWaiters: 3}},
		"in all":   {limits: idempotency.Limits{Waiters: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, _ := startListening(t, newBackend(), idempotency.WithLimits(limit.limits))
				op := p.operation(t, waits(5*time.Second), limit.policy)
				owner := begin(t.Context(), op, call("k"), takes(time.Second, "a"))
				synctest.Wait()
				all := duplicates(t.Context(), 3, op, forbidden(t))
				synctest.Wait()
				claims := p.node.count("claim")
				began := time.Now()
				for range 50 {
					_, err := op.Execute(t.Context(), call("k"), forbidden(t))
					refusal(t, err, idempotency.ErrInProgress)
				}
				assert.Zero(t, time.Since(began))
				assert.Equal(t, claims, p.node.count("claim"), "the surplus does not ask the store")
				allReplay(t, all, "a")
				_, err := owner.wait()
				require.NoError(t, err)
			})
		})
	}
}

func TestOneWhoMayNotWaitIsToldByTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, heard := startListening(t, newBackend(), idempotency.WithLimits(idempotency.Limits{Waiters: 1}))
		op := p.operation(t, waits(5*time.Second))
		for _, key := range []string{"k", "l"} {
			begin(t.Context(), op, call(key), takes(time.Second, "a"))
		}
		synctest.Wait()
		waiting := begin(t.Context(), op, call("k"), forbidden(t))
		synctest.Wait()
		_, err := op.Execute(t.Context(), call("l"), forbidden(t))
		refusal(t, err, idempotency.ErrInProgress)
		allReplay(t, []*running{waiting}, "a")
		synctest.Wait()
		assert.Zero(t, heard.listening())
	})
}

func TestWaitersWithAnotherRequestAreToldAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(5*time.Second))
		owner := begin(t.Context(), op, call("k"), takes(time.Second, "a"))
		synctest.Wait()
		other := call("k")
		other.Fingerprint = fingerprint("another")
		began := time.Now()
		_, err := op.Execute(t.Context(), other, forbidden(t))
		refusal(t, err, idempotency.ErrKeyReused)
		assert.Zero(t, time.Since(began))
		_, err = owner.wait()
		require.NoError(t, err)
	})
}

func TestWaitersOfAnOrphan(t *testing.T) {
	t.Parallel()
	for _, m := range orphanModes {
		t.Run(string(m.mode), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend()
				dead := newNode(b)
				_, err := dead.Apply(t.Context(), store.NewID("tenant", "pay", "k"), store.Claim{
					Owner: store.NewOwner(), Fingerprint: fingerprint("body"), Scope: store.NewScopeDigest("tenant"),
					Operation: "pay", Lease: lease, Retention: time.Hour,
				})
				require.NoError(t, err)
				p, _ := startListening(t, b)
				op := p.operation(t, waits(10*time.Second), idempotency.Policy{Orphan: m.mode})
				began := time.Now()
				other := newWork(t)
				all := duplicates(t.Context(), 5, op, other.run)
				time.Sleep(lease + 100*time.Millisecond)
				if m.unmarked {
					assert.EqualValues(t, 1, other.runs.Load(), "right after the lease has lapsed")
					other.end <- recorded("b")
				}
				for _, r := range all {
					result, err := r.wait()
					if !m.unmarked {
						refusal(t, err, idempotency.ErrOutcomeUnknown)
						continue
					}
					require.NoError(t, err)
					require.Equal(t, "b", string(result.Answer.Body))
				}
				assert.Less(t, time.Since(began), lease+200*time.Millisecond)
			})
		})
	}
}
