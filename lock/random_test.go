package lock_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
)

// Whatever befalls the calls, nobody relies on the lock at the same time as somebody
// else, tokens grow from holder to holder, and once the faults are over everybody
// gets the lock and nothing is left behind.
func TestRandomFaultsLetNobodyInBesideAnother(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { runRandom(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func runRandom(t *testing.T, dice *rand.Rand) {
	s := newStage()
	w := &world{t: t, dice: dice}
	for _, call := range []string{"acquire", "renew", "release"} {
		s.ever(call, w.fault)
	}
	lockers := make([]*lock.Locker, 3)
	for i := range lockers {
		lockers[i] = open(t, s, lock.LeaseTime(3*time.Second), lock.CallTimeout(300*time.Millisecond))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for _, l := range lockers {
		for range 3 {
			all.Go(func() { w.work(ctx, l) })
		}
	}
	for range 12 { // now and then renewals do not get through for longer than a lease
		time.Sleep(5 * time.Second)
		s.ever("renew", hang)
		time.Sleep(5 * time.Second)
		s.ever("renew", w.fault)
	}
	for _, call := range []string{"acquire", "renew", "release"} {
		s.ever(call, nil)
	}
	before := w.count()
	time.Sleep(30 * time.Second)
	assert.Greater(t, w.count(), before+3, "there is no progress")
	cancel()
	all.Wait()
	for _, l := range lockers {
		require.NoError(t, l.Shutdown(t.Context()))
	}
	assert.True(t, s.free(t, "k"))
}

// world is who believes to have the lock.
type world struct {
	t *testing.T

	mu     sync.Mutex
	dice   *rand.Rand
	holder *lock.Lease
	last   lock.Token
	served int
}

func (w *world) roll(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dice.IntN(n)
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.served
}

// fault befalls a call.
func (w *world) fault(ctx context.Context, execute func(context.Context)) error {
	d := time.Duration(w.roll(400)) * time.Millisecond
	switch w.roll(12) {
	case 0:
		return lostRequest(ctx, execute)
	case 1:
		return lostReply(ctx, execute)
	case 2:
		return late(5*d)(ctx, execute)
	case 3:
		return hang(ctx, execute)
	case 4:
		execute(ctx)
		return hang(ctx, execute)
	case 5, 6, 7:
		return slow(min(d, 290*time.Millisecond))(ctx, execute)
	}
	time.Sleep(d / 100)
	execute(ctx)
	return nil
}

// work takes the lock, in one way or another, again and again.
func (w *world) work(ctx context.Context, l *lock.Locker) {
	for ctx.Err() == nil {
		le, err := w.take(ctx, l)
		if err != nil {
			time.Sleep(time.Duration(1+w.roll(300)) * time.Millisecond)
			continue
		}
		w.enter(le)
		for range w.roll(8) {
			time.Sleep(time.Duration(1+w.roll(900)) * time.Millisecond)
			if w.roll(3) == 0 {
				_ = le.Extend(ctx)
			}
			w.check(le)
		}
		w.leave(le)
		_ = le.Release(ctx)
	}
}

func (w *world) take(ctx context.Context, l *lock.Locker) (*lock.Lease, error) {
	switch w.roll(3) {
	case 0:
		return l.TryLock(ctx, "k")
	case 1:
		ctx, cancel := context.WithTimeout(ctx, time.Duration(1+w.roll(2000))*time.Millisecond)
		defer cancel()
		le, err := l.Lock(ctx, "k")
		return le, err
	}
	return l.Lock(ctx, "k")
}

func (w *world) enter(le *lock.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holder != nil && le.Held() {
		assert.False(w.t, w.holder.Held(), "two hold the lock")
	}
	assert.Greater(w.t, le.Token(), w.last)
	w.holder, w.last = le, le.Token()
	w.served++
}

// check sees that a lease that is held is the latest, and that others have heard.
func (w *world) check(le *lock.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holder != le {
		assert.False(w.t, le.Held(), "two hold the lock")
		assert.Error(w.t, le.Context().Err())
	}
}

func (w *world) leave(le *lock.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holder == le {
		w.holder = nil
	}
}
