package store

// Notifier is a store that tells when a running attempt ends, so that whoever
// waits for it need not ask again and again. Without it, waiters ask now and
// then.
type Notifier interface {
	// Watch begins to listen for changes of a record. It returns at once,
	// whatever the backend does, and cannot fail: a watch that hears nothing
	// never signals. Many watches of one record share what they cost.
	Watch(id ID) Watch
}

// Watch is the interest in one record. Whoever waits takes these steps: watch;
// wait for a signal; claim with Wait; wait for the next signal.
type Watch interface {
	// Signals delivers whenever it is time to look at the record:
	//
	//   - once as soon as notifications will be heard from then on. What
	//     happened before is not told, so this is when to claim, for the first
	//     time since the watch began;
	//   - after every event that ended an attempt on which somebody waited
	//     (see [Claim].Wait);
	//   - when notifications may have been missed: after a lost connection, as
	//     soon as they are heard again.
	//
	// The channel holds one signal, and several that were not taken are one. It
	// is never closed. A signal is a hint: there may be nothing new.
	Signals() <-chan struct{}

	// Close ends the watch: no signal is sent after it has returned. It returns
	// at once and may be called again.
	Close()
}
