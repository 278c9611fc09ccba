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

func TestLongHandlerIsRenewedThroughout_L1(t *testing.T) {
	t.Parallel()
	// L18: the server's clock is another one; only its own differences count.
	for _, offset := range []time.Duration{0, time.Hour, -time.Hour} {
		t.Run("server clock "+offset.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend()
				b.setClock(offset)
				p := start(t, b)
				op := p.operation(t)
				w := newWork(t)
				first := begin(t.Context(), op, call("k"), w.run)
				for range 5 {
					time.Sleep(lease)
					_, err := op.Execute(t.Context(), call("k"), forbidden(t))
					refused := refusal(t, err, idempotency.ErrInProgress)
					assert.GreaterOrEqual(t, refused.RetryAfter, time.Second)
					assert.LessOrEqual(t, refused.RetryAfter, lease)
				}
				assert.NoError(t, w.context().Err())
				w.end <- recorded("a")
				result, err := first.wait()
				require.NoError(t, err)
				assert.True(t, result.Recorded)
				again, err := op.Execute(t.Context(), call("k"), forbidden(t))
				require.NoError(t, err)
				assert.WithinDuration(t, time.Now().Add(offset), again.RecordedAt, time.Millisecond, "by the store's clock")
				assert.EqualValues(t, 1, w.runs.Load())
				// Due at a third of the lease and 5 to 15 % of that.
				assert.GreaterOrEqual(t, p.node.count("renew"), 13)
				assert.LessOrEqual(t, p.node.count("renew"), 14)
				assert.Empty(t, p.trace.allLost())

				renewals := p.node.count("renew")
				time.Sleep(2 * lease)
				assert.Equal(t, renewals, p.node.count("renew"), "the end stops them")
			})
		})
	}
}

func TestOneFailedRenewalCancelsNothing_L12_F24(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"lost request": lostRequest, "lost reply": lostReply, "hanging": hang} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				p.node.next("renew", f)
				result, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
					time.Sleep(3 * lease)
					assert.NoError(t, ctx.Err())
					return recorded("a")
				})
				require.NoError(t, err)
				assert.True(t, result.Recorded)
				assert.Empty(t, p.trace.allLost())
			})
		})
	}
}

func TestLostLeaseCancelsTheHandlerBeforeItCanHaveLapsed_L13_F21(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		fault  fault
		reason string
	}{
		{"refused by the store", says(store.Lost), "lost"},
		{"unreachable", lostRequest, "unconfirmed"},
		{"hanging", hang, "unconfirmed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				p.node.always(tt.fault, "renew")
				result, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
					began := time.Now()
					<-ctx.Done()
					assert.Less(t, time.Since(began), lease)
					assert.ErrorIs(t, context.Cause(ctx), idempotency.ErrLeaseLost)
					return recorded("a")
				})
				require.NoError(t, err)
				assert.True(t, result.Recorded, "L10: nobody took over, so a recordable answer is still taken")
				assert.Equal(t, []idempotency.LeaseLost{{
					Operation: "pay", ID: p.trace.allFinished()[0].ID, Reason: tt.reason,
				}}, p.trace.allLost())
				assert.Contains(t, p.log.String(), "lease lost")
			})
		})
	}
}

func TestLostLeaseAndReleasableAnswerIsUnknown_O10(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.always(lostRequest, "renew")
		op := p.operation(t)
		_, err := op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			<-ctx.Done()
			return answer(idempotency.ClassRelease, "503")
		})
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrOutcomeUnknown)
	})
}

func TestHandlerThatHangsIsGivenUpAtTheMaximumHold_L15_F54(t *testing.T) {
	t.Parallel()
	eachOrphan(t, func(t *testing.T, p *process, _ *idempotency.Operation, marked, rerun bool) {
		orphan := idempotency.OrphanRefuse
		if rerun {
			orphan = idempotency.OrphanRerun
		}
		op, err := p.guard.Operation("hold", idempotency.Policy{Lease: lease, MaxHold: 4 * lease, Orphan: orphan})
		require.NoError(t, err)
		w := newWork(t)
		first := begin(t.Context(), op, call("k"), w.run)
		synctest.Wait()
		if marked {
			mark(t, w.context())
		}
		<-w.context().Done()
		assert.ErrorIs(t, context.Cause(w.context()), idempotency.ErrLeaseLost)
		assert.Equal(t, "maximum hold", p.trace.allLost()[0].Reason)
		renewals := p.node.count("renew")
		time.Sleep(lease) // it is deaf; the lease lapses
		assert.Equal(t, renewals, p.node.count("renew"))
		afterOrphan(t, op, rerun, 0)

		w.end <- recorded("a")
		result, err := first.wait()
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		if rerun {
			assert.Equal(t, idempotency.Replayed, result.Outcome)
			assert.Equal(t, recorded("b"), result.Answer)
		}
	})
}

func TestFlushWhileAHandlerRunsIsHeardAndItsAnswerAdopted_S9(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t)
		result, err := op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			time.Sleep(2 * lease)
			p.node.backend.flush()
			<-ctx.Done()
			assert.ErrorIs(t, context.Cause(ctx), idempotency.ErrLeaseLost)
			return recorded("a")
		})
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		assert.Equal(t, "lost", p.trace.allLost()[0].Reason)
		again, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, recorded("a"), again.Answer)
		assert.Equal(t, result.Token, again.Token)
	})
}

func TestAdoptionEndsWithTheShortestRetention_S9(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		within time.Duration // after the last confirmation
		adopts bool
	}{
		{"in time", 5*time.Second - time.Microsecond, true},
		{"too late: another run may have come and gone", 5 * time.Second, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t, idempotency.Policy{Retention: time.Hour, MinRetention: 5 * time.Second})
				result, err := op.Execute(t.Context(), call("k"), func(context.Context) idempotency.Answer {
					p.node.backend.flush() // no renewal confirms anything after the claim
					time.Sleep(tt.within)
					return recorded("a")
				})
				if tt.adopts {
					require.NoError(t, err)
					assert.True(t, result.Recorded)
					return
				}
				refusal(t, err, idempotency.ErrLeaseLost)
				assert.Zero(t, result)
			})
		})
	}
}

func TestServerClockThatJumpsDoesNotStartASecondRun_F60_F61(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t)
				w := newWork(t)
				first := begin(t.Context(), op, call("k"), w.run)
				synctest.Wait()
				p.node.backend.setClock(jump)
				_, err := op.Execute(t.Context(), call("k"), forbidden(t))
				if jump > 0 {
					refusal(t, err, idempotency.ErrOutcomeUnknown)
				} else {
					assert.LessOrEqual(t, refusal(t, err, idempotency.ErrInProgress).RetryAfter, lease)
				}
				w.end <- recorded("a")
				result, err := first.wait()
				require.NoError(t, err)
				assert.True(t, result.Recorded)
			})
		})
	}
}
