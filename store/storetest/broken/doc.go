// Package broken holds stores with one fault each. They show that a harness
// which is meant to catch a fault does catch it: the conformance suite, a
// simulation, a linearizability check.
//
// A store of this package is a map in front of [store.Step]. [New] builds one
// around any step function, so that a new fault is a function of a few lines:
//
//	forgetful := broken.New(func(rec store.Record, ev store.Event, now store.Instant) (store.Record, store.Reply) {
//		next, reply := store.Step(rec, ev, now)
//		next.Marked = false
//		return next, reply
//	})
//
// Nothing here is of use outside tests.
package broken
