// Package lock is a distributed lock that says in time when it is lost.
//
//	backend, err := redislock.New(rdb)
//	if err != nil {
//		return err
//	}
//	defer backend.Close()
//	locker, err := lock.New(backend)
//	if err != nil {
//		return err
//	}
//	defer locker.Close()
//
//	err = locker.Do(ctx, "invoices:2026-11", func(ctx context.Context) error {
//		held, _ := lock.FromContext(ctx)
//		return closeBooks(ctx, held.Token()) // ctx ends if the lock is lost
//	})
//
// # What it promises
//
//   - At most one holder at a time, as far as the backend keeps what it
//     acknowledged (see its package).
//   - A lock is a lease. A living holder's is renewed in the background, in
//     batches, until it is released, was lost, or [MaxHold] has passed; a dead
//     holder's ends by itself.
//   - The loss of a lease is heard: its context ends, with a cause that wraps
//     [ErrLost], before the backend can give the lock to another holder, also
//     while calls of the backend hang. Every lease counts from the moment before
//     the command was sent, by the monotonic clock. The exception is a backend that
//     forgets the lock itself: a Redis that is flushed, restarted without its data,
//     or replaced by a replica that had not received the lock. It can give the lock to
//     another holder at once; the last one hears of it at its next renewal, within
//     about a third of its lease. The fencing token tells the two apart.
//   - A reply that gets lost is no false [ErrHeld]: every acquisition has an
//     owner, drawn before the first try, and is recognised when it is sent again.
//   - A claim whose outcome is not known leaves nothing behind: it is released in
//     the background until the backend has confirmed that, or one lease has
//     passed.
//   - Waiters of one process for one lock ask together and get it in the order of
//     their arrival. A backend that notifies wakes them when it is released.
//   - Everything is bounded: calls, waits, waiters, what is repeated.
//
// # Which backend
//
//   - lock/redislock on a single server: fenced, one round trip. The server's crash
//     stops the service; its restart without its data forgets who held what, and
//     another holder can come while the last one has not heard yet.
//   - lock/redislock behind Sentinel or on a Cluster: the service goes on after a
//     failover, and a lock that the new master had not received yet is lost the same
//     way. The fence tells the two holders apart.
//   - lock/quorumlock on five independent masters: no failover, so none that loses a
//     lock; any two masters may be away. No fence, and three to five times the cost.
//   - lock/memlock: one process, and tests.
//
// Other backends implement [Backend]; lock/locktest checks them.
//
// # What it does not promise
//
// A process that does not run cannot be told anything. After a pause longer than
// its lease a holder runs on until it hears, beside the next one. Only what the
// lock protects can refuse it, by the fencing token ([Lease.Token]), where the
// backend gives one. [Lease.Held] right before a step narrows the gap and does
// not close it.
//
// A function that ignores its context is not stopped.
//
// Locks are not re-entrant, not shared between readers, and fair only within a
// process.
package lock
