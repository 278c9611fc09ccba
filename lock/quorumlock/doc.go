// Package quorumlock keeps locks on a majority of several independent Redis
// masters: the failure of a minority neither loses a lock nor stops the service.
// It is Redlock, arranged by redsync over the scripts of the package redislock.
//
//	masters := []redis.UniversalClient{ // five servers that replicate nothing to each other
//		client("10.0.0.1:6379"), client("10.0.0.2:6379"), client("10.0.0.3:6379"),
//		client("10.0.0.4:6379"), client("10.0.0.5:6379"),
//	}
//	backend, err := quorumlock.New(masters)
//	if err != nil {
//		return err
//	}
//	defer backend.Close()
//	locker, err := lock.New(backend)
//
// # What it promises
//
//   - No single failover loses a lock, because there is none: with five masters
//     any two may crash, or stand still, and the lock goes on.
//   - A master that does not answer costs no more than [NodeTimeout] in the worst
//     case, and nothing while a majority answers. If there is none, calls fail
//     within that time.
//   - A claim that fails takes back what it had, by calls of their own that the
//     caller's deadline does not cut short.
//   - A reply that gets lost is no false "held", and a renewal never takes a lock
//     that was lost.
//
// # What it does not promise
//
// There is no fencing token ([lock.Lease.Token] is zero): the clocks of several
// masters give no order. What must not suffer from a holder that pauses beyond its
// lease needs a fence, and so the package redislock.
//
// A master that restarts without its data forgets its part of the locks: keep it
// down for one lease, or let it sync every write. A master's replica does not help,
// and its failover is such a loss.
//
// Claims at the same moment may split the masters so that none gets a majority.
// All are told "held"; [lock.Locker.Lock] tries again.
//
// A master that was not reached by a release keeps its part until the lease ends.
//
// It costs three to five times what one Redis does.
package quorumlock
