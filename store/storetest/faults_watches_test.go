package storetest_test

import (
	"sync"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

// register is what a fault remembers of the watches of a store.
type register struct {
	mu   sync.Mutex
	all  []store.Watch
	byID map[store.ID][]store.Watch
	// inner are the watches within those that a fault has wrapped.
	inner map[store.ID][]store.Watch
}

// remembering opens watches by what was opened before, one at a time.
func remembering(open func(r *register, s *broken.Store, id store.ID) store.Watch) func() (store.Store, *broken.Store) {
	return func() (store.Store, *broken.Store) {
		r := &register{
			byID:  make(map[store.ID][]store.Watch),
			inner: make(map[store.ID][]store.Watch),
		}
		return wrap(wrapper{watch: func(s *broken.Store, id store.ID) store.Watch {
			r.mu.Lock()
			defer r.mu.Unlock()
			w := open(r, s, id)
			r.all, r.byID[id] = append(r.all, w), append(r.byID[id], w)
			return w
		}})()
	}
}

func manyWatchesFaults() []fault {
	return []fault{
		{"only the latest watch hears", remembering(func(r *register, s *broken.Store, id store.ID) store.Watch {
			for _, w := range r.all {
				w.Close()
			}
			return s.Watch(id)
		}), []string{"watches/each record its own", "watches/all of one record"}},
		{"only the first watch of a record hears", remembering(func(r *register, s *broken.Store, id store.ID) store.Watch {
			if len(r.byID[id]) > 0 {
				return deaf()
			}
			return s.Watch(id)
		}), []string{"watches/all of one record", "watches/opened again"}},
		{"the first to leave closes for all", remembering(func(r *register, s *broken.Store, id store.ID) store.Watch {
			inner := s.Watch(id)
			r.inner[id] = append(r.inner[id], inner)
			return watch{inner.Signals(), func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				for _, w := range r.inner[id] {
					w.Close()
				}
			}}
		}), []string{"watches/all of one record"}},
		{"close does nothing", each(func(s *broken.Store, id store.ID) store.Watch {
			return watch{s.Watch(id).Signals(), func() {}}
		}), []string{"watches/closed"}},
		{"close closes the channel", each(func(s *broken.Store, id store.ID) store.Watch {
			return relay{
				open:   func() store.Watch { return s.Watch(id) },
				passes: func(int) bool { return true },
				closes: true,
			}.start(make(chan struct{}, 1))
		}), []string{"watches/closed"}},
		{"no more than 16 watches of one record", remembering(func(r *register, s *broken.Store, id store.ID) store.Watch {
			if len(r.byID[id]) >= 16 {
				return watch{make(chan struct{}, 1), func() {}}
			}
			return s.Watch(id)
		}), []string{"watches/a crowd"}},
	}
}
