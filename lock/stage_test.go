package lock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/memlock"
)

const (
	length = 30 * time.Second
	// counted is how much of a lease a holder relies on.
	counted = length - length/100 - length/20
)

var errDown = errors.New("backend is down")

// fault befalls one call: it may execute it, or not, and answers.
type fault func(ctx context.Context, execute func(context.Context)) error

// lostRequest never reaches the backend.
func lostRequest(context.Context, func(context.Context)) error { return errDown }

// lostReply is executed, and nobody hears of it.
func lostReply(ctx context.Context, execute func(context.Context)) error {
	execute(ctx)
	return errDown
}

// hang is not executed and ends with its context.
func hang(ctx context.Context, _ func(context.Context)) error {
	<-ctx.Done()
	return ctx.Err()
}

// slow is executed and answered after a while.
func slow(d time.Duration) fault {
	return func(ctx context.Context, execute func(context.Context)) error {
		execute(ctx)
		time.Sleep(d)
		return nil
	}
}

// late fails at once and is executed after a while.
func late(d time.Duration) fault {
	return func(ctx context.Context, execute func(context.Context)) error {
		time.AfterFunc(d, func() { execute(context.WithoutCancel(ctx)) })
		return errDown
	}
}

// stage is a backend in memory whose calls are counted and can be hit by faults.
type stage struct {
	*memlock.Backend
	mu     sync.Mutex
	next   map[string][]fault // for the next calls, by name
	always map[string]fault
	counts map[string]int
}

func newStage() *stage {
	return &stage{
		Backend: memlock.New(), next: map[string][]fault{}, always: map[string]fault{}, counts: map[string]int{},
	}
}

// will sets the faults of the next calls.
func (s *stage) will(call string, faults ...fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next[call] = append(s.next[call], faults...)
}

// ever sets the fault of all calls; nil ends it.
func (s *stage) ever(call string, f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always[call] = f
}

func (s *stage) count(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[call]
}

func (s *stage) befall(ctx context.Context, call string, execute func(context.Context)) error {
	s.mu.Lock()
	s.counts[call]++
	f := s.always[call]
	if queue := s.next[call]; len(queue) > 0 {
		f, s.next[call] = queue[0], queue[1:]
	}
	s.mu.Unlock()
	if f == nil {
		execute(ctx)
		return nil
	}
	return f(ctx, execute)
}

// outcome is what an execution answered; a late one writes to it, too.
type outcome[T any] struct {
	mu    sync.Mutex
	value T
	err   error
}

func (o *outcome[T]) set(value T, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.value, o.err = value, err
}

func (o *outcome[T]) get(failed error) (value T, err error) {
	if failed != nil {
		return value, failed
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.value, o.err
}

func (s *stage) Acquire(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
	var got outcome[lock.Reply]
	return got.get(s.befall(ctx, "acquire", func(ctx context.Context) { got.set(s.Backend.Acquire(ctx, id, claim)) }))
}

func (s *stage) Renew(ctx context.Context, renewals []lock.Renewal) []lock.RenewResult {
	var got outcome[[]lock.RenewResult]
	results, err := got.get(s.befall(ctx, "renew", func(ctx context.Context) {
		got.set(s.Backend.Renew(ctx, renewals), nil)
	}))
	if err != nil {
		results = make([]lock.RenewResult, len(renewals))
		for i := range results {
			results[i].Err = err
		}
	}
	return results
}

func (s *stage) Release(ctx context.Context, id lock.ID, owner lock.Owner) (bool, error) {
	var got outcome[bool]
	return got.get(s.befall(ctx, "release", func(ctx context.Context) { got.set(s.Backend.Release(ctx, id, owner)) }))
}

// free reports whether nobody holds the lock, without taking it for longer.
func (s *stage) free(t *testing.T, key string) bool {
	t.Helper()
	owner := lock.NewOwner()
	reply, err := s.Backend.Acquire(t.Context(), lock.NewID(key), lock.Claim{Owner: owner, Lease: time.Second})
	require.NoError(t, err)
	if reply.Verdict == lock.Held {
		return false
	}
	_, err = s.Backend.Release(t.Context(), lock.NewID(key), owner)
	require.NoError(t, err)
	return true
}

// bubble runs a test in virtual time on a locker that is closed after it.
func bubble(t *testing.T, test func(t *testing.T, s *stage, l *lock.Locker), opts ...lock.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		l := open(t, s, opts...)
		test(t, s, l)
		require.NoError(t, l.Close())
	})
}

func open(t *testing.T, b lock.Backend, opts ...lock.Option) *lock.Locker {
	t.Helper()
	l, err := lock.New(b, opts...)
	require.NoError(t, err)
	return l
}

func tryLock(t *testing.T, l *lock.Locker, key string) *lock.Lease {
	t.Helper()
	le, err := l.TryLock(t.Context(), key)
	require.NoError(t, err)
	return le
}

// pass lets virtual time pass and everything due in it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// steal lets a hold lapse in the backend, behind its holder's back, and gives the
// lock to somebody else.
func (s *stage) steal(t *testing.T, key string, le *lock.Lease) {
	t.Helper()
	instant := lock.Renewal{ID: lock.NewID(key), Owner: lock.OwnerOf(le), Lease: time.Nanosecond}
	require.Equal(t, []lock.RenewResult{{}}, s.Backend.Renew(t.Context(), []lock.Renewal{instant}))
	time.Sleep(time.Nanosecond)
	reply, err := s.Backend.Acquire(t.Context(), lock.NewID(key), lock.Claim{Owner: lock.NewOwner(), Lease: time.Hour})
	require.NoError(t, err)
	require.Equal(t, lock.Acquired, reply.Verdict)
}
