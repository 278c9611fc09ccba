// Package linearizability judges histories of a store by [store.Step], and those
// of a lock by a model of its own.
//
// Clients send events to a few records side by side, while replies get lost or
// arrive late, connections break, and the server stands still, dies, has no memory
// left or forgets its scripts. What they sent and heard is a history;
// porcupine looks for an order of its operations that agrees with the real time
// in which they overlapped and in which the pure protocol gives the same
// answers.
//
// # Time
//
// The protocol depends on time, and the checker must not guess it. An answered
// event carries the server's time of its execution: the model takes that as its
// input, exactly. Server time does not run backwards within a run, so it orders
// what was answered; nothing else is assumed of any clock.
//
// An event whose call returned an error may have been executed at any later
// time, or never. It stays open until the end of the history, and the model
// branches: not executed, or executed at a time of which only bounds are known.
// What it wrote with that time is known within the same bounds, until an answer
// tells. See [model].
//
// A lock tells less: a new token is the time of its acquisition, and whoever is
// refused hears what is left of the lease. For the rest the bounds are the times at
// which the call was sent and answered, by the clock of this machine, which is the
// server's, too. Somebody who sets it spoils a run, which is then skipped.
package linearizability
