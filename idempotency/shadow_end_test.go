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

// Nobody waits for goroutines any more then: the store is asked on the caller's own.
func TestShadowEndsAfterAShutdownThatDidNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p := start(t, b)
		op := p.operation(t, inShadow(idempotency.Policy{}))
		w := newWork(t)
		first := begin(t.Context(), op, call("a"), w.run)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.guard.Shutdown(ctx), context.DeadlineExceeded, "a handler is at work still")
		w.end <- recorded("first")
		result, err := first.wait()
		require.NoError(t, err)
		assert.Equal(t, idempotency.Unprotected, result.Outcome)
		_, rec := b.only(t)
		assert.Equal(t, store.Completed, rec.State)
	})
}
