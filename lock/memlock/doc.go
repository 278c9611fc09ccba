// Package memlock keeps locks in memory, for one process: for tests, and for
// programs of one instance.
//
//	locker, err := lock.New(memlock.New())
//
// It keeps every rule of [lock.Backend], with fencing tokens and notifications.
// Nothing survives the process, and no other process sees these locks.
package memlock
