package memstore_test

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// The rules of watching are storetest's. Here is what only this store promises:
// when a signal is there, and what a watch costs.

// signalled takes the signal that a watch holds, if there is one.
func signalled(t testing.TB, w store.Watch) bool {
	t.Helper()
	select {
	case _, open := <-w.Signals():
		require.True(t, open, "the channel was closed")
		return true
	default:
		return false
	}
}

// waited brings record n to where somebody waits for its end.
func waited(t testing.TB, s *memstore.Store, n int) {
	t.Helper()
	require.Equal(t, store.Claimed, apply(t, s, n, claim(n)))
	waiting := claim(n + 1)
	waiting.Wait = true
	require.Equal(t, store.InProgress, apply(t, s, n, waiting))
}

func TestSignalIsThereWhenTheCallReturns(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	w := s.Watch(id(1))
	defer w.Close()
	assert.True(t, signalled(t, w), "after Watch")
	assert.False(t, signalled(t, w), "one signal is one")
	waited(t, s, 1)
	assert.False(t, signalled(t, w), "nothing has ended")
	apply(t, s, 1, complete(1, "answer"))
	assert.True(t, signalled(t, w), "after the completion")
	apply(t, s, 1, complete(1, "answer"))
	assert.False(t, signalled(t, w), "a repeated completion ends nothing")
}

func TestSignalsComeAtEndsThatSomebodyWaitedForAndAtNothingElse(t *testing.T) {
	t.Parallel()
	always := claim(3)
	always.TakeOver = store.TakeOverAlways
	token := func(t *testing.T, s *memstore.Store) store.Token {
		rec, err := s.Lookup(t.Context(), id(1))
		require.NoError(t, err)
		return rec.Token
	}
	for _, test := range []struct {
		name  string
		event func(t *testing.T, s *memstore.Store) store.Event
		want  bool
	}{
		{"complete", func(*testing.T, *memstore.Store) store.Event { return complete(1, "answer") }, true},
		{"fail", func(*testing.T, *memstore.Store) store.Event { return store.Fail{Attempt: attempt(1)} }, true},
		{"release", func(*testing.T, *memstore.Store) store.Event { return store.Release{Attempt: attempt(1)} }, true},
		{"void release", func(*testing.T, *memstore.Store) store.Event {
			return store.Release{Attempt: attempt(1), Void: true}
		}, true},
		{"settle", func(t *testing.T, s *memstore.Store) store.Event {
			return store.Settle{Owner: owner(9), Token: token(t, s), Retention: keep, Running: true}
		}, true},
		{"take-over", func(*testing.T, *memstore.Store) store.Event {
			time.Sleep(lease)
			return always
		}, true},
		{"renew", func(*testing.T, *memstore.Store) store.Event {
			return store.Renew{Owner: owner(1), Lease: lease, Retention: keep}
		}, false},
		{"mark", func(*testing.T, *memstore.Store) store.Event { return store.Mark{Owner: owner(1)} }, false},
		{"a claim that is told to wait", func(*testing.T, *memstore.Store) store.Event { return always }, false},
		{"a stranger's completion", func(*testing.T, *memstore.Store) store.Event { return complete(7, "answer") }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStore(t)
				w, other := s.Watch(id(1)), s.Watch(id(2))
				signalled(t, w)
				signalled(t, other)
				waited(t, s, 1)
				apply(t, s, 1, test.event(t, s))
				assert.Equal(t, test.want, signalled(t, w))
				assert.False(t, signalled(t, other), "another record's watch")
			})
		})
	}
}

func TestEndThatNobodyWaitedForIsNotTold(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	w := s.Watch(id(1))
	defer w.Close()
	signalled(t, w)
	apply(t, s, 1, claim(1))
	apply(t, s, 1, complete(1, "answer"))
	assert.False(t, signalled(t, w))
}

func TestClosedWatchIsNotTold(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	closed, open := s.Watch(id(1)), s.Watch(id(1))
	signalled(t, closed)
	signalled(t, open)
	waited(t, s, 1)
	closed.Close()
	closed.Close()
	apply(t, s, 1, complete(1, "answer"))
	assert.False(t, signalled(t, closed))
	assert.True(t, signalled(t, open))
	open.Close()
}

// F79: what waiters took is given back when they leave.
// Not parallel: it measures the process's heap.
func TestClosedWatchesLeaveNoMemory(t *testing.T) {
	s := newStore(t)
	open := func(n int) []store.Watch {
		all := make([]store.Watch, 0, 2*n)
		for i := range n {
			all = append(all, s.Watch(id(i)), s.Watch(id(i)))
		}
		return all
	}
	base := heap()
	all := open(50_000)
	taken := heap() - base
	for _, w := range all {
		w.Close()
		w.Close()
	}
	clear(all)
	all = nil
	left := heap() - base
	t.Logf("100000 watches: %d MiB, closed %d KiB", taken>>20, left>>10)
	assert.Less(t, left, taken/1000)
	assert.Empty(t, all)
	runtime.KeepAlive(s)
}

// Watches come and go while attempts end. It is for the race detector, and for
// the one that stays: it is told of every end.
func TestWatchesComeAndGoWhileAttemptsEnd(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	stays := s.Watch(id(1))
	defer stays.Close()
	signalled(t, stays)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				w := s.Watch(id(1))
				w.Close()
				if signals := len(w.Signals()); signals > 1 {
					t.Errorf("%d signals are held", signals)
				}
			}
		})
	}
	for range 200 {
		waited(t, s, 1)
		apply(t, s, 1, store.Release{Attempt: attempt(1)})
		assert.True(t, signalled(t, stays))
		next := claim(3)
		apply(t, s, 1, next)
		apply(t, s, 1, store.Release{Attempt: attempt(3)})
	}
	close(stop)
	wg.Wait()
}
