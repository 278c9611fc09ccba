package redislock_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
)

// far is a server far enough away that calls pile up.
const far = 30 * time.Millisecond

// together runs calls side by side.
func together(n int, call func()) {
	var all sync.WaitGroup
	for range n {
		all.Go(call)
	}
	all.Wait()
}

func TestCallsSideBySideShareRoundTrips(t *testing.T) {
	t.Parallel()
	b, proxy, _ := proxied(t)
	proxy.DelayReplies(far)
	const calls = 64
	began := time.Now()
	var mu sync.Mutex
	tokens := make(map[lock.Token]bool)
	together(calls, func() {
		h := newHold()
		reply, err := b.Acquire(t.Context(), h.id, h.claim)
		assert.NoError(t, err)
		held, err := b.Release(t.Context(), h.id, h.claim.Owner)
		assert.NoError(t, err)
		assert.True(t, held)
		mu.Lock()
		defer mu.Unlock()
		tokens[reply.Token] = true
	})
	assert.Greater(t, len(tokens), calls/2, "each has its own answer")
	assert.Less(t, proxy.RoundTrips(), calls/2)
	assert.Equal(t, 2*calls, proxy.Requests()["evalsha"])
	assert.Less(t, time.Since(began), 40*far, "and nobody queues for long")
}

func TestCallAloneIsNoPipeline(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	var hook pipelines
	rdb.AddHook(&hook)
	b := open(t, rdb)
	for range 10 {
		h := newHold()
		h.acquires(t, b, lock.Acquired)
		h.releases(t, b, true)
	}
	assert.Zero(t, hook.seen.Load())
}

// On a cluster a node that stands still must not hold up the calls of the others.
func TestNothingIsSharedOnACluster(t *testing.T) {
	t.Parallel()
	rdb, _ := startCluster(t)
	var hook pipelines
	rdb.AddHook(&hook)
	b := open(t, rdb)
	together(64, func() {
		h := newHold()
		_, err := b.Acquire(t.Context(), h.id, h.claim)
		assert.NoError(t, err)
	})
	assert.Zero(t, hook.seen.Load())
}

// Of two that want the same lock in one round trip, one gets it.
func TestOneOfThoseWhoShareARoundTripGetsTheLock(t *testing.T) {
	t.Parallel()
	b, proxy, _ := proxied(t)
	proxy.DelayReplies(far)
	h := newHold()
	var acquired atomic.Int64
	together(32, func() {
		reply, err := b.Acquire(t.Context(), h.id, h.rival().claim)
		assert.NoError(t, err)
		if reply.Verdict == lock.Acquired {
			acquired.Add(1)
		}
	})
	assert.Equal(t, int64(1), acquired.Load())
}

func TestForgottenScriptsAreSentAgainToAllWhoShare_F37(t *testing.T) {
	t.Parallel()
	b, proxy, srv := proxied(t)
	proxy.DelayReplies(far)
	holds := make(chan *hold, 64)
	together(64, func() {
		h := newHold()
		_, err := b.Acquire(t.Context(), h.id, h.claim)
		assert.NoError(t, err)
		holds <- h
	})
	srv.ScriptFlush()
	loads := b.Stats().ScriptLoads
	together(64, func() { // one half claims, one half releases
		h := newHold()
		reply, err := b.Acquire(t.Context(), h.id, h.claim)
		assert.NoError(t, err)
		assert.Equal(t, lock.Acquired, reply.Verdict)
		h = <-holds
		held, err := b.Release(t.Context(), h.id, h.claim.Owner)
		assert.NoError(t, err)
		assert.True(t, held)
	})
	assert.Greater(t, b.Stats().ScriptLoads, loads)
	assert.Less(t, b.Stats().ScriptLoads, loads+32)
}

// F23: a lost reply is that of all who share it, and each repeats its own call.
func TestLostReplyOfManyIsNoFalseHeld_F23(t *testing.T) {
	t.Parallel()
	for name, mutate := range map[string]func(*redis.Options){
		"the client repeats": repeating, "the caller repeats": func(*redis.Options) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, proxy, _ := proxied(t, mutate)
			proxy.DelayReplies(far)
			proxy.LoseReply("evalsha", 20)
			together(40, func() {
				h := newHold()
				reply, err := b.Acquire(t.Context(), h.id, h.claim)
				if err != nil {
					assert.NotErrorIs(t, err, lock.ErrNotExecuted)
					reply, err = b.Acquire(t.Context(), h.id, h.claim)
				}
				assert.NoError(t, err)
				assert.Equal(t, lock.Acquired, reply.Verdict)
			})
		})
	}
}

// F13: deadlines end the wait for a turn, too, and then nothing was sent.
func TestDeadlineEndsTheWaitForATurn_F13(t *testing.T) {
	t.Parallel()
	b, _, srv := proxied(t)
	srv.Pause()
	defer srv.Resume()
	var unsent, sent atomic.Int64
	// On a busy machine the time of all may be over before the first is sent.
	for rounds := 0; rounds < 50 && (sent.Load() == 0 || unsent.Load() == 0); rounds++ {
		together(20, func() {
			ctx, cancel := context.WithTimeout(t.Context(), 9*time.Millisecond)
			defer cancel()
			h := newHold()
			_, err := b.Acquire(ctx, h.id, h.claim)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			if errors.Is(err, lock.ErrNotExecuted) {
				unsent.Add(1)
			} else {
				sent.Add(1)
			}
		})
	}
	assert.Positive(t, sent.Load())
	assert.Positive(t, unsent.Load())
}

// One with little time left does not take that of the others.
func TestShortDeadlineCutsNobodyElseShort(t *testing.T) {
	t.Parallel()
	b, proxy, _ := proxied(t)
	proxy.DelayReplies(5 * far)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if i%2 == 1 {
				ctx, cancel = context.WithTimeout(ctx, 2*far)
				defer cancel()
			}
			h := newHold()
			_, err := b.Acquire(ctx, h.id, h.claim)
			if i%2 == 1 {
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			} else {
				assert.NoError(t, err)
			}
		})
	}
	all.Wait()
}

// A client that panics takes one caller along. The others hear of it.
func TestPanicOfTheClientLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	proxy := faultproxy.Start(t, srv.Addr())
	rdb := srv.Client(t, func(o *redis.Options) { o.Addr, o.MaxRetries = proxy.Addr(), -1 })
	b := open(t, rdb)
	h := newHold()
	h.acquires(t, b, lock.Acquired)
	proxy.DelayReplies(far)
	hook := pipelines{panics: true}
	rdb.AddHook(&hook)
	var panicked, failed, served atomic.Int64
	claim := func() {
		defer func() {
			if recover() != nil {
				panicked.Add(1)
			}
		}()
		// A deadline of its own, so that one whom nobody tells fails the test soon.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		h := newHold()
		_, err := b.Acquire(ctx, h.id, h.claim)
		assert.NoError(t, ctx.Err(), "nobody told it")
		if err != nil {
			failed.Add(1)
			return
		}
		served.Add(1)
	}
	together(40, claim)
	assert.Positive(t, panicked.Load())
	assert.Positive(t, failed.Load())
	assert.Equal(t, int64(40), panicked.Load()+failed.Load()+served.Load())
	before := served.Load()
	claim()
	assert.Equal(t, before+1, served.Load(), "its place is free again")
}

// pipelines counts pipelines, or panics at them.
type pipelines struct {
	seen   atomic.Int64
	panics bool
}

func (p *pipelines) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (p *pipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (p *pipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if len(cmds) > 0 && cmds[0].Name() == "evalsha" {
			p.seen.Add(1)
			if p.panics {
				panic("a hook")
			}
		}
		return next(ctx, cmds)
	}
}

// F13, F22: connections that give no answer hold up who is on them, and nobody else.
func TestDeadConnectionsHoldUpNobodyElse_F22(t *testing.T) {
	t.Parallel()
	b, proxy, _ := proxied(t)
	proxy.DelayReplies(10 * time.Millisecond)
	for i := 1; i <= 4; i++ {
		proxy.SwallowReply("evalsha", i)
	}
	var first sync.WaitGroup
	for range 4 {
		first.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Second)
			defer cancel()
			h := newHold()
			_, err := b.Acquire(ctx, h.id, h.claim)
			assert.Error(t, err)
		})
	}
	require.Eventually(t, func() bool { return proxy.Requests()["evalsha"] == 4 }, 2*time.Second, time.Millisecond)
	began := time.Now()
	together(64, func() {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		h := newHold()
		_, err := b.Acquire(ctx, h.id, h.claim)
		assert.NoError(t, err)
	})
	assert.Less(t, time.Since(began), 2*time.Second)
	first.Wait()
}

// What is told as not executed never comes to be: nobody would release it.
func TestWhatWasNotExecutedIsNotThere(t *testing.T) {
	t.Parallel()
	b, proxy, srv := proxied(t)
	proxy.DelayReplies(far)
	var mu sync.Mutex
	var unsent []string
	var all sync.WaitGroup
	for i := range 400 {
		all.Go(func() {
			timeout := 5 * time.Second
			if i%2 == 1 {
				timeout = time.Duration(2+i%8) * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			h := newHold()
			if _, err := b.Acquire(ctx, h.id, h.claim); errors.Is(err, lock.ErrNotExecuted) {
				mu.Lock()
				defer mu.Unlock()
				unsent = append(unsent, h.key())
			}
		})
	}
	all.Wait()
	require.NotEmpty(t, unsent)
	// What is still on its way arrives by then.
	for range 10 {
		<-time.After(50 * time.Millisecond)
		for _, key := range unsent {
			require.EqualValues(t, 0, srv.Do("exists", key), key)
		}
	}
}
