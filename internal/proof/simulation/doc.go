// Package simulation runs the engine of package idempotency in a world that
// breaks, and judges what its clients saw.
//
// A world is drawn from a seed: some client processes, each with a guard of its
// own, send requests for a few keys to one simulated store. Requests and replies
// get lost, arrive after their caller gave up, or are executed twice; processes
// stand still for longer than their leases, and die; the store's clock jumps;
// handlers succeed, fail, panic, exit, mark their effect, and ignore their
// cancellation. In some worlds the store forgets records. Then the faults stop,
// and every key must become answerable.
//
// The judge knows only what a client or an observer on the wire can see, and a
// ledger of the effects that happened. The rules that it holds the engine to
// are the constants of type [Rule].
//
// Everything happens in virtual time, in a testing/synctest bubble, and depends
// on nothing but the seed as long as one goroutine runs at a time (GOMAXPROCS
// of 1). All delays carry some nanoseconds at random, so that no two timers end
// at once and leave the order to the scheduler.
package simulation
