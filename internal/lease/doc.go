// Package lease keeps leases alive and says in time when that fails.
//
// A [Watchdog] renews the leases of one backend until each is ended or lost.
// It knows nothing of the backend but a function that renews a batch:
//
//	dog, err := lease.New(lease.Config[store.Renewal]{Renew: renew})
//	since := time.Now() // before the claim is sent
//	... claim ...
//	held := dog.Watch(renewal, lease.Spec{
//		Lease: 30 * time.Second, MaxHold: 15 * time.Minute,
//		Since: since, Confirmed: reply, Lost: func(r lease.Reason) { cancel(r) },
//	})
//	defer held.End()
//
// # What it promises
//
//   - Lost is called before the backend's lease can have lapsed, also while a
//     call to the backend hangs, as long as this process runs and the two
//     clocks drift apart by less than [Drift]. A lease counts from the moment
//     before the command that confirmed it was sent, never from the reply.
//   - One failed, slow or lost renewal deposes nobody: it is tried again while
//     there is time.
//   - A lease that ends within a third of its length causes no call at all.
//   - Time is the monotonic clock. The wall clock serves only to notice that
//     the monotonic one stood still (a suspended machine) or that somebody set
//     the time: then the lease is renewed at once, and lost only if the backend
//     says so or does not answer within [Grace].
//   - One goroutine for any number of leases, while there are any, and one for
//     each call under way.
//
// # What it does not promise
//
// A process that does not run cannot be told anything: after a pause longer
// than the lease Lost comes late. Ask [Lease.Held] right before a step that
// cannot be undone, or better let the backend refuse it.
package lease
