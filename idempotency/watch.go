package idempotency

import (
	"runtime/debug"

	"github.com/reprise-go/reprise/store"
)

// watchRecord listens for changes of a record. On a store that does not notify
// there is nothing to hear; nor on one whose notifier panics, which must not end
// the process.
func (g *Guard) watchRecord(id store.ID) (signals <-chan struct{}, stop func()) {
	signals, stop = nil, func() {}
	notifier, ok := g.store.(store.Notifier)
	if !ok {
		return signals, stop
	}
	g.containNotifier(func() {
		if watch := notifier.Watch(id); watch != nil {
			signals = watch.Signals()
			stop = func() { g.containNotifier(watch.Close) }
		}
	})
	return signals, stop
}

func (g *Guard) containNotifier(call func()) {
	defer func() {
		if p := recover(); p != nil {
			g.opts.logger.Error("idempotency: the store's notifier panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	call()
}
