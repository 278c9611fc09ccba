package memstore

import (
	"sync"

	"github.com/reprise-go/reprise/store"
)

var _ store.Notifier = (*Store)(nil)

// Watch begins to listen for changes of the record of id. Notifications are
// heard from the start, so the first signal is there when Watch returns. After
// an event that ends an attempt on which somebody waited, the signal is there
// when Apply returns.
//
// A watch costs memory until it is closed, and no goroutine.
func (s *Store) Watch(id store.ID) store.Watch { return s.watches.open(id) }

// watch is one interest in one record.
type watch struct {
	all     *watches
	id      store.ID
	signals chan struct{}
}

// Signals implements [store.Watch].
func (w *watch) Signals() <-chan struct{} { return w.signals }

// Close implements [store.Watch]. It may be called from several goroutines.
func (w *watch) Close() { w.all.close(w) }

// watches are the open watches of a store. The zero value has none.
type watches struct {
	mu sync.Mutex
	of map[store.ID]map[*watch]struct{}
}

func (ws *watches) open(id store.ID) *watch {
	w := &watch{all: ws, id: id, signals: make(chan struct{}, 1)}
	w.signals <- struct{}{}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.of == nil {
		ws.of = make(map[store.ID]map[*watch]struct{})
	}
	if ws.of[id] == nil {
		ws.of[id] = make(map[*watch]struct{})
	}
	ws.of[id][w] = struct{}{}
	return w
}

// close forgets a watch. Signals are sent under the same lock, so none is sent
// once it has returned.
func (ws *watches) close(w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.of[w.id], w)
	if len(ws.of[w.id]) == 0 {
		delete(ws.of, w.id)
	}
	if len(ws.of) == 0 {
		ws.of = nil // a map keeps the memory of its largest size
	}
}

// tell signals the watches of id. One that holds a signal already needs no
// second.
func (ws *watches) tell(id store.ID) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.of[id] {
		select {
		case w.signals <- struct{}{}:
		default:
		}
	}
}
