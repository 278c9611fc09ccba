package gate_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/gate"
)

func TestAClosedGateLetsOutAndNotIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gate.New()
		require.True(t, g.Enter())
		require.True(t, g.Enter())
		g.Close()
		g.Close()
		assert.True(t, g.Closed())
		assert.False(t, g.Enter())
		<-g.Shut()

		waited := make(chan error, 1)
		go func() { waited <- g.Wait(t.Context()) }()
		g.Leave()
		synctest.Wait()
		assert.Empty(t, waited, "one is inside")
		g.Leave()
		require.NoError(t, <-waited)
	})
}

func TestWaitingEndsWithTheCauseOfItsContext(t *testing.T) {
	t.Parallel()
	tired := errors.New("tired")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(tired)
	g := gate.New()
	require.True(t, g.Enter())
	g.Close()
	require.ErrorIs(t, g.Wait(ctx), tired)
	g.Leave()
	assert.NoError(t, g.Wait(ctx), "an empty gate is empty, whatever the context")
}

func TestAnOpenGateIsNotWaitedThrough(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, gate.New().Wait(ctx), context.Canceled)
}
