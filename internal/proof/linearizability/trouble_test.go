package linearizability_test

import (
	"context"
	"time"

	"github.com/stretchr/testify/assert"
)

// trouble acts on a line, some of them until the context ends.
type trouble func(ctx context.Context, l *line)

// all lets several troubles come together. All but the last return at once.
func all(troubles ...trouble) trouble {
	return func(ctx context.Context, l *line) {
		for _, tr := range troubles {
			tr(ctx, l)
		}
	}
}

// loseReplies loses a share of the replies to scripts.
func loseReplies(share float64) trouble {
	return func(_ context.Context, l *line) {
		l.proxy.LoseReplies("evalsha", share, l.seed)
		l.proxy.LoseReplies("eval", share, l.seed)
	}
}

// cutReplies delivers half of a share of the replies, and resets the connection.
func cutReplies(share float64) trouble {
	return func(_ context.Context, l *line) {
		l.proxy.CutReplies("evalsha", share, l.seed)
		l.proxy.CutReplies("eval", share, l.seed)
	}
}

// delays makes the line slow, and now and then so slow that requests arrive
// after their callers gave up.
func delays(ctx context.Context, l *line) {
	for beat := 0; pause(ctx, slowness*10*time.Millisecond); beat++ {
		l.proxy.DelayReplies(slowness * time.Millisecond)
		l.proxy.DelayRequests(0)
		if beat%3 == 2 {
			l.proxy.DelayRequests(2 * impatient)
		}
	}
	l.proxy.DelayReplies(0)
	l.proxy.DelayRequests(0)
}

// resets ends all connections, with whatever is under way on them.
func resets(ctx context.Context, l *line) {
	l.each(ctx, 80, l.proxy.ResetConnections)
}

// pauses stops the server for longer than the callers' patience. It executes then
// what they have given up.
func pauses(ctx context.Context, l *line) {
	l.each(ctx, 250, func() {
		l.server.Pause()
		defer l.server.Resume()
		pause(ctx, 2*impatient)
	})
}

// kills ends the server and starts it again, with what it had acknowledged.
func kills(ctx context.Context, l *line) {
	l.each(ctx, 1200, func() {
		l.server.Kill()
		l.up.Lock()
		defer l.up.Unlock()
		l.server.Restart()
	})
}

// flushScripts makes the server forget all scripts, again and again.
func flushScripts(ctx context.Context, l *line) {
	for pause(ctx, 15*time.Millisecond) {
		_ = l.direct.ScriptFlush(ctx).Err() // it ends with ctx, and the next one comes soon
	}
}

// fillMemory lets the server have no memory left, half of the time.
func fillMemory(ctx context.Context, l *line) {
	limit := func(bytes string) {
		assert.NoError(l.t, l.direct.ConfigSet(context.WithoutCancel(ctx), "maxmemory", bytes).Err())
	}
	l.each(ctx, 100, func() {
		limit("1")
		defer limit("0")
		until := l.sent.Load() + 100
		for l.sent.Load() < until && pause(ctx, time.Millisecond) {
		}
	})
}
