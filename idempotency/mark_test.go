package idempotency_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestMarkEffectTakesOneRoundTripOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			for range 3 {
				mark(t, ctx)
			}
			_, rec := p.node.backend.only(t)
			assert.True(t, rec.Marked)
			return recorded("a")
		})
		require.NoError(t, err)
		assert.Equal(t, 1, p.node.count("mark"))
		assert.Equal(t, 3, p.node.count(""), "claim, mark, complete")
	})
}

func TestConcurrentMarksTakeOneRoundTrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() { assert.NoError(t, idempotency.MarkEffect(ctx)) })
			}
			wg.Wait()
			return recorded("a")
		})
		require.NoError(t, err)
		assert.Equal(t, 1, p.node.count("mark"))
	})
}

func TestMarkThatTheStoreCannotConfirmIsAnError_I9(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault fault
	}{
		{"lost request", lostRequest},
		{"lost reply", lostReply},
		{"hanging", hang},
		{"read-only", readOnly},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				p.node.next("mark", tt.fault)
				_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
					began := time.Now()
					err := idempotency.MarkEffect(ctx)
					refused := refusal(t, err, idempotency.ErrStoreUnavailable)
					assert.ErrorIs(t, refused, store.ErrUnavailable)
					assert.LessOrEqual(t, time.Since(began), 500*time.Millisecond)
					return answer(idempotency.ClassRelease, "503")
				})
				require.NoError(t, err)
				_, rec := p.node.backend.only(t)
				assert.Equal(t, store.Released, rec.State, "the handler was told not to go on, so nothing happened")
			})
		})
	}
}

func TestMarkCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.next("mark", lostReply)
		_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			assert.ErrorIs(t, idempotency.MarkEffect(ctx), idempotency.ErrStoreUnavailable)
			mark(t, ctx)
			return answer(idempotency.ClassRelease, "503")
		})
		require.NoError(t, err)
		_, rec := p.node.backend.only(t)
		assert.Equal(t, store.Unknown, rec.State)
	})
}

func TestRefusedMarkCancelsTheHandler_F07(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			p.node.backend.setClock(time.Minute) // for the store, the lease has lapsed
			assert.ErrorIs(t, idempotency.MarkEffect(ctx), idempotency.ErrLeaseLost)
			assert.ErrorIs(t, context.Cause(ctx), idempotency.ErrLeaseLost)
			return answer(idempotency.ClassRelease, "503")
		})
		require.NoError(t, err)
		_, rec := p.node.backend.only(t)
		assert.Equal(t, store.Unknown, rec.State, "its context had ended")
		assert.False(t, rec.Marked)
	})
}

func TestMarkOnALostLeaseAsksNobody_L8(t *testing.T) {
	t.Parallel()
	detach := []struct {
		name string
		ctx  func(context.Context) context.Context
	}{
		{"the handler's context", func(ctx context.Context) context.Context { return ctx }},
		{"a detached one", context.WithoutCancel},
	}
	for _, tt := range detach {
		for _, marked := range []bool{false, true} {
			name := tt.name + ", unmarked"
			if marked {
				name = tt.name + ", marked before"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := start(t, newBackend())
					p.node.always(lostRequest, "renew")
					_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
						if marked {
							mark(t, ctx)
						}
						<-ctx.Done()
						asked := p.node.count("mark")
						// An effect that is yet to come must not, mark or no mark.
						assert.ErrorIs(t, idempotency.MarkEffect(tt.ctx(ctx)), idempotency.ErrLeaseLost)
						assert.Equal(t, asked, p.node.count("mark"))
						return answer(idempotency.ClassUnknown, "502")
					})
					require.NoError(t, err)
				})
			})
		}
	}
}

func TestMarkWhoseReplyComesAfterTheLeaseIsNoPermission_F29(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend(), idempotency.WithStoreTimeout(5*time.Second))
		p.node.always(lostRequest, "renew")
		p.node.next("mark", slow(4*time.Second))
		_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			assert.ErrorIs(t, idempotency.MarkEffect(ctx), idempotency.ErrLeaseLost)
			assert.ErrorIs(t, idempotency.MarkEffect(context.WithoutCancel(ctx)), idempotency.ErrLeaseLost,
				"nor is it one later")
			return answer(idempotency.ClassUnknown, "502")
		})
		require.NoError(t, err)
		_, rec := p.node.backend.only(t)
		assert.True(t, rec.Marked)
	})
}

func TestMarkAfterTheEndIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		var inside context.Context
		_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			inside = ctx
			return recorded("a")
		})
		require.NoError(t, err)
		assert.ErrorIs(t, idempotency.MarkEffect(inside), idempotency.ErrLeaseLost)
		assert.ErrorIs(t, idempotency.MarkEffect(context.WithoutCancel(inside)), idempotency.ErrLeaseLost)
		assert.Zero(t, p.node.count("mark"))
		info, ok := idempotency.FromContext(inside)
		assert.True(t, ok, "what it was can still be asked")
		assert.Equal(t, 1, info.Attempt)
	})
}

func TestMarkWithAnEndedContextReturnsItsCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		boom := errors.New("boom")
		_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(boom)
			assert.ErrorIs(t, idempotency.MarkEffect(ctx), boom)
			return answer(idempotency.ClassRelease, "503")
		})
		require.NoError(t, err)
		assert.Zero(t, p.node.count("mark"))
		_, rec := p.node.backend.only(t)
		assert.Equal(t, store.Released, rec.State, "not the handler's own context ended")
	})
}

// The attempt cannot end while a mark is under way: either the mark came first
// and the ending knows of it, or it is refused.
func TestMarkUnderWayWhenTheHandlerReturnsCounts_F55(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend()) // no bubble: the ending waits for a mutex
	sent, returning, marked := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	p.node.next("mark", func(_ context.Context, execute func() store.Reply) (store.Reply, error) {
		close(sent)
		<-returning
		return execute(), nil
	})
	_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
		go func() { marked <- idempotency.MarkEffect(ctx) }()
		<-sent
		defer close(returning)
		return answer(idempotency.ClassRelease, "503")
	})
	require.NoError(t, err)
	require.NoError(t, <-marked)
	_, rec := p.node.backend.only(t)
	assert.Equal(t, store.Unknown, rec.State)
}
