package redisstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// F22, F23, F44: connections break in the middle of what goes together, callers give
// up at any moment, and the client repeats whole pipelines. Each call still gets its
// own answer or an error: no claim is won twice, no answer is another's.
func TestCallsTogetherKeepTheirOwnAnswersThroughLostRepliesF23(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	proxy := faultproxy.Start(t, srv.Addr())
	rdb := srv.Client(t, func(o *redis.Options) { o.Addr = proxy.Addr() })
	s := newStore(t, rdb, redisstore.AutoPipeline(), redisstore.LocalCache(cacheBytes, 5*time.Millisecond))
	const callers, rounds = 64, 40
	proxy.LoseReplies("evalsha", 0.01, 1)
	proxy.CutReplies("evalsha", 0.01, 2)
	var calls sync.WaitGroup
	var replays atomic.Int64
	for range callers {
		calls.Go(func() {
			for range rounds {
				replays.Add(playImpatiently(t, s, newRequest(t)))
			}
		})
	}
	calls.Wait()
	require.Positive(t, replays.Load(), "nothing was replayed, so nothing was shown")
	require.Eventually(t, func() bool { return redisstore.Busy(s) == 0 }, time.Minute, time.Millisecond)
}

// playImpatiently plays a request and its duplicates, some of which give up. It
// counts the replays.
func playImpatiently(t *testing.T, s *redisstore.Store, r *request) (replays int64) {
	t.Helper()
	answer := answerOf(fmt.Sprint("of ", r.id))
	var winner atomic.Pointer[request]
	var duplicates sync.WaitGroup
	for range 3 {
		d := r.duplicate()
		duplicates.Go(func() {
			ctx, cancel := impatient(t)
			defer cancel()
			reply, err := s.Apply(ctx, d.id, d.claim)
			if err == nil && reply.Verdict == store.Claimed {
				d.reply = reply
				assert.Nil(t, winner.Swap(d), "a claim was won twice")
			}
		})
	}
	duplicates.Wait()
	d := winner.Load()
	if d == nil {
		return 0 // whoever won it has given up
	}
	insistent(t, s, d.id, d.complete(answer), store.Done)
	for range 3 {
		reply := insistent(t, s, r.id, r.duplicate().claim, store.Recorded)
		assert.Equal(t, answer, reply.Answer)
		replays++
	}
	return replays
}

// impatient returns a context that may end at any moment of a call, or late.
func impatient(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	switch rand.IntN(3) {
	case 0:
		return context.WithTimeout(t.Context(), time.Duration(rand.IntN(5000))*time.Microsecond)
	case 1:
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(rand.IntN(5000))*time.Microsecond, cancel)
		return ctx, func() { timer.Stop(); cancel() }
	}
	return context.WithTimeout(t.Context(), time.Minute)
}

// insistent sends an event until there is an answer, and wants that verdict.
func insistent(
	t *testing.T, s *redisstore.Store, id store.ID, event store.Event, want store.Verdict,
) store.Reply {
	t.Helper()
	for {
		reply, err := s.Apply(t.Context(), id, event)
		if err == nil {
			assert.Equal(t, want, reply.Verdict)
			return reply
		}
		if !assert.ErrorIs(t, err, store.ErrUnavailable) {
			return reply
		}
	}
}
