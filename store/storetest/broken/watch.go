package broken

import "github.com/reprise-go/reprise/store"

// Silent returns a store that is right but for the ends of attempts which when
// names by their event: of those nobody is told.
func Silent(when func(event store.Event) bool) *Store {
	s := New(store.Step)
	s.silent = when
	return s
}

// Watch begins to listen for changes of the record of id.
func (s *Store) Watch(id store.ID) store.Watch {
	w := &watch{store: s, id: id, signals: make(chan struct{}, 1)}
	w.signals <- struct{}{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches[w] = struct{}{}
	return w
}

// tell signals everybody who watches id. The lock is held.
func (s *Store) tell(id store.ID) {
	for w := range s.watches {
		if w.id != id {
			continue
		}
		select {
		case w.signals <- struct{}{}:
		default:
		}
	}
}

type watch struct {
	store   *Store
	id      store.ID
	signals chan struct{}
}

// Signals implements [store.Watch].
func (w *watch) Signals() <-chan struct{} { return w.signals }

// Close implements [store.Watch].
func (w *watch) Close() {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	delete(w.store.watches, w)
}
