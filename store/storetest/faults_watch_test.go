package storetest_test

import (
	"context"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

// watch is one whose parts a fault puts together.
type watch struct {
	signals <-chan struct{}
	close   func()
}

func (w watch) Signals() <-chan struct{} { return w.signals }

func (w watch) Close() { w.close() }

// deaf returns a watch that has its first signal and no other.
func deaf() store.Watch {
	signals := make(chan struct{}, 1)
	signals <- struct{}{}
	return watch{signals, func() {}}
}

// relay passes some of a watch's signals on.
type relay struct {
	open   func() store.Watch
	passes func(n int) bool // the n-th signal, from 0
	// closes says that the channel is closed at the end.
	closes bool
}

// start begins to relay. The goroutine ends when the watch is closed; the
// bubble in which it runs waits for it.
func (r relay) start(signals chan struct{}) store.Watch {
	stop := make(chan struct{})
	go r.run(signals, stop)
	return watch{signals, sync.OnceFunc(func() { close(stop) })}
}

func (r relay) run(signals chan struct{}, stop <-chan struct{}) {
	from := r.open()
	defer from.Close()
	for n := 0; ; n++ {
		select {
		case <-stop:
			if r.closes {
				close(signals)
			}
			return
		case <-from.Signals():
		}
		if r.passes(n) {
			signals <- struct{}{}
		}
	}
}

// silent tells nobody of the ends by one type of event.
func silent[E store.Event]() func() (store.Store, *broken.Store) {
	return func() (store.Store, *broken.Store) {
		s := broken.Silent(func(event store.Event) bool {
			_, is := event.(E)
			return is
		})
		return s, s
	}
}

// each opens every watch in the same way.
func each(open func(s *broken.Store, id store.ID) store.Watch) func() (store.Store, *broken.Store) {
	return wrap(wrapper{watch: open})
}

func watchFaults() []fault {
	return append(manyWatchesFaults(), []fault{
		{"a watch never signals", each(func(*broken.Store, store.ID) store.Watch {
			return watch{make(chan struct{}, 1), func() {}}
		}), []string{"watch/first signal", "watches/a crowd"}},
		{"a watch signals first and never again", each(func(*broken.Store, store.ID) store.Watch { return deaf() }), []string{
			"watch/completion", "watch/fail", "watch/release", "watch/settlement", "watch/take-over",
			"watch/every attempt", "watch/from the first signal on",
		}},
		{"a watch hears another record", each(func(s *broken.Store, id store.ID) store.Watch {
			id[0] ^= 0xff
			return s.Watch(id)
		}), []string{"watch/completion", "watches/each record its own"}},
		{"only records that are there can be watched", each(func(s *broken.Store, id store.ID) store.Watch {
			if rec, err := s.Lookup(context.Background(), id); err == nil && rec.State == store.Absent {
				return watch{make(chan struct{}, 1), func() {}}
			}
			return s.Watch(id)
		}), []string{"watch/first signal"}},
		{"signals queue up", each(func(*broken.Store, store.ID) store.Watch {
			signals := make(chan struct{}, 8)
			signals <- struct{}{}
			return watch{signals, func() {}}
		}), []string{"watch/first signal"}},
		{"completions are not told", silent[store.Complete](), []string{"watch/completion", "watch/from the first signal on"}},
		{"fails are not told", silent[store.Fail](), []string{"watch/fail", "watch/every attempt"}},
		{"releases are not told", silent[store.Release](), []string{"watch/release", "watch/every attempt"}},
		{"settlements are not told", silent[store.Settle](), []string{"watch/settlement"}},
		{"take-overs are not told", silent[store.Claim](), []string{"watch/take-over"}},
		{"large completions are not told", func() (store.Store, *broken.Store) {
			s := broken.Silent(func(event store.Event) bool {
				complete, is := event.(store.Complete)
				return is && len(complete.Answer.Body) > 4096
			})
			return s, s
		}, []string{"watch/completion"}},
		{"a watch hears one end only", each(func(s *broken.Store, id store.ID) store.Watch {
			return relay{
				open:   func() store.Watch { return s.Watch(id) },
				passes: func(n int) bool { return n < 2 },
			}.start(make(chan struct{}, 1))
		}), []string{"watch/every attempt"}},
		{"a watch is signalled before it hears", each(func(s *broken.Store, id store.ID) store.Watch {
			signals := make(chan struct{}, 1)
			signals <- struct{}{}
			return relay{
				open: func() store.Watch {
					time.Sleep(time.Millisecond)
					return s.Watch(id)
				},
				passes: func(n int) bool { return n > 0 },
			}.start(signals)
		}), []string{"watch/from the first signal on"}},
		{"who waits is noted late", func() (store.Store, *broken.Store) {
			s := broken.NotAtomic(func(event store.Event, reply store.Reply) bool {
				claim, is := event.(store.Claim)
				return is && claim.Wait && reply.Verdict == store.InProgress
			})
			return s, s
		}, []string{"watch/no end is missed"}},
	}...)
}
