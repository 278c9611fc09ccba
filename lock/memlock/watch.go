package memlock

import "github.com/reprise-go/reprise/lock"

// watch is one interest in one lock.
type watch struct {
	backend *Backend
	id      lock.ID
	signals chan struct{}
}

// Watch implements [lock.Notifier]. Releases are heard from the start.
func (b *Backend) Watch(id lock.ID) lock.Watch {
	w := &watch{backend: b, id: id, signals: make(chan struct{}, 1)}
	w.signals <- struct{}{}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watches[id] == nil {
		b.watches[id] = make(map[*watch]struct{})
	}
	b.watches[id][w] = struct{}{}
	return w
}

// Signals implements [lock.Watch].
func (w *watch) Signals() <-chan struct{} { return w.signals }

// Close implements [lock.Watch].
func (w *watch) Close() {
	b := w.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.watches[w.id], w)
	if len(b.watches[w.id]) == 0 {
		delete(b.watches, w.id)
	}
}

// tell signals the watches of a lock. One that holds a signal already needs no
// second.
func (b *Backend) tell(id lock.ID) {
	for w := range b.watches[id] {
		select {
		case w.signals <- struct{}{}:
		default:
		}
	}
}
