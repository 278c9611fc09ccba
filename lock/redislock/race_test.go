package redislock_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
)

// Three processes behind a line that loses and cuts replies, with clients that
// repeat commands by themselves and such that do not: nobody gets in beside another,
// tokens grow, and nobody is told "held" for ever.
func TestLostRepliesLetNobodyInBesideAnother_F23(t *testing.T) {
	t.Parallel()
	for name, retries := range map[string]int{"client repeats": 3, "client does not": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			proxy := faultproxy.Start(t, srv.Addr())
			w := &contest{t: t}
			var all sync.WaitGroup
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			for range 3 {
				rdb := srv.Client(t, func(o *redis.Options) { o.Addr, o.MaxRetries = proxy.Addr(), retries })
				l := newLocker(t, open(t, rdb), lock.LeaseTime(2*time.Second))
				for range 4 {
					all.Go(func() { w.work(ctx, l) })
				}
			}
			lost, cut := proxy.LoseReplies("evalsha", 0.1, 1), proxy.CutReplies("evalsha", 0.1, 2)
			all.Wait()
			lost.Disarm()
			cut.Disarm()
			assert.Greater(t, lost.Fired()+cut.Fired(), 10)
			assert.Greater(t, w.served, 50)
			l := newLocker(t, open(t, srv.Client(t)))
			le, err := l.Lock(t.Context(), "k")
			require.NoError(t, err)
			require.NoError(t, le.Release(t.Context()))
		})
	}
}

// contest is who has the lock.
type contest struct {
	t *testing.T

	mu     sync.Mutex
	inside *lock.Lease
	last   lock.Token
	served int
}

func (w *contest) work(ctx context.Context, l *lock.Locker) {
	for ctx.Err() == nil {
		le, err := l.Lock(ctx, "k")
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		w.enter(le)
		time.Sleep(time.Millisecond)
		w.leave(le)
		_ = le.Release(ctx)
	}
}

func (w *contest) enter(le *lock.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if le.Held() && w.inside != nil {
		assert.False(w.t, w.inside.Held(), "two hold the lock")
	}
	assert.Greater(w.t, le.Token(), w.last)
	w.inside, w.last = le, le.Token()
	w.served++
}

func (w *contest) leave(le *lock.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inside == le {
		w.inside = nil
	}
}
