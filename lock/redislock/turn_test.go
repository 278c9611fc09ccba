package redislock_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

var errWire = errors.New("the wire answers nothing else")

// wire is a client's hook in place of a server. It notes the keys of what is sent,
// and fails it after a while.
type wire struct {
	takes func() time.Duration
	after func() // called before an answer is given, if not nil

	mu    sync.Mutex
	sent  map[string]int  // how often, by key
	most  int             // commands of one pipeline
	known map[string]bool // scripts, by their hash; nil for all
	texts int             // how often a script's text was sent
}

func (w *wire) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *wire) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error { return w.carry(cmd) }
}

func (w *wire) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error { return w.carry(cmds...) }
}

func (w *wire) carry(cmds ...redis.Cmder) error {
	w.mu.Lock()
	w.most = max(w.most, len(cmds))
	for _, cmd := range cmds {
		key, _ := cmd.Args()[3].(string)
		w.sent[key]++
		cmd.SetErr(w.runs(cmd))
	}
	w.mu.Unlock()
	time.Sleep(w.takes())
	if w.after != nil {
		w.after()
	}
	return cmds[0].Err()
}

// runs answers a script as a server does that may not know it.
func (w *wire) runs(cmd redis.Cmder) error {
	script, _ := cmd.Args()[1].(string)
	if cmd.Name() == "eval" {
		w.texts++
		script = redis.NewScript(script).Hash()
		if w.known != nil {
			w.known[script] = true
		}
	}
	if w.known != nil && !w.known[script] {
		return redis.ErrNoScript
	}
	return errWire
}

func (w *wire) times(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[key]
}

// onWire runs a test in virtual time on a backend whose calls take that long.
func onWire(t *testing.T, takes func() time.Duration, test func(t *testing.T, b *redislock.Backend, w *wire)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{takes: takes, sent: make(map[string]int)}
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true})
		rdb.AddHook(w)
		b, err := redislock.New(rdb)
		require.NoError(t, err)
		test(t, b, w)
		flights, queued := redislock.UnderWay(b)
		assert.Zero(t, flights, "every place is free again")
		assert.Zero(t, queued)
		require.NoError(t, b.Close())
		require.NoError(t, rdb.Close())
	})
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// call claims a lock of its own and wants to be told what became of that: "not
// executed" is what was never sent, and nothing else is.
func (w *wire) call(t *testing.T, b *redislock.Backend, deadline time.Duration) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	h := newHold()
	_, err := b.Acquire(ctx, h.id, h.claim)
	assert.Error(t, err)
	want := 1
	if errors.Is(err, lock.ErrNotExecuted) {
		want = 0
	}
	time.Sleep(time.Minute) // what goes with others may be sent when its caller has gone
	assert.Equal(t, want, w.times(h.key()))
}

// Deadlines fall on the moments in which a turn comes, on those in which others
// answer, and between: each caller is told the truth, and no place is lost.
func TestCallersAreToldWhetherTheirCallsWereSent_F28_F29(t *testing.T) {
	t.Parallel()
	for range 100 {
		onWire(t, func() time.Duration { return milliseconds(1 + rand.IntN(9)) },
			func(t *testing.T, b *redislock.Backend, w *wire) {
				var all sync.WaitGroup
				for range 60 {
					deadline := milliseconds(rand.IntN(30)) // none in one of 30
					time.Sleep(milliseconds(rand.IntN(2)))
					all.Go(func() { w.call(t, b, deadline) })
				}
				all.Wait()
			})
	}
}

// One who gives up as its turn comes passes the turn on.
func TestTurnOfOneWhoGivesUpIsNotLost(t *testing.T) {
	t.Parallel()
	onWire(t, func() time.Duration { return milliseconds(5) },
		func(t *testing.T, b *redislock.Backend, w *wire) {
			for range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				// The turn is given by the same goroutine, and so most often before the
				// one whose context ends gets to run.
				w.after = cancel
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() { w.call(t, b, 0) })
				}
				synctest.Wait()
				all.Go(func() {
					h := newHold()
					_, err := b.Acquire(ctx, h.id, h.claim)
					assert.ErrorIs(t, err, context.Canceled)
				})
				all.Wait()
				flights, queued := redislock.UnderWay(b)
				require.Zero(t, flights+queued)
			}
		})
}

func TestRoundTripsAreSharedByAFewDozen(t *testing.T) {
	t.Parallel()
	const calls = 500
	onWire(t, func() time.Duration { return milliseconds(5) },
		func(t *testing.T, b *redislock.Backend, w *wire) {
			together(calls, func() { w.call(t, b, 0) })
			assert.Len(t, w.sent, calls)
			assert.Equal(t, 64, w.most)
		})
}

// F80: calls that were waiting for their turn when the backend was closed are
// answered as they would have been; later ones are not sent.
func TestCloseLeavesNobodyWaitingForATurn_F80(t *testing.T) {
	t.Parallel()
	onWire(t, func() time.Duration { return milliseconds(50) },
		func(t *testing.T, b *redislock.Backend, w *wire) {
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() { w.call(t, b, time.Second) })
			}
			synctest.Wait()
			_, queued := redislock.UnderWay(b)
			require.Equal(t, 96, queued)
			require.NoError(t, b.Close())
			h := newHold()
			_, err := b.Acquire(t.Context(), h.id, h.claim)
			require.ErrorIs(t, err, redis.ErrClosed)
			all.Wait()
			assert.Len(t, w.sent, 100)
		})
}

// F37: of a round trip whose scripts the server has forgotten, each kind is sent
// again with its text once, and each call once.
func TestForgottenScriptsOfTwoKindsShareARoundTrip_F37(t *testing.T) {
	t.Parallel()
	// One of those under way ends early, so that all who wait go together.
	pace := make(chan time.Duration, 100)
	for _, d := range []int{100, 100, 100, 5, 5, 5} {
		pace <- milliseconds(d)
	}
	onWire(t, func() time.Duration { return <-pace }, func(t *testing.T, b *redislock.Backend, w *wire) {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { w.call(t, b, 0) })
			synctest.Wait()
		}
		w.known = make(map[string]bool)
		for range 10 {
			all.Go(func() {
				h := newHold()
				_, err := b.Acquire(t.Context(), h.id, h.claim)
				assert.ErrorIs(t, err, errWire)
				assert.Equal(t, 2, w.times(h.key()))
			})
			all.Go(func() {
				h := newHold()
				_, err := b.Release(t.Context(), h.id, h.claim.Owner)
				assert.ErrorIs(t, err, errWire)
				assert.Equal(t, 2, w.times(h.key()))
			})
		}
		all.Wait()
		assert.Equal(t, 2, w.texts)
		assert.Equal(t, 20, w.most)
	})
}
